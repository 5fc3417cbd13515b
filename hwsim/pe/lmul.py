"""L-Mul in wires: a product by additions, in both of its readings (formats.LMul)."""

from __future__ import annotations

from dataclasses import replace

import formats as nf
from hwsim.circuit import Bits, Build, cat, constant
from hwsim.pe.number import Number, decoded, fields_of
from hwsim.pe.specials import either, marked, special_codes


def lmul(m: Build, name: str, how: nf.LMul, fmt: nf.Minifloat, codes: tuple[Bits, Bits], full: bool) -> Number:
    """The product of two codes of one format. full: with infinities and NaN."""
    signs = [code[fmt.bits - 1] for code in codes] if fmt.signed else None
    sign = m.leaf(f"{name}_sign", "exclusive_or", width=1, a=signs[0], b=signs[1]) if signs else None
    if how.form == "formula":
        x = _formula(m, name, how, fmt, codes, sign)
    elif how.policy == "wrap":
        return _wrapped(m, name, how, fmt, codes, sign, full)
    else:
        x = _flushed(m, name, how, fmt, codes, sign)
    return _with_specials(m, name, fmt, codes, x) if full else x


def _magnitude(fmt: nf.Minifloat, code: Bits) -> Bits:
    return code[: fmt.magnitude_bits]


def _normal(m: Build, name: str, fmt: nf.Minifloat, code: Bits) -> Bits:
    """Whether a code is neither zero nor subnormal."""
    field = code[fmt.trailing_significand_bits : fmt.magnitude_bits]
    row: Bits = m.leaf(name, "any_bit", width=field.width, a=field)
    return row


def _wrapped(
    m: Build,
    name: str,
    how: nf.LMul,
    fmt: nf.Minifloat,
    codes: tuple[Bits, Bits],
    sign: Bits | None,
    full: bool,
) -> Number:
    """The codes added as integers; whatever code comes out is the product."""
    if full and fmt.has_two_nans:
        codes = (_one_nan(m, f"{name}_a", fmt, codes[0]), _one_nan(m, f"{name}_b", fmt, codes[1]))
        sign = m.leaf(f"{name}_own_sign", "exclusive_or", width=1, a=codes[0][-1], b=codes[1][-1])
    width = fmt.magnitude_bits
    first, second = (_magnitude(fmt, code) for code in codes)
    terms = cat(constant(how.constant(fmt), width), second)
    total = m.leaf(f"{name}_add", "compressor", width=width, operands=2, first=first, terms=terms)
    code = total if sign is None else cat(sign, total)
    x = decoded(m, f"{name}_decode", fmt, code)
    return marked(m, f"{name}_special", fmt, code, x) if full else x


def _one_nan(m: Build, name: str, fmt: nf.Minifloat, code: Bits) -> Bits:
    """A code, NaN as the one code that stands for it."""
    nan, _ = special_codes(m, f"{name}_special", fmt, code)
    if nan is None:
        return code
    words = cat(constant(fmt.nan_code or 0, fmt.bits), code)
    row: Bits = m.leaf(f"{name}_one_nan", "multiplexer", width=fmt.bits, choices=2, words=words, select=nan)
    return row


