"""Gates covered by LUTs: what is known by hand, and that the gates covered are the module's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwsim.circuit import Build, Module
from hwsim.fpga.mapping import _Network, covered
from hwsim.pe.catalogue import catalogue


def one(kind: str, widths: dict[str, int], **parameters: int) -> Module:
    """A module that is one leaf."""
    m = Build("one")
    made = m.leaf("it", kind, **parameters, **{port: m.input(f"{port}_in", width) for port, width in widths.items()})
    m.output("out", made)
    return m.done()


def counts(module: Module) -> tuple[int, int, int]:
    found = covered(module)
    return found.luts, found.chain, found.tree


@pytest.mark.parametrize("width", [2, 5, 6, 7, 36, 37])
def test_wide_gates(width: int) -> None:
    """n inputs into one: no fewer tables than (n - 1) / 5, and here no more than one above."""
    least = -(-(width - 1) // 5)
    luts, chain, tree = counts(one("any_bit", {"a": width}, width=width))
    assert (chain, tree) == (0, 0)
    assert least <= luts <= least + 2


def test_adders() -> None:
    """A table a bit, and the gates before one operand with it; both operands gated, one gate a bit is left over."""
    # The lowest bit adds two bits, which takes no chain.
    assert counts(one("adder", {"a": 8, "b": 8}, width=8)) == (1, 7, 0)
    assert 8 <= tables(gated("a")) <= 9
    assert 15 <= tables(gated("ab")) <= 17


def test_what_is_subtracted_from_enters_the_chain() -> None:
    """Its gates take tables of their own; those of what is subtracted do not."""
    assert 8 <= tables(gated("b", "subtractor")) <= 9
    assert 15 <= tables(gated("a", "subtractor")) <= 17


def tables(module: Module) -> int:
    return sum(counts(module)[:2])


def gated(sides: str, kind: str = "adder") -> Module:
    m = Build("gated")
    rows = {side: m.input(side, 8) for side in "ab"}
    for side in sides:
        rows[side] = m.leaf(f"keep_{side}", "and_gate", width=8, a=rows[side], b=m.input(f"by_{side}", 8))
    m.output("total", m.leaf("it", kind, width=8, **rows))
    return m.done()


@pytest.mark.parametrize("signs", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_the_array_multiplies(signs: tuple[int, int]) -> None:
    """Every product of 5 x 4 bits."""
    module = one("multiplier", {"a": 5, "b": 4}, m=5, n=4, signed_a=signs[0], signed_b=signs[1])
    network = _Network(module)
    codes = np.arange(512)
    bits = {2 * (place + 1): (codes >> place & 1).astype(bool) for place in range(9)}
    values: list[Any] = network.gates.values(bits, 512)
    a, b = codes & 31, codes >> 5
    a, b = a - (32 * (a >> 4) if signs[0] else 0), b - (16 * (b >> 3) if signs[1] else 0)
    got = sum((values[node].astype(int) << place for place, node in enumerate(network.roots)), np.zeros(512, int))
    inverted = [
        place for place in range(9) if (got >> place & 1 != (a * b) >> place & 1).all()
    ]  # roots lose their signs
    for place in inverted:
        got ^= 1 << place
    assert (got == (a * b) % 512).all()


@pytest.mark.parametrize("name", ["mac_int4_int4_fixed16", "mac_e2m1fn_e2m1fn_fixed17", "mac_e4m3fn_e4m3fn_bfloat16"])
def test_every_cut_decides_its_gate(name: str) -> None:
    """Equal values on a cut are equal values of the gate: simulated, for all tables chosen."""
    network = _Network(catalogue()[name].module())
    network.choose()
    rng = np.random.default_rng(0)
    inputs = [node for node, (kind, *_) in enumerate(network.gates.nodes) if kind == "input"]
    values: list[Any] = network.gates.values({2 * node: rng.random(4096) < 0.5 for node in inputs}, 4096)
    for node, cut in network.best.items():
        assert len(cut) <= 6
        if network.gates.nodes[node][0] in ("sum", "carry"):
            continue
        seen: dict[int, bool] = {}
        keys = sum((values[below].astype(int) << k for k, below in enumerate(sorted(cut))), np.zeros(4096, int))
        for key, value in zip(keys.tolist(), values[node].tolist(), strict=True):
            assert seen.setdefault(key, value) == value
