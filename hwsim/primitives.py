"""The leaves every PE, array edge and unit is made of, and how many gates each takes by the textbook.

    features("multiplier", {"m": 8, "n": 8}).gates      # 390 GE

A count is in gate equivalents (GE: NAND2 areas). Synthesis under a tight clock takes more; technology/coefficients.json
holds the factor per family, fitted to synthesised designs. `activity` is the part of the gates that switches in a use
(a shifter's unused positions do not), `levels` the gates in series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from inspect import signature
from typing import Literal, get_args

# Areas of sky130_fd_sc_hd cells in units of its NAND2: fa_1, ha_1, and2_1, xor2_1, mux2_1. GT2N's are within 20 %.
FULL_ADDER, HALF_ADDER = Fraction(533, 100), Fraction(333, 100)
AND, XOR, MUX = Fraction(167, 100), Fraction(233, 100), Fraction(3)

Family = Literal["multiply", "add", "shift", "logic", "register"]
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """family: whose coefficient applies.  gates, activity: GE (flip-flops for registers).  levels: gates in series."""

    family: Family
    gates: Fraction
    activity: Fraction
    levels: Fraction


def features(primitive: str, parameters: Mapping[str, int]) -> Features:
    """What a leaf is made of. Raises ValueError for an unknown primitive or wrong parameters, naming the right ones."""
    if primitive not in PRIMITIVES:
        raise ValueError(f"primitive: unknown primitive {primitive!r}; use one of {', '.join(PRIMITIVES)}")
    build, names = PRIMITIVES[primitive], _PARAMETERS[primitive]
    if sorted(parameters) != sorted(names) or min(parameters.values()) < 0:
        got = ", ".join(f"{name}={value}" for name, value in parameters.items())
        raise ValueError(f"primitive {primitive!r} takes {', '.join(names)} (integers >= 0), got {got or 'none'}")
    return build(**parameters)


def log2_ceil(count: int) -> int:
    """Smallest s with 2**s >= count; 0 for counts below 2."""
    return max(count - 1, 0).bit_length()


def _same(family: Family, gates: Fraction | int, levels: Fraction | int) -> Features:
    return Features(family=family, gates=Fraction(gates), activity=Fraction(gates), levels=Fraction(levels))


def _multiplier(m: int, n: int) -> Features:
    """m x n partial products; n - 2 rows of full adders and one of half adders (Booth shows in the coefficient).

    Levels: linear in the rows, as measured from 4 x 4 to 24 x 24 (synthesis builds an array, not a balanced tree), then
    a carry chain.
    """
    m, n = max(m, n), min(m, n)
    if n <= 1:
        return _same("multiply", m * n * AND, 1)
    gates = m * n * AND + m * (n - 2) * FULL_ADDER + m * HALF_ADDER
    return _same("multiply", gates, 1 + Fraction(3 * n, 2) + _carry(m + n))


def _carry(width: int) -> Fraction:
    """Levels of a carry chain: measured delays of 16 to 76 bit registers grow linearly with the width."""
    return 2 + Fraction(width, 4) if width else Fraction(0)


def _reductions(rows: int) -> int:
    """Layers of 3:2 compressors that turn `rows` numbers into two."""
    layers = 0
    while rows > 2:
        rows, layers = rows - rows // 3, layers + 1
    return layers


def _adder(width: int) -> Features:
    """A full adder a bit; the carry tree of a fast adder shows in the coefficient."""
    return _same("add", width * FULL_ADDER, _carry(width))


def _compressor(width: int, operands: int) -> Features:
    """`operands` more numbers folded into a carry-save sum: a full adder a bit and number, two XORs a reduction."""
    return _same("add", width * operands * FULL_ADDER, 2 * _reductions(operands + 2) if width else 0)


def _incrementer(width: int) -> Features:
    """A half adder a bit: adds a rounding bit, or completes a two's complement negation."""
    return _same("add", width * HALF_ADDER, _carry(width) / 2)


def _shifter(width: int, positions: int, active: int) -> Features:
    """A barrel shifter of `width` result bits by 0..positions: one multiplexer a bit and stage.

    active: bits that carry data; the others mostly hold zeros and do not switch.
    """
    stages = log2_ceil(positions + 1)
    return Features(
        family="shift",
        gates=width * stages * MUX,
        activity=min(active, width) * stages * MUX,
        levels=Fraction(stages),
    )


def _expanding_shifter(width: int, positions: int, limit: int) -> Features:
    """Moves `width` bits left by 0..positions into a register of `limit` bits; early stages are narrow.

    Stage s (shift by 2**s) has as many multiplexers as bits can be non-zero after it.
    """
    stages = log2_ceil(positions + 1)
    widths = [min(width + min(2 ** (stage + 1) - 1, positions), limit) for stage in range(stages)]
    return Features(
        family="shift",
        gates=sum(widths) * MUX,
        activity=min(width, limit) * stages * MUX,
        levels=Fraction(stages),
    )


def _multiplexer(width: int, inputs: int) -> Features:
    """inputs - 1 two-way multiplexers a bit."""
    return _same("shift", width * max(inputs - 1, 0) * MUX, log2_ceil(inputs))


def _lookup(address: int, width: int) -> Features:
    """A constant table of 2**address words: each output bit is a fixed function of the address.

    A tree of 2**address - 1 multiplexers with constant leaves loses its two lowest levels, so about 2**address / 4
    multiplexers a bit are left. A writable table would add a flip-flop a bit.
    """
    return _same("shift", width * Fraction(2**address, 4) * MUX, address)


def _leading_zero_counter(width: int) -> Features:
    """Two AND-class gates a bit: group zero flags and the select of each group."""
    return _same("logic", width * 2 * AND, log2_ceil(width) * 2)


def _exclusive_or(width: int) -> Features:
    """An XOR a bit: a conditional one's complement, or a sign."""
    return _same("logic", width * XOR, 1 if width else 0)


def _and_gate(width: int) -> Features:
    """An AND a bit: masks, clears."""
    return _same("logic", width * AND, 1 if width else 0)


def _float_decoder(exponent: int) -> Features:
    """The hidden bit is the OR of the exponent field; a subnormal's exponent becomes 1."""
    return _same("logic", (exponent + 1) * AND, log2_ceil(exponent) + 1)


def _comparator(width: int) -> Features:
    """A subtractor that keeps only its carry: half the gates of one."""
    return _same("add", width * FULL_ADDER / 2, _carry(width))


def _register(width: int) -> Features:
    """`width` flip-flops; the coefficient is the library's flip-flop itself."""
    return _same("register", width, 0)


PRIMITIVES: dict[str, Callable[..., Features]] = {
    "multiplier": _multiplier,
    "adder": _adder,
    "compressor": _compressor,
    "incrementer": _incrementer,
    "comparator": _comparator,
    "shifter": _shifter,
    "expanding_shifter": _expanding_shifter,
    "multiplexer": _multiplexer,
    "lookup": _lookup,
    "leading_zero_counter": _leading_zero_counter,
    "exclusive_or": _exclusive_or,
    "and_gate": _and_gate,
    "float_decoder": _float_decoder,
    "register": _register,
}
_PARAMETERS = {name: tuple(signature(build).parameters) for name, build in PRIMITIVES.items()}