def _flushed(
    m: Build, name: str, how: nf.LMul, fmt: nf.Minifloat, codes: tuple[Bits, Bits], sign: Bits | None
) -> Number:
    """The codes added as integers; zero where an operand or the sum is no normal number, the largest code above it."""
    trailing, bits = fmt.trailing_significand_bits, fmt.magnitude_bits
    offset = how.constant(fmt)
    width = max((2 * (2**bits - 1) + offset).bit_length(), (-offset).bit_length(), bits) + 1
    first, second = (_magnitude(fmt, code).zero_extend(width) for code in codes)
    terms = cat(constant(offset, width), second)
    total = m.leaf(f"{name}_add", "compressor", width=width, operands=2, first=first, terms=terms)
    largest = constant(fmt.max_magnitude_code, width - 1)
    over = m.leaf(f"{name}_over", "comparator", width=width - 1, a=largest, b=total[:-1])
    words = cat(largest[:bits], total[:bits])
    kept = m.leaf(f"{name}_kept", "multiplexer", width=bits, choices=2, words=words, select=over)
    field = total[trailing : width - 1]
    some = m.leaf(f"{name}_some", "any_bit", width=field.width, a=field)
    plus = m.leaf(f"{name}_plus", "inverter", width=1, a=total[-1])
    normals = [_normal(m, f"{name}_normal{place}", fmt, code) for place, code in enumerate(codes)]
    product = m.leaf(f"{name}_product", "every_bit", width=4, a=cat(some, plus, *normals))
    masked = m.leaf(
        f"{name}_trailing", "and_gate", width=trailing + 1, a=cat(constant(1, 1), kept[:trailing]),
        b=product.repeat(trailing + 1),
    )  # fmt: skip
    if sign is not None and not fmt.has_minus_zero:
        sign = m.leaf(f"{name}_own_sign", "and_gate", width=1, a=sign, b=product)
    at = fields_of(fmt)
    return Number(
        significand=masked,
        sign=sign,
        exponent=kept[trailing:],
        low=1,
        high=at.largest_field,
        unit=fmt.ulp_exponent - 1,
    )


def _formula(
    m: Build, name: str, how: nf.LMul, fmt: nf.Minifloat, codes: tuple[Bits, Bits], sign: Bits | None
) -> Number:
    """1 + x + y + 2**-l beside the sum of the exponents; zero where an operand is no normal number."""
    trailing, offset = fmt.trailing_significand_bits, how.l_of(fmt)
    places = max(trailing, offset)
    largest = (1 << places) + (2 * ((1 << trailing) - 1) << (places - trailing)) + (1 << (places - offset))
    width = largest.bit_length()
    first, second = (code[:trailing].above(places - trailing).zero_extend(width) for code in codes)
    terms = cat(constant((1 << places) + (1 << (places - offset)), width), second)
    total = m.leaf(f"{name}_add", "compressor", width=width, operands=2, first=first, terms=terms)
    normals = [_normal(m, f"{name}_normal{place}", fmt, code) for place, code in enumerate(codes)]
    product = m.leaf(f"{name}_product", "and_gate", width=1, a=normals[0], b=normals[1])
    masked = m.leaf(f"{name}_masked", "and_gate", width=width, a=total, b=product.repeat(width))
    fields = [code[trailing : fmt.magnitude_bits].zero_extend(fmt.exponent_bits + 1) for code in codes]
    exponent = m.leaf(f"{name}_exponent", "adder", width=fmt.exponent_bits + 1, a=fields[0], b=fields[1])
    at = fields_of(fmt)
    return Number(
        significand=masked,
        sign=sign,
        exponent=exponent,
        low=2,
        high=2 * at.largest_field,
        unit=2 * (fmt.min_exponent - 1) - places,
        zeros=width - places - 1,
    )


def _with_specials(m: Build, name: str, fmt: nf.Minifloat, codes: tuple[Bits, Bits], x: Number) -> Number:
    """NaN of NaN and of infinity beside what counts as zero; infinite of infinite."""
    found = [special_codes(m, f"{name}_special{place}", fmt, code) for place, code in enumerate(codes)]
    nan = either(m, f"{name}_nan", found[0][0], found[1][0])
    for place, infinite in enumerate((found[0][1], found[1][1])):
        if infinite is not None:
            normal = _normal(m, f"{name}_beside{place}", fmt, codes[1 - place])
            zero = m.leaf(f"{name}_beside_zero{place}", "inverter", width=1, a=normal)
            none = m.leaf(f"{name}_times_zero{place}", "and_gate", width=1, a=infinite, b=zero)
            nan = either(m, f"{name}_or_nan{place}", nan, none)
    return replace(x, nan=nan, infinite=either(m, f"{name}_infinite", found[0][1], found[1][1]))
