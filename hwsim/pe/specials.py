"""Infinities, NaN and overflow in wires: which codes of an operand they are, and which code a result becomes."""

from __future__ import annotations

from dataclasses import replace

import formats as nf
from hwsim.circuit import Bits, Build, cat, constant
from hwsim.pe.number import Number


def marked(m: Build, name: str, fmt: nf.Scalar, code: Bits, x: Number) -> Number:
    """The decoded number with wires that say whether its code is NaN, or infinite."""
    if not isinstance(fmt, nf.Minifloat) or not (fmt.has_nan or fmt.has_infinity):
        return x
    nan, infinite = special_codes(m, name, fmt, code)
    return replace(x, nan=nan, infinite=infinite)


def special_codes(m: Build, name: str, fmt: nf.Minifloat, code: Bits) -> tuple[Bits | None, Bits | None]:
    """Whether a code is NaN, and whether it is infinite; None where no code is."""
    magnitude = code[: fmt.magnitude_bits]
    trailing = code[: fmt.trailing_significand_bits]
    if fmt.specials == "ieee":
        field = code[fmt.trailing_significand_bits : fmt.magnitude_bits]
        ones = m.leaf(f"{name}_ones", "every_bit", width=field.width, a=field)
        if not trailing.width:
            return None, ones
        some = m.leaf(f"{name}_some", "any_bit", width=trailing.width, a=trailing)
        none = m.leaf(f"{name}_none", "inverter", width=1, a=some)
        return _both(m, f"{name}_nan", ones, some), _both(m, f"{name}_infinite", ones, none)
    if fmt.specials == "none":
        return None, None
    top = m.leaf(f"{name}_top", "every_bit", width=magnitude.width, a=magnitude)
    if fmt.specials == "fn":
        return top, None
    if not fmt.signed:  # extended: NaN on top, infinity below it
        upper = m.leaf(f"{name}_upper", "every_bit", width=magnitude.width - 1, a=magnitude[1:])
        even = m.leaf(f"{name}_even", "inverter", width=1, a=magnitude[0])
        return top, _both(m, f"{name}_infinite", upper, even)
    some = m.leaf(f"{name}_some", "any_bit", width=magnitude.width, a=magnitude)
    none = m.leaf(f"{name}_none", "inverter", width=1, a=some)
    nan = _both(m, f"{name}_nan", none, code[fmt.bits - 1])
    return nan, top if fmt.has_infinity else None


def product_specials(m: Build, name: str, a: Number, b: Number) -> tuple[Bits | None, Bits | None]:
    """Of a product: NaN of NaN and of infinity times zero; infinite where a factor is (NaN goes first)."""
    nan = either(m, f"{name}_nan", a.nan, b.nan)
    for side, infinite, other in (("a", a.infinite, b), ("b", b.infinite, a)):
        if infinite is not None:
            row = other.significand
            some = m.leaf(f"{name}_{side}_beside", "any_bit", width=row.width, a=row)
            zero = m.leaf(f"{name}_{side}_beside_zero", "inverter", width=1, a=some)
            none = _both(m, f"{name}_{side}_times_zero", infinite, zero)
            nan = either(m, f"{name}_{side}_or_nan", nan, none)
    return nan, either(m, f"{name}_infinite", a.infinite, b.infinite)


def sum_specials(
    m: Build, first: tuple[Bits | None, Bits | None], second: tuple[Bits | None, Bits | None], differ: Bits
) -> tuple[Bits | None, Bits | None]:
    """Of a sum: NaN of NaN and of infinities that differ in sign; infinite where a term is."""
    nan = either(m, "nan_of_one", first[0], second[0])
    if first[1] is not None and second[1] is not None:
        both = _both(m, "both_infinite", first[1], second[1])
        nan = either(m, "nan_of_sum", nan, _both(m, "unlike_infinities", both, differ))
    return nan, either(m, "infinite_of_one", first[1], second[1])


def finished(
    m: Build,
    fmt: nf.Minifloat,
    cast: nf.Cast,
    packed: Bits,
    negative: Bits,
    nan: Bits | None,
    infinite: Bits | None,
    within: bool = False,
) -> Bits:
    """The code of a rounded magnitude, which may be beyond the largest finite one, or of the infinity or NaN it is.

    packed: field and trailing bits, the field as wide as it can get. negative: of the result, infinite or not.
    within: no finite magnitude is beyond it.
    """
    width = fmt.magnitude_bits
    largest = constant(fmt.max_magnitude_code, width)
    # Without infinities what overflows is NaN: the all-ones magnitude, or the code of minus zero.
    lost = cast.overflow != "saturate" and not fmt.has_infinity and fmt.has_nan
    top = constant(fmt.infinity_code or 0, width) if fmt.has_infinity else largest
    if lost and fmt.has_two_nans:
        top, lost = constant(-1, width), False
    if within:
        packed = packed.zero_extend(max(width, packed.width))[:width]
    elif packed.width > width or fmt.max_magnitude_code < 2**width - 1:
        over = m.leaf("overflow", "comparator", width=packed.width, a=largest.zero_extend(packed.width), b=packed)
        beyond, outward = top, None
        if cast.overflow != "overflow" or cast.rounding == "toward_zero":
            beyond = largest
        elif cast.rounding in ("up", "down"):
            inward = (largest, top) if cast.rounding == "up" else (top, largest)
            beyond = _choose(m, "beyond", negative, *inward)
            outward = negative if cast.rounding == "down" else m.leaf("outward", "inverter", width=1, a=negative)
        packed = _choose(m, "within", over, beyond, packed[:width])
        if lost and cast.overflow == "overflow" and cast.rounding != "toward_zero":
            nan = either(m, "nan_beyond", nan, over if outward is None else _both(m, "over_outward", over, outward))
    if infinite is not None:
        packed = _choose(m, "or_infinite", infinite, largest if cast.overflow == "saturate" else top, packed)
        if lost:
            nan = either(m, "nan_infinite", nan, infinite)
    if not fmt.has_minus_zero:
        some = m.leaf("some", "any_bit", width=packed.width, a=packed)
        negative = _both(m, "own_sign", negative, some)
    code = cat(negative, packed)
    if nan is not None:
        code = _choose(m, "or_nan", nan, constant(fmt.nan_code or 0, fmt.bits), code)
    return code


def either(m: Build, name: str, a: Bits | None, b: Bits | None) -> Bits | None:
    """Whether one of the two is 1; None is a wire that never is."""
    if a is None or b is None:
        return b if a is None else a
    row: Bits = m.leaf(name, "or_gate", width=1, a=a, b=b)
    return row


def _both(m: Build, name: str, a: Bits, b: Bits) -> Bits:
    row: Bits = m.leaf(name, "and_gate", width=1, a=a, b=b)
    return row


def _choose(m: Build, name: str, select: Bits, yes: Bits, no: Bits) -> Bits:
    row: Bits = m.leaf(name, "multiplexer", width=yes.width, choices=2, words=cat(yes, no), select=select)
    return row
