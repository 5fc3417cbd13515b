"""What a product is asked with besides its operands: starts, registers' units, flags; each refused by its own name."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.arithmetic import reference
from formats.exact import Dyadic, from_float

A, B = np.ones((1, 2), np.float32), np.ones((2, 1), np.float32)
INTS = {"a_format": "int8", "b_format": "int8"}
E4M3 = {"a_format": "e4m3fn", "b_format": "e4m3fn"}


@pytest.mark.parametrize("times", [nf.RoundedProduct("float16"), nf.RoundedProduct("e5m2"), nf.Mitchell()], ids=repr)
@pytest.mark.parametrize("bits", [12, 20, 40])
def test_registers_count_in_the_formats_unit_whatever_multiplies(times: Any, bits: int) -> None:
    fmt = nf.get("e3m2fn")
    assert isinstance(fmt, nf.Scalar)
    rng, how = np.random.default_rng(bits), nf.Integer(bits)
    a, b = (nf.quantize(rng.standard_normal((3, 5)) * 8, fmt) for _ in range(2))
    got = nf.matmul(a, b.T, a_format=fmt, b_format=fmt, accumulator=how, multiplier=times)
    for i in range(3):
        for j in range(3):
            x, y = ([from_float(float(v)) for v in row] for row in (a[i], b[j]))
            value = reference.dot(x, y, (fmt, fmt), how, multiplier=times)
            assert isinstance(value, Dyadic)
            assert Fraction(float(got[i, j])) == value.fraction
    one = np.full((1, 1), 28.0)
    wide = nf.matmul(one, one, a_format=fmt, b_format=fmt, accumulator=nf.Integer(32), multiplier=times)
    assert 600 <= wide[0, 0] <= 784  # Mitchell's error is one ninth at most


def test_starts_of_64_bits_keep_them() -> None:
    got = nf.matmul(A, B, np.array([[2**53 + 1]]), **INTS, accumulator=nf.Integer(64))
    assert got.tolist() == [[2**53 + 3]]
    got = nf.matmul(A, B, np.array([[2**63 - 4]]), **INTS, accumulator=nf.Integer(64, "error"))
    assert got.tolist() == [[2**63 - 2]]


@pytest.mark.parametrize(
    ("c", "how", "text"),
    [
        ([[2.0**-30]], {**E4M3, "accumulator": nf.Integer(32)}, r"c\[0, 0\] is 9.3\S+, which Integer.* does not hold"),
        ([[300]], {**INTS, "accumulator": nf.Integer(8)}, r"c\[0, 0\] is 300, .* from -128 to 127 of them"),
        ([[0.5]], {**INTS, "accumulator": nf.Integer(8)}, r"c\[0, 0\] is 0.5"),
        ([[np.inf]], {**E4M3}, "c holds infinity or NaN, which Exact"),
        ([[np.nan]], {**INTS, "accumulator": nf.Integer(8)}, "c holds infinity or NaN"),
    ],
)
def test_starts_a_register_does_not_hold_are_refused(c: Any, how: Any, text: str) -> None:
    for a, b in ((A, B), (A[:, :0], B[:0])):  # an empty sum too
        with pytest.raises(ValueError, match=text):
            nf.matmul(a, b, np.array(c), **how)


def test_kinds_are_refused_by_name() -> None:
    calls: list[tuple[Any, str]] = [
        (
            lambda: nf.matmul(A, B, np.array([[1 + 5j]]), **E4M3),
            "c must be an array of real numbers, got dtype complex",
        ),
        (lambda: nf.matmul(A, B, nf.encode(A, "e4m3fn"), **E4M3), "c must be an array of numbers, got an Encoded"),
        (lambda: nf.matmul(A, B, **E4M3, quantize="yes"), "quantize must be True, False or a Cast, got 'yes'"),
        (lambda: nf.matmul(A, B, **E4M3, multiplier=nf.Mitchell), "multiplier must be a name or a description"),
        (lambda: nf.dot(nf.encode(A[0], "e4m3fn"), A[0], **E4M3), "dot: a and b must be vectors of values"),
    ]
    for call, text in calls:
        with pytest.raises(TypeError, match=text):
            call()
    with pytest.raises(ValueError, match="dot: c must be a number"):
        nf.dot(A[0], A[0], [1, 2], **E4M3)
    with pytest.raises(ValueError, match="'hopper_imma' takes integers, got float32 and float32"):
        nf.matmul(A, B, a_format="float32", b_format="float32", accumulator="hopper_imma")


def test_tensors_in_tensors_out() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(3, dtype=torch.bfloat16)
    got = nf.dot(x, x, a_format="bfloat16", b_format="bfloat16")
    assert isinstance(got, torch.Tensor)
    assert float(got) == 3.0
    start = torch.full((1, 1), 7, dtype=torch.int32)
    got = nf.matmul(torch.ones(1, 2), torch.ones(2, 1), start, **INTS, accumulator=nf.Integer(32))
    assert got.dtype == torch.int32
    assert int(got) == 9


def test_overflow_inside_a_sum_is_probed() -> None:
    """A float16 chain is not a wider chain rounded to float16 at the end: 448**2 - 448**2 tells them apart."""

    def hidden(a: Any, b: Any) -> Any:
        return nf.matmul(a, b, **E4M3, accumulator=nf.FloatChain("float16"))

    found = nf.identify(hidden, **E4M3, terms=16, columns=16, rounds=1)
    a, b = np.zeros((1, 16), np.float32), np.zeros((16, 1), np.float32)
    a[0, :2], b[:2, 0] = (448, -448), 448
    assert np.isinf(hidden(a, b)).all()
    assert not found.found or np.isinf(found.matmul(a, b)).all()
    assert found.found, str(found)


def test_registers_of_two_widths_are_told_apart_by_two_terms() -> None:
    found = nf.distinguish(nf.Integer(16), nf.Integer(17), **INTS)
    assert found is not None
    assert np.count_nonzero(found.a * found.b) == 2
