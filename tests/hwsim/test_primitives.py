"""Every leaf: its Verilog, made into gates, computes what its integer model says; defects put into it are seen."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from hwsim.circuit import Build, Module, evaluate, step
from hwsim.circuit.gates import Gates
from hwsim.primitives import PRIMITIVES, Leaf, primitive
from hwsim.primitives.add import Multiplier
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import CmosGates, elaborate, synthesise
from tests.hwsim.rtl.designs import needs_yosys

pytestmark = needs_yosys

TABLE = sum((7 * i * i + 3 * i + 1) % 32 << (5 * i) for i in range(16))
CASES: dict[str, list[dict[str, int]]] = {
    "multiplier": [{"m": 5, "n": 3, "signed_a": a, "signed_b": b} for a in (0, 1) for b in (0, 1)]
    + [{"m": 1, "n": 4}]
    + [{"m": 5, "n": 6, "signed_a": a, "signed_b": b} for a in (0, 1) for b in (0, 1)]
    + [{"m": 7, "n": 4, "signed_b": 1}, {"m": 4, "n": 3, "signed_b": 1}, {"m": 3, "n": 5, "signed_b": 1}]
    + [{"m": 4, "n": 4}, {"m": 9, "n": 9}, {"m": 8, "n": 8, "signed_a": 1, "signed_b": 1}],
    "compressor": [{"width": 3, "operands": 3}, {"width": 5, "operands": 1}],
    "shifter": [{"width": 6, "positions": 9}, {"width": 1, "positions": 1}],
    "arithmetic_shifter": [{"width": 6, "positions": 9}, {"width": 5, "positions": 3}],
    "sticky_shifter": [{"width": 6, "positions": 9}, {"width": 5, "positions": 1}],
    "expanding_shifter": [{"width": 4, "positions": 9, "limit": 11, "signed_a": s} for s in (0, 1)],
    "multiplexer": [{"width": 3, "choices": 2}, {"width": 2, "choices": 5}],
    "lookup": [{"address": 4, "width": 5, "contents": TABLE}, {"address": 1, "width": 5, "contents": TABLE % 1024}],
    "leading_zero_counter": [{"width": width} for width in (1, 2, 5, 8, 11)],
    "float_decoder": [{"exponent": 4}, {"exponent": 1}],
}
USUAL = [{"width": 5}, {"width": 1}]


def cases() -> list[Any]:
    return [
        pytest.param(kind, parameters, id=primitive(kind, parameters).module_name)
        for kind in PRIMITIVES
        for parameters in CASES.get(kind, USUAL)
    ]


def alone(leaf: Leaf) -> Module:
    """A module that is the leaf and nothing else."""
    m = Build("alone")
    rows = {f"{port}": m.input(f"{port}_in", width) for port, width in leaf.inputs().items()}
    if leaf.kind == "register":
        out = m.register("q", leaf.parameters["width"])
        m.drive("q", rows["d"])
    else:
        out = m.leaf("dut", leaf.kind, **leaf.parameters, **rows)
    for port, row in (out if isinstance(out, dict) else {next(iter(leaf.outputs())): out}).items():
        m.output(f"{port}_out", row)
    return m.done()


def patterns(leaf: Leaf) -> dict[str, Any]:
    """All inputs where they have 14 bits together or fewer, else 4,000 random ones."""
    widths = leaf.inputs()
    total = sum(widths.values())
    rng = np.random.default_rng(total)
    codes = np.arange(2**total) if total <= 14 else rng.integers(0, 2**total, 4000)
    found, place = {}, 0
    for port, width in widths.items():
        found[f"{port}_in"] = (codes >> place) & (2**width - 1)
        place += width
    return found


def differences(leaf: Leaf, text: str) -> int:
    """Vectors on which the gates of the Verilog do not compute what the integer model says."""
    module, given = alone(leaf), patterns(leaf)
    gates = GateSimulator(elaborate(text, "alone").netlist)
    if leaf.kind == "register":
        cycles = np.stack([given["d_in"], np.roll(given["d_in"], 5), np.roll(given["d_in"], 9)])
        got = gates.run({"d_in": cycles})["q_out"]
        state: Any = {"q_register": 0}
        wrong = np.zeros(cycles.shape[1], bool)
        for cycle, row in enumerate(cycles):
            outputs, state = step(module, {"d_in": row}, state)
            wrong |= outputs["q_out"] != got[cycle]
        return int(wrong.sum())
    expected, found = evaluate(module, given), gates.evaluate(given)
    wrong = np.zeros(len(next(iter(given.values()))), bool)
    for port, values in expected.items():
        wrong |= np.asarray(values) != np.asarray(found[port])
    return int(wrong.sum())


@pytest.mark.parametrize(("kind", "parameters"), cases())
def test_gates_compute_the_model(kind: str, parameters: dict[str, int]) -> None:
    leaf = primitive(kind, parameters)
    assert differences(leaf, verilog(alone(leaf))) == 0


ROWS = [case for case in CASES["multiplier"] if "`ifdef" in primitive("multiplier", case).verilog()]


@pytest.mark.parametrize("parameters", ROWS)
def test_a_product_in_rows_is_the_product_that_goes_to_a_dsp_block(parameters: dict[str, int]) -> None:
    leaf = primitive("multiplier", parameters)
    text = verilog(alone(leaf)).replace("`ifdef FPGA", "`ifndef FPGA")
    assert " * " in text
    assert differences(leaf, text) == 0
    assert differences(leaf, text.replace(" * ", " + ")) > 0


UNSIGNED = ("4 4", "5 5", "8 4", "16 4", "8 8", "11 11")
SIGNED = ("4 4 ab", "6 6 ab", "8 4 ab", "8 8 ab", "8 3 a", "11 4 b", "9 9 a")


@pytest.mark.parametrize("size", UNSIGNED + SIGNED)
def test_a_product_is_written_the_smaller_way(size: str) -> None:
    """In rows, or as `a * b`, which synthesis recodes from 4 x 4 bits on: the other way is never 3 % smaller."""
    m, n, signs = (*size.split(), "")[:3]
    leaf = Multiplier(m=int(m), n=int(n), signed_a=int("a" in signs), signed_b=int("b" in signs))
    rows = verilog(alone(leaf)).replace(leaf.verilog(), leaf._rows())
    in_rows, whole = (
        synthesise(text, "alone", CmosGates()).statistics["gate_equivalents"]
        for text in (rows, rows.replace("`ifdef FPGA", "`ifndef FPGA"))
    )
    chosen, other = (in_rows, whole) if leaf.in_rows else (whole, in_rows)
    assert chosen < 1.03 * other


@pytest.mark.parametrize(("kind", "parameters"), [case for case in cases() if case.values[0] != "register"])
def test_counted_gates_compute_the_model(kind: str, parameters: dict[str, int]) -> None:
    """The network whose gates the estimate counts is the leaf, with every third input bit a constant too."""
    leaf = primitive(kind, parameters)
    given = patterns(leaf)
    size = len(next(iter(given.values())))
    for fixed in (0, 3):
        g, values, stuck = Gates(), {}, {name: np.array(x) for name, x in given.items()}
        rows: dict[str, list[int]] = {}
        for place, (port, width) in enumerate(leaf.inputs().items()):
            rows[port] = []
            for bit in range(width):
                if fixed and (bit + place) % fixed == 1:
                    rows[port].append(bit % 2)
                    stuck[f"{port}_in"] = stuck[f"{port}_in"] & ~(1 << bit) | (bit % 2 << bit)
                else:
                    rows[port].append(g.fresh())
                    values[rows[port][-1]] = (given[f"{port}_in"] >> bit) & 1 == 1
        made = leaf.gates(g, **rows)
        expected, found = evaluate(alone(leaf), stuck), g.values(values, size)
        for port, row in made.items():
            word = sum((found[x >> 1] ^ bool(x & 1)).astype(np.int64) << i for i, x in enumerate(row))
            assert (word == expected[f"{port}_out"]).all()


SWAPS = (
    *((" + ", " - "), (" - ", " + "), (" * ", " + "), (" << ", " >> "), (" >> ", " << "), (" >>> ", " >> ")),
    *((" & ", " | "), (" | ", " & "), (" ^ ", " & "), ("= |", "= &"), ("= &", "= |"), (" < ", " > ")),
)


def defects(leaf: Leaf) -> list[str]:
    """The Verilog with one thing wrong: an output inverted, an input or its last bit stuck, an operator changed."""
    text = re.sub(r"`ifdef FPGA.*?`else", "", verilog(alone(leaf)), flags=re.S).replace("`endif", "")
    found = []
    for port, width in leaf.inputs().items():
        found.append(text.replace(f".{port}({port}_in)", f".{port}({width}'d0)"))
        found.append(text.replace(f".{port}({port}_in)", f".{port}({port}_in | {width}'d1)"))
    for port in leaf.outputs():
        found.append(re.sub(rf"assign {port}_out = (\w+);", rf"assign {port}_out = ~\1;", text))
    body = text[: text.index("endmodule")]
    found += [body.replace(old, new, 1) + text[len(body) :] for old, new in SWAPS if old in body]
    return found


@pytest.mark.parametrize("kind", PRIMITIVES)
def test_seeded_defects_are_seen(kind: str) -> None:
    leaf = primitive(kind, CASES.get(kind, USUAL)[0])
    built = defects(leaf)
    assert len(built) >= 3
    for text in built:
        assert text != verilog(alone(leaf))
        assert differences(leaf, text) > 0, text


def test_leaves_have_names_of_their_own() -> None:
    names = [primitive(kind, case).module_name for kind in PRIMITIVES for case in CASES.get(kind, USUAL)]
    assert len(names) == len(set(names))
    assert len(PRIMITIVES) <= 30
