"""ANT's and OliVe's decoders against formats' values, the cell against exact sums."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from hwsim.circuit import evaluate
from hwsim.pe.papers.exponent_integer import (
    MARKER,
    ExponentInteger,
    ant_decoder,
    exponent_integer_mac,
    olive_decoder,
    pairs_of,
)
from hwsim.pe.units.powers import AntDecoder, AntPe, OliveDecoder, OlivePe, PairMac
from hwsim.pe.units.unit import Unit, signed
from tests.hwsim.pe.papers.cycles import ran
from tests.hwsim.rtl.designs import needs_yosys

RNG = np.random.default_rng(23)
WHAT = ExponentInteger()
OUTLIERS = {"int4": "olive_int4_outlier", "flint4": "olive_flint4_outlier"}


@pytest.mark.parametrize("name", ["flint4", "uflint4", "int4", "ant_float4"])
def test_pairs_are_the_values(name: str) -> None:
    fmt = nf.element_of(nf.get(name))
    what = ExponentInteger(integer_bits=5 if name == "uflint4" else 4)
    codes = np.arange(2**fmt.bits)
    found = evaluate(ant_decoder(what, fmt), {"code": codes})
    values = signed(found["whole"], what.integer_bits).astype(float) * 2.0 ** found["exponent"]
    assert (values == np.nan_to_num(nf.decode_codes(fmt, codes, np.float64))).all()


@pytest.mark.parametrize("normal", OUTLIERS)
def test_every_byte_of_olive(normal: str) -> None:
    """Beside a marker the outlier, else the normal values; of two markers both are 0."""
    kinds = [nf.element_of(nf.get(name)) for name in (normal, OUTLIERS[normal])]
    values = [np.nan_to_num(nf.decode_codes(kind, np.arange(16), np.float64)) for kind in kinds]
    codes = np.arange(256)
    found = evaluate(olive_decoder(WHAT, *kinds), {"codes": codes})
    for place in (0, 1):
        own, other = codes >> (4 * place) & 15, codes >> (4 - 4 * place) & 15
        wanted = np.where(own == MARKER, 0.0, np.where(other == MARKER, values[1][own], values[0][own]))
        integer = signed(found["integers"] >> (4 * place) & 15, 4).astype(float)
        assert (integer * 2.0 ** (found["exponents"] >> (3 * place) & 7) == wanted).all()


def test_the_cell_adds_exponents_and_multiplies_integers() -> None:
    """Every pair of pairs, in random order over four cycles, modulo 2**20."""
    what = ExponentInteger(register_bits=20)
    integers, exponents = RNG.integers(-8, 8, (2, 4, 3000)), RNG.integers(0, 8, (2, 4, 3000))
    clear = np.array([1, 0, 1, 0])[:, None] + np.zeros((4, 3000), np.int64)
    inputs = {"a_integer": integers[0] % 16, "b_integer": integers[1] % 16, "a_exponent": exponents[0]}
    found = ran(exponent_integer_mac(what), inputs | {"b_exponent": exponents[1], "clear": clear})["sum"]
    held = np.zeros(3000, np.int64)
    for cycle in range(4):
        assert (found[cycle] == held % 2**20).all()
        term = integers[0, cycle] * integers[1, cycle] << (exponents[0, cycle] + exponents[1, cycle])
        held = held * (1 - clear[cycle]) + term


def units() -> list[Unit]:
    kinds = [nf.element_of(nf.get(name)) for name in ("int4", OUTLIERS["int4"], "flint4")]
    assert isinstance(kinds[2], nf.Codebook)
    return [
        PairMac(what=WHAT, fmt=kinds[2]),
        AntPe(what=WHAT, a=kinds[2], b=kinds[0]),
        OlivePe(what=WHAT, normal=kinds[0], outlier=kinds[1]),
        AntDecoder(what=WHAT, fmt=kinds[2]),
        OliveDecoder(what=WHAT, normal=kinds[0], outlier=kinds[1]),
    ]


@needs_yosys
@pytest.mark.parametrize("unit", units(), ids=lambda unit: unit.name)
def test_gates_are_proved(unit: Unit) -> None:
    assert unit.check().status == "proved"


def test_values_without_a_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="scale the values to integers, or give the integer more bits"):
        pairs_of(nf.element_of(nf.get("pot4")), 4)
    with pytest.raises(ValueError, match="use more exponent_bits"):
        ant_decoder(ExponentInteger(exponent_bits=1), nf.element_of(nf.get("flint4")))
