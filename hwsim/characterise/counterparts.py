"""Our units for comparisons with others': bare datapaths without a register, and what each must do by the formats.

    unit("add_float16")             # ports a, b; sum. Infinities, NaN and subnormals as the format has them
    unit("fma_bfloat16_float32")    # a * b + c, rounded once
    unit("convert_float32_e4m3fn"); unit("dot8_int8_int8"); unit("multiply_add_int8_int8_int32")

`names()` lists those that are compared; any other pair of formats is asked for in the same way.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import formats as nf
from formats.arithmetic.accumulators import product_ulp_exponent
from formats.arithmetic.exact_values import add
from formats.exact import Dyadic, Value
from formats.reference import encode_value
from hwsim.circuit import Bits, Build, Module, constant
from hwsim.pe import fixed, floating
from hwsim.pe.float_rounding import Style
from hwsim.pe.floating import magnitude
from hwsim.pe.multiply import product
from hwsim.pe.number import Number, decoded
from hwsim.pe.rounded import round_to
from hwsim.pe.specials import marked

_NAMES = (
    *(f"{family}_{fmt}" for family in ("add", "multiply", "fma") for fmt in ("float32", "float16", "bfloat16")),
    *(f"{family}_{fmt}" for family in ("add", "multiply") for fmt in ("e4m3fn", "e5m2")),
    "multiply_bfloat16_float32",
    "fma_bfloat16_float32",
    "fma_e4m3fn_float32",
    *(f"convert_{pair}" for pair in ("float32_float16", "float16_float32", "float32_bfloat16", "int32_float32")),
    *(f"convert_{pair}" for pair in ("bfloat16_e4m3fn", "float32_e4m3fn", "e4m3fn_bfloat16", "int8_bfloat16")),
    "multiply_int8_int8",
    "multiply_uint8_uint8",
    "multiply_add_int8_int8_int32",
    *(f"dot{lanes}_int8_int8" for lanes in (4, 8, 16, 32)),
    *(f"dot{lanes}_{fmt}_{fmt}" for lanes in (4, 8, 32) for fmt in ("e4m3fn", "e5m2", "e2m1fn")),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """What an input carries: `lanes` codes of a format, the first lowest, or one two's complement integer.

    finite: whether infinities and NaN do not occur.
    """

    fmt: nf.Scalar | int
    lanes: int = 1
    finite: bool = False

    @property
    def code_bits(self) -> int:
        """Of one code."""
        return self.fmt if isinstance(self.fmt, int) else self.fmt.bits

    @property
    def width(self) -> int:
        """Of the port."""
        return self.code_bits * self.lanes

    def codes(self, pattern: int) -> list[int]:
        """The lanes' codes."""
        return [pattern >> (self.code_bits * lane) & ((1 << self.code_bits) - 1) for lane in range(self.lanes)]

    def value(self, code: int) -> Value:
        """What a code is worth."""
        if isinstance(self.fmt, int):
            return _dyadic(code - ((code >> (self.fmt - 1)) << self.fmt))
        return self.fmt.value(code)

    def draw(self, rng: np.random.Generator, count: int) -> list[int]:
        """Patterns: corners, and codes of all sizes, so that subnormals, infinities and NaN are among them."""
        drawn = [int(code) for code in _codes(rng, self, count * self.lanes)]
        rows = (drawn[at : at + self.lanes] for at in range(0, len(drawn), self.lanes))
        return [sum(code << (self.code_bits * lane) for lane, code in enumerate(row)) for row in rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """build: its wires, of input ports as in `ports` and one output; expected: from a pattern a port to the output's.

    result: the output's format, or the width of an integer.  near: whether the last port gets, now and then, what
    nearly cancels the others' result.
    """

    name: str
    build: Callable[[], Module]
    ports: Mapping[str, Port]
    expected: Callable[..., int]
    result: nf.Scalar | int
    near: Callable[..., int] | None = field(default=None)

    def vectors(self, count: int, seed: int = 0) -> dict[str, list[int]]:
        """Patterns a port. Every one there is where they are no more than `count`."""
        rng = np.random.default_rng(seed)
        bits = sum(port.width for port in self.ports.values())
        if 1 << bits <= count and not any(port.finite for port in self.ports.values()):
            rows, every = range(1 << bits), {}
            for name, port in self.ports.items():
                every[name] = [row & ((1 << port.width) - 1) for row in rows]
                rows = [row >> port.width for row in rows]  # type: ignore[assignment]
            return every
        found = {name: port.draw(rng, count) for name, port in self.ports.items()}
        if self.near is not None:
            *others, last = found.values()
            top = 1 << ([*self.ports.values()][-1].width - 1)
            for at in np.flatnonzero(rng.random(count) < 0.3).tolist():
                code = self.near(*(column[at] for column in others))
                last[at] = (code + int(rng.integers(-3, 4))) % (2 * top) ^ top
        return found


def names() -> tuple[str, ...]:
    """The units that are compared."""
    return _NAMES


@cache
def unit(name: str) -> Unit:
    """A unit by its name: a family and the formats of its operands, then of its result where that is another.

    `_saturating` behind convert: beyond the range is its nearest end. Raises ValueError with names near it.
    """
    found = re.fullmatch(r"(add|multiply|fma|convert|multiply_add|dot[1-9]\d*)_([a-z0-9]+(?:_[a-z0-9]+)*)", name)
    words = found[2].split("_") if found else []
    saturating = words[-1:] == ["saturating"]
    words = words[:-1] if saturating else words
    try:
        if found:
            family = "multiply_add" if name.startswith("multiply_add_") else found[1]
            words = words[1:] if family == "multiply_add" and found[1] == "multiply" else words
            made = _made(name, family, words, saturating)
            if made is not None:
                return made
    except ValueError as error:
        raise ValueError(f"no unit is called {name}: {error}") from None
    near = difflib.get_close_matches(name, _NAMES, n=3, cutoff=0.0)
    raise ValueError(f"no unit is called {name}; near it are {', '.join(near)}; there are {', '.join(_NAMES)}")


def _made(name: str, family: str, words: list[str], saturating: bool) -> Unit | None:
    """The unit, None where the words do not fit its family."""
    wide = [int(word[3:]) if re.fullmatch("int(1[7-9]|[2-9][0-9])", word) else None for word in words]
    formats: list[Any] = [bits or nf.element_of(nf.get(word)) for bits, word in zip(wide, words, strict=True)]
    floats = [isinstance(fmt, nf.Minifloat) for fmt in formats]
    if saturating and family != "convert":
        return None
    if family == "add" and floats == [True]:
        return _add(name, formats[0])
    if family in ("multiply", "fma") and floats and floats[-1] and len(formats) <= 3 and not any(wide):
        a, result = formats[0], formats[-1]
        b = formats[1] if len(formats) == 3 else a
        return (_multiply if family == "multiply" else _fma)(name, a, b, result)
    if family == "convert" and len(formats) == 2 and floats[1]:
        return _convert(name, formats[0], formats[1], "saturate" if saturating else "overflow")
    if family == "multiply" and len(formats) == 2 and not any(floats) and not any(wide):
        return _dot(name, formats[0], formats[1], 1)
    if family == "multiply_add" and len(formats) == 3 and wide[2] and not any(wide[:2]):
        return _dot(name, formats[0], formats[1], 1, wide[2])
    if family.startswith("dot") and len(formats) == 2 and not any(wide):
        return _dot(name, formats[0], formats[1], int(family[3:]))
    return None


def _codes(rng: np.random.Generator, port: Port, count: int) -> NDArray[Any]:
    fmt, bits = port.fmt, port.code_bits
    codes = rng.integers(0, 1 << bits, count)
    pool = [0, 1, (1 << bits) - 1, (1 << bits) - 2, 1 << (bits - 1), (1 << (bits - 1)) - 1]
    if isinstance(fmt, nf.Minifloat):
        trailing, sign = fmt.trailing_significand_bits, (1 << fmt.magnitude_bits if fmt.signed else 0)
        one, top = int(encode_value(fmt, _dyadic(1))), fmt.max_magnitude_code
        sizes = [0, 1, (1 << trailing) - 1, 1 << trailing, (1 << trailing) + 1, one, top]
        sizes += [] if port.finite else [code for code in (top + 1, top + 2) if code < 1 << fmt.magnitude_bits]
        pool = [size | side for size in sizes for side in {0, sign}]
        # Subnormals, and numbers of about one, of which a uniform draw of a wide format has few.
        signs = np.where(rng.random(count) < 0.5, sign, 0)
        low = rng.integers(0, 2 << trailing, count) | signs
        middle = np.clip(one + rng.integers(-(8 << trailing), 8 << trailing, count), 0, top) | signs
        kind = rng.random(count)
        codes = np.where(kind < 0.15, low, np.where(kind < 0.5, middle, codes))
        if port.finite:
            codes = np.where((codes & ~sign) > top, codes & sign, codes)
    return np.where(rng.random(count) < 0.1, rng.choice(np.array(pool), count), codes)


def _dyadic(x: int) -> Dyadic:
    return Dyadic(x < 0, abs(x), 0)


def _style(fmt: nf.Minifloat) -> Style:
    """To nearest; overflow as the format has it, at its largest value where it has nothing beyond."""
    return Style(specials=True, overflow="overflow" if fmt.has_infinity or fmt.has_nan else "saturate")


def _read(m: Build, name: str, port: Port) -> Number:
    """The number of a port's code, infinities and NaN told where they occur."""
    code = m.input(name, port.width)
    if isinstance(port.fmt, int):
        return Number(significand=code, signed=True, below_zero=code[-1], zeros=code.width - 1)
    x = decoded(m, f"decode_{name}", port.fmt, code)
    return x if port.finite else marked(m, f"special_{name}", port.fmt, code, x)


def _round(m: Build, fmt: nf.Minifloat, style: Style, x: Number) -> Bits:
    return round_to(m, "round", fmt, style, magnitude(m, "size", x))


def _multiplied(ports: Mapping[str, Port], a: int, b: int) -> Value:
    left, right = ports["a"], ports["b"]
    assert isinstance(left.fmt, nf.Scalar)
    assert isinstance(right.fmt, nf.Scalar)
    return nf.ExactProduct().product(left.value(a), right.value(b), left.fmt, right.fmt)


def _add(name: str, fmt: nf.Minifloat) -> Unit:
    ports = {"a": Port(fmt=fmt), "b": Port(fmt=fmt)}

    def build() -> Module:
        m = Build(name)
        total = m.input("a", fmt.bits)
        m.output("sum", floating.float_add(m, "add", fmt, _style(fmt), total, _read(m, "b", ports["b"])))
        return m.done()

    def expected(a: int, b: int) -> int:
        return int(encode_value(fmt, add(fmt.value(a), fmt.value(b)), _style(fmt).cast))

    return Unit(name=name, build=build, ports=ports, expected=expected, result=fmt, near=lambda a: a)


def _multiply(name: str, a: nf.Scalar, b: nf.Scalar, result: nf.Minifloat) -> Unit:
    ports = {"a": Port(fmt=a), "b": Port(fmt=b)}

    def build() -> Module:
        m = Build(name)
        x = product(m, "product", *(_read(m, side, port) for side, port in ports.items()))
        m.output("product", _round(m, result, _style(result), x))
        return m.done()

    def expected(a: int, b: int) -> int:
        return int(encode_value(result, _multiplied(ports, a, b), _style(result).cast))

    return Unit(name=name, build=build, ports=ports, expected=expected, result=result)


def _fma(name: str, a: nf.Scalar, b: nf.Scalar, result: nf.Minifloat) -> Unit:
    ports = {"a": Port(fmt=a), "b": Port(fmt=b), "c": Port(fmt=result)}

    def build() -> Module:
        m = Build(name)
        x = product(m, "product", *(_read(m, side, ports[side]) for side in "ab"))
        total = m.input("c", result.bits)
        x = magnitude(m, "size", x)
        m.output("sum", floating.float_add(m, "add", result, _style(result), total, x))
        return m.done()

    def near(a: int, b: int) -> int:
        return int(encode_value(result, _multiplied(ports, a, b)))

    def expected(a: int, b: int, c: int) -> int:
        return int(encode_value(result, add(_multiplied(ports, a, b), result.value(c)), _style(result).cast))

    return Unit(name=name, build=build, ports=ports, expected=expected, result=result, near=near)


def _convert(name: str, source: nf.Scalar | int, target: nf.Minifloat, overflow: str) -> Unit:
    ports = {"code": Port(fmt=source)}
    style = Style(specials=True, overflow=overflow)  # type: ignore[arg-type]

    def build() -> Module:
        m = Build(name)
        m.output("converted", _round(m, target, style, _read(m, "code", ports["code"])))
        return m.done()

    def expected(code: int) -> int:
        return int(encode_value(target, ports["code"].value(code), style.cast))

    return Unit(name=name, build=build, ports=ports, expected=expected, result=target)


def _dot(name: str, a: nf.Scalar, b: nf.Scalar, lanes: int, addend: int | None = None) -> Unit:
    """Products of finite codes, and an integer of `addend` bits, added exactly; modulo its width."""
    ports = {side: Port(fmt=fmt, lanes=lanes, finite=True) for side, fmt in (("a", a), ("b", b))}
    bits = nf.accumulator_bits(a, b, nf.Exact(max_terms=lanes)) if addend is None else addend
    if addend is None and not (a.signed or b.signed):
        bits -= 1  # a register has a sign
    unit = product_ulp_exponent(a, b)

    def build() -> Module:
        m = Build(name)
        rows = {side: m.input(side, port.width) for side, port in ports.items() if side != "c"}
        terms = []
        for lane in range(lanes):
            pair = (
                decoded(m, f"decode_{side}{lane}", fmt, rows[side][fmt.bits * lane : fmt.bits * (lane + 1)])
                for side, fmt in (("a", a), ("b", b))
            )
            terms.append(fixed.placed(m, f"place{lane}", product(m, f"product{lane}", *pair), bits, unit))
        term = fixed.summed(m, "lanes", terms, bits)
        row = (term.row.sign_extend(bits) if term.signed else term.row.zero_extend(bits))[:bits]
        total = constant(0, bits) if addend is None else m.input("c", bits)
        if term.sign is not None:
            row = m.leaf("add", "add_subtract", width=bits, a=total, b=row, subtract=term.sign)
        elif addend is not None:
            row = m.leaf("add", "adder", width=bits, a=total, b=row)
        m.output("sum", row)
        return m.done()

    def expected(a: int, b: int, c: int = 0) -> int:
        total = c
        for pair in zip(ports["a"].codes(a), ports["b"].codes(b), strict=True):
            x = _multiplied(ports, *pair)
            assert isinstance(x, Dyadic)
            total += int(x.fraction / Fraction(2) ** unit)
        return total % (1 << bits)

    if addend is not None:
        ports["c"] = Port(fmt=addend)
    return Unit(name=name, build=build, ports=ports, expected=expected, result=bits)
