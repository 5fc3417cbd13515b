"""BitMoD's PE, cycle by cycle, by its RTL's statements on integers; and its decoder of weights.

Source of the statements: bs_exp, bs_mul, grp_accum and dequantise of github.com/yc2367/BitMoD, hardware/pe; what the
variant as_intended has otherwise is said in hwsim.pe.papers.bitmod.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import formats as nf
from hwsim.circuit import Module
from hwsim.pe.papers.bitmod import BitMod, bitmod_pe, decoder, terms
from hwsim.pe.stimulus import Operands, codes, kept, side_by_side
from hwsim.pe.units.unit import Columns, Models, Unit, by_cycles, by_every_input, lanes, random_patterns
from hwsim.rtl.proof import Proof, Subject
from hwsim.rtl.yosys import Synthesis

GROUP = 128
SCALE_BITS = 8


def _wrapped(x: Any, bits: int) -> Any:
    """As two's complement of that many bits."""
    return (x + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def multiplied(man: Any, bit: Any, delta: Any, sign: Any) -> Any:
    """[..., 4] -> [...]: {in, 14'd0} >> delta, its upper 14 of 25 bits, nothing beyond 14 places; negated; added."""
    moved = np.where(delta <= 14, ((man * bit) << 14 >> np.minimum(delta, 14)) >> 11, 0)
    return np.where(sign == 1, -moved, moved).sum(axis=-1)


def accumulated(variant: str, product: Any, largest: Any, bsig: Any, exponent: Any, held: Any) -> tuple[Any, Any, Any]:
    """The next sum, exponent and sign of a group."""
    top = np.maximum(exponent, largest)
    placed = _wrapped(product << bsig, 23)
    if variant == "as_intended":
        placed = placed >> (top - largest)
    moved = np.where(top - exponent <= 13, held >> np.minimum(top - exponent, 13), 0)
    total = _wrapped(placed + moved, 23)
    size = np.abs(total)
    length = np.frexp(size.astype(np.float64))[1]  # bits of the magnitude; exact for integers
    up = np.where(size < 1 << 22, np.maximum(length - 14, 0), 0)
    return _wrapped(total >> up, 15), (top + up) % 64, (total < 0).astype(np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class BitSerial(Unit):
    """A BitMod; energies and terms are those of weights of `weight`."""

    what: BitMod
    weight: nf.Codebook

    @property
    def terms(self) -> Fraction:
        """Four lanes in as many cycles as the weight has terms."""
        return Fraction(4, len(terms(self.weight)[0]))

    def module(self) -> Module:
        """Its wires."""
        return bitmod_pe(self.what)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """float16 activations, a weight's terms one after another; groups of 128, a scale of 8 bits after each.

        The cycle that clears a group's sum loses its products, one cycle in 64 here: no bubble is put in.
        """
        float16 = nf.get("float16")
        assert isinstance(float16, nf.Minifloat)
        every = len(terms(self.weight)[0])
        group = GROUP // 4 * every
        number = np.arange(cycles)
        products = -(-cycles // every)
        a = codes(float16, operands, (products, 4), rng, reach=8.0)[number // every]
        w = kept(codes(self.weight, operands, (products, 4), rng), operands)[number // every]
        table = np.array([[row[k % every] for k in range(every)] for row in terms(self.weight)])
        parts = table[w, (number % every)[:, None]]
        field = a >> 10 & 31
        place = number % group
        scale = rng.integers(128, 256, cycles // group + 1)[number // group]
        return {
            "a_exp": side_by_side(np.maximum(field, 1), 5),
            "a_man": side_by_side(a & 1023 | (field > 0) << 10, 11),
            "a_sign": side_by_side(a >> 15, 1),
            "w_sign": side_by_side(parts[..., 0], 1),
            "w_exp": side_by_side(parts[..., 1], 2),
            "w_man": side_by_side(parts[..., 2], 1),
            "bsig": parts[..., 3].max(axis=-1),
            "latch": (place == 3).astype(np.int64),
            "clear": (place == 3).astype(np.int64),
            "scale_bit": np.where((place >= 3) & (place < 3 + SCALE_BITS), scale >> np.clip(10 - place, 0, 7) & 1, 0),
            "scale_sign": np.zeros(cycles, np.int64),
            "start": (place == 4).astype(np.int64),
            "step": ((place >= 4) & (place < 4 + SCALE_BITS)).astype(np.int64),
        }

    def answers(self, inputs: Columns) -> Columns:
        """Outputs [cycles, n] before each edge, from registers of 0."""
        variant = self.what.variant
        widths = {"a_exp": 5, "a_man": 11, "a_sign": 1, "w_exp": 2, "w_man": 1, "w_sign": 1}
        given = {port: lanes(inputs[port], bits, 4).astype(np.int64) for port, bits in widths.items()}
        given |= {port: np.asarray(rows).astype(np.int64) for port, rows in inputs.items() if port not in widths}
        count = given["bsig"].shape[1]
        four, one = np.zeros((count, 4), np.int64), np.zeros(count, np.int64)
        first = {port: four for port in widths} | {"bsig": one}
        second = {"sign": four, "delta": four, "largest": one, "a_man": four, "w_man": four, "bsig": one}
        third = {"product": one, "largest": one, "bsig": one}
        group, taken = (one, one, one), (one, one, one)
        bit, sign, out, exponent, negative = one, one, one, one, one
        found: dict[str, list[Any]] = {"out_sum": [], "out_exp": [], "out_sign": []}
        for cycle in range(len(given["bsig"])):
            now = {port: rows[cycle] for port, rows in given.items()}
            for port, rows in (("out_sum", out % (1 << 21)), ("out_exp", exponent), ("out_sign", negative)):
                found[port].append(rows)
            # Stage 4, a scale's bit.
            doubled = 2 * np.where((now["start"] == 1) & (variant == "as_intended"), 0, out)
            scaled = _wrapped(doubled + np.where(bit == 1, taken[0], 0), 21)
            exponent = np.where(now["start"] == 1, taken[1], exponent)
            negative = np.where(now["start"] == 1, sign ^ taken[2], negative)
            out = np.where(now["step"] == 1, scaled, out)
            bit, sign = now["scale_bit"], now["scale_sign"]
            # Stage 3, the group's sum, and what stage 4 takes of it.
            after = accumulated(variant, third["product"], third["largest"], third["bsig"], group[1], group[0])
            taken = tuple(np.where(now["latch"] == 1, x, y) for x, y in zip(group, taken, strict=True))  # type: ignore[assignment]
            group = tuple(np.where(now["clear"] == 1, 0, x) for x in after)  # type: ignore[assignment]
            # Stages 2 and 1.
            third = {
                "product": multiplied(second["a_man"], second["w_man"], second["delta"], second["sign"]),
                "largest": second["largest"],
                "bsig": second["bsig"],
            }
            sums = first["a_exp"] + first["w_exp"]
            largest = sums.max(axis=-1)
            second = {"sign": first["a_sign"] ^ first["w_sign"], "delta": largest[:, None] - sums, "largest": largest}
            second |= {port: first[port] for port in ("a_man", "w_man", "bsig")}
            first = {port: now[port] for port in first}
        return {port: np.stack(rows) for port, rows in found.items()}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Cycles of any inputs, and of groups as they come."""
        rng = np.random.default_rng(0)
        inputs = random_patterns(self.module(), (40, 400), rng)
        inputs["bsig"] = rng.integers(0, 7, (40, 400))
        # In half of the rows sums and scales take the cycles they are meant to.
        for port, rate in (("clear", 0.1), ("latch", 0.1), ("start", 0.12)):
            inputs[port][:, ::2] = rng.random((40, 200)) < rate
        inputs["step"][:, ::2] = 1
        inputs["a_exp"][:, ::2] = side_by_side(rng.integers(10, 20, (40, 200, 4)), 5)
        return by_cycles(made, inputs, self.answers(inputs), models, subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class TermDecoder(Unit):
    """A weight's terms, one a cycle: sign, exponent, whether there is one, and its bsig."""

    weight: nf.Scalar

    @property
    def terms(self) -> Fraction:
        """A weight in as many cycles as it has terms."""
        return Fraction(1, len(terms(self.weight)[0]))

    def module(self) -> Module:
        """Its wires."""
        return decoder(self.weight)

    def drawn(self, operands: Operands, cycles: int, rng: np.random.Generator) -> Columns:
        """A weight's terms one after another."""
        every, number = len(terms(self.weight)[0]), np.arange(cycles)
        w = kept(codes(self.weight, operands, (-(-cycles // every),), rng), operands)
        return {"code": w[number // every], "term": number % every}

    def proof(self, made: Synthesis, models: Models, subject: Subject) -> Proof:
        """Every code and term: the paper's terms, which add up to the weight."""
        table = terms(self.weight)
        values = np.nan_to_num(nf.decode_codes(self.weight, np.arange(2**self.weight.bits), np.float64))
        for row, value in zip(table, values, strict=True):
            units = sum((-1) ** sign * man * 2 ** (exponent + bsig) for sign, exponent, man, bsig in row)
            assert units == value / 2.0**self.weight.ulp_exponent

        def answers(given: Columns) -> Columns:
            pairs = zip(given["code"].tolist(), given["term"].tolist(), strict=True)
            rows = np.array([table[code][number] for code, number in pairs])
            return dict(zip(("sign", "exp", "man", "bsig"), rows.T, strict=True))

        return by_every_input(made, {"term": np.arange(len(table[0]))}, answers, models, subject)
