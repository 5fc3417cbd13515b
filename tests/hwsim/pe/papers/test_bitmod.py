"""BitMoD's stages against the RTL's statements, the PE against exact sums, and the terms."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

import formats as nf
from hwsim.circuit import evaluate
from hwsim.pe.papers.bitmod import (
    BitMod,
    bitmod_pe,
    decoder,
    exponent_match,
    group_sum,
    scale_step,
    serial_multiply,
    terms,
)
from hwsim.pe.stimulus import side_by_side as packed
from hwsim.pe.units.bit_mod import BitSerial, accumulated, multiplied
from hwsim.pe.units.unit import signed
from tests.hwsim.pe.papers.cycles import ran
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(17)
VARIANTS = get_args(BitMod.__dataclass_fields__["variant"].type) or ("as_published", "as_intended")
WEIGHTS = ["int8", "int6", "e2m1fn", "bitmod_fp4_er_pos", "bitmod_fp3_ea_neg"]


def lanes(bits: int, shape: tuple[int, ...]) -> Any:
    return RNG.integers(0, 1 << bits, (*shape, 4))


def test_exponent_match() -> None:
    a, w, s, t = lanes(5, (4000,)), lanes(2, (4000,)), lanes(1, (4000,)), lanes(1, (4000,))
    inputs = {"a_exp": packed(a, 5), "w_exp": packed(w, 2), "a_sign": packed(s, 1), "w_sign": packed(t, 1)}
    found = evaluate(exponent_match(), inputs)
    largest = (a + w).max(axis=-1)
    assert (found["largest"] == largest).all()
    assert (found["delta"] == packed(largest[:, None] - a - w, 6)).all()
    assert (found["sign"] == packed(s ^ t, 1)).all()


def multiply_inputs(count: int) -> tuple[list[Any], dict[str, Any]]:
    near = lanes(6, (count,)) >> RNG.integers(0, 5, (count, 1))
    rows = [lanes(11, (count,)), lanes(1, (count,)), near, lanes(1, (count,))]
    widths = {"a_man": 11, "w_man": 1, "delta": 6, "sign": 1}
    return rows, {name: packed(x, widths[name]) for name, x in zip(widths, rows, strict=True)}


def test_serial_multiply() -> None:
    rows, inputs = multiply_inputs(3000)
    found = signed(evaluate(serial_multiply(), inputs)["product"], 17)
    assert (found == multiplied(*rows)).all()


def sum_inputs(count: int) -> dict[str, Any]:
    exponent = RNG.integers(0, 64, count)
    largest = np.clip(exponent + RNG.integers(-16, 17, count), 0, 63)
    product = RNG.integers(-(2**16), 2**16, count) >> RNG.integers(0, 17, count)
    product[:6] = [-(2**16), 2**16 - 1, 0, -1, -(2**16), 2**16 - 1]
    held = RNG.integers(-(2**14), 2**14, count)
    bsig = RNG.integers(0, 7, count)
    bsig[:6] = 6  # -2**16 * 2**6 has no magnitude in 23 bits
    held[:6] = [0, 2**14 - 1, 0, -1, -(2**14), 1]
    return {"product": product % 2**17, "largest": largest, "bsig": bsig, "exponent": exponent, "sum": held % 2**15}


@pytest.mark.parametrize("variant", VARIANTS)
def test_group_sum(variant: Any) -> None:
    inputs = sum_inputs(5000)
    found = evaluate(group_sum(BitMod(variant=variant)), inputs)
    columns = [signed(inputs["product"], 17), inputs["largest"], inputs["bsig"], inputs["exponent"]]
    columns.append(signed(inputs["sum"], 15))
    wanted = accumulated(variant, *(column.astype(np.int64) for column in columns))
    for got, expected in zip(
        (signed(found["next_sum"], 15), found["next_exponent"], found["next_sign"]), wanted, strict=True
    ):
        assert (got == expected).all()


def test_the_variants_differ_where_the_sum_is_above_the_terms() -> None:
    """A term of exponent 3 into a sum of exponent 5 counts four times in the published PE."""
    inputs = {"product": 64, "largest": 3, "bsig": 0, "exponent": 5, "sum": 100}
    found = {v: int(evaluate(group_sum(BitMod(variant=v)), inputs)["next_sum"]) for v in VARIANTS}
    assert found == {"as_published": 164, "as_intended": 116}


@pytest.mark.parametrize("variant", VARIANTS)
def test_scale_step(variant: Any) -> None:
    count = 4000
    inputs = {"sum": RNG.integers(0, 2**15, count), "bit": RNG.integers(0, 2, count)}
    inputs |= {"start": RNG.integers(0, 2, count), "product": RNG.integers(0, 2**21, count)}
    found = evaluate(scale_step(BitMod(variant=variant)), inputs)["next_product"]
    keep = 1 - inputs["start"] if variant == "as_intended" else 1
    wanted = (2 * inputs["product"] * keep + signed(inputs["sum"], 15) * inputs["bit"]) % 2**21
    assert (found == wanted).all()


@pytest.mark.parametrize("name", WEIGHTS)
def test_terms_add_up_to_the_weight(name: str) -> None:
    """And the decoder gives them, four of int8, three of int6, two of FP4 and FP3."""
    fmt = nf.element_of(nf.get(name))
    values = np.nan_to_num(nf.decode_codes(fmt, np.arange(2**fmt.bits), np.float64))
    table = terms(fmt)
    assert len(table[0]) == {"int8": 4, "int6": 3}.get(name, 2)
    for code, row in enumerate(table):
        units = sum((-1) ** sign * man * 2 ** (exponent + bsig) for sign, exponent, man, bsig in row)
        assert units == values[code] / 2.0**fmt.ulp_exponent
        for number, want in enumerate(row):
            found = evaluate(decoder(fmt), {"code": code, "term": number})
            assert tuple(int(found[x]) for x in ("sign", "exp", "man", "bsig")) == want
            assert want[3] <= 6


@pytest.mark.parametrize("name", ["int6", "e2m1fn"])
def test_a_group_is_the_exact_dot_product_where_nothing_is_cut_off(name: str) -> None:
    """Activations of one exponent and few bits, a group of two steps, then a scale of 5 bits: the PE as intended.

    Shows the pipeline's timing too.
    """
    fmt = nf.element_of(nf.get(name))
    table, rows, steps = terms(fmt), 20, 2
    count = len(table[0])
    man = RNG.integers(0, 4, (steps, rows, 4))
    sign = lanes(1, (steps, rows))
    codes = lanes(fmt.bits, (steps, rows))
    cycles = []
    zeros = {"a_man": 0, "a_exp": packed(np.full((rows, 4), 10), 5), "a_sign": 0, "w_exp": 0, "w_man": 0, "w_sign": 0}
    zeros |= dict.fromkeys(("bsig", "clear", "latch", "scale_bit", "scale_sign", "start", "step"), 0)
    for s in range(steps):
        for number in range(count):
            parts = np.array([[table[c][number] for c in row] for row in codes[s]])
            # One bsig for all lanes: those that need another have their cycle apart.
            for bsig in range(7):
                w_man = parts[..., 2] * (parts[..., 3] == bsig)
                # Eight zeros below (three of them the PE's) outlast distances of exponents and normalising.
                one = {"a_man": packed(man[s] << 5, 11), "w_man": packed(w_man, 1), "bsig": bsig}
                one["w_exp"] = packed(parts[..., 1], 2)
                cycles.append(zeros | one | {"a_sign": packed(sign[s], 1), "w_sign": packed(parts[..., 0], 1)})
    scale = 19
    cycles += [zeros | {"w_man": 0}] * 3 + [zeros | {"latch": 1, "scale_bit": scale >> 4 & 1}]
    cycles += [zeros | {"step": 1, "start": int(i == 0), "scale_bit": scale >> max(3 - i, 0) & 1} for i in range(5)]
    cycles.append(zeros)
    cycles[2] = cycles[2] | {"clear": 1}
    inputs = {k: [np.broadcast_to(np.asarray(c[k], object), (rows,)) for c in cycles] for k in zeros}
    found = ran(bitmod_pe(BitMod(variant="as_intended")), inputs)
    values = np.array([int(sum((-1) ** t[0] * t[2] * 2 ** (t[1] + t[3]) for t in row)) for row in table])
    exact = ((1 - 2 * sign) * man * values[codes]).sum(axis=(0, 2))
    out = signed(found["out_sum"][-1], 21)
    unit = 2.0 ** (found["out_exp"][-1].astype(np.float64) - 10)
    assert (out * unit == exact * scale * 2.0**8).all()


@needs_yosys
@pytest.mark.parametrize("variant", VARIANTS)
def test_gates_of_the_pe_do_what_the_rtl_says(variant: Any) -> None:
    fp4 = nf.get("bitmod_fp4_er_pos")
    assert isinstance(fp4, nf.Codebook)
    proof = BitSerial(what=BitMod(variant=variant), weight=fp4).check()
    assert (proof.status, proof.vectors) == ("tested", 16000)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="as_published or as_intended, got 'fixed'"):
        BitMod(variant="fixed")  # type: ignore[arg-type]
