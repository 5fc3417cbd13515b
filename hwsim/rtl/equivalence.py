"""Two netlists proved to compute the same, by SAT: outputs and next states, for every input and every state.

    prove_equal(synthesis.before.netlist, synthesis.netlist).status == "equal"

The prover is the abc that comes with yosys (`&cec`). It is trusted where it says equal; where it says different, its
inputs are run here and must show the difference.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hwsim.rtl.aig import FALSE, TRUE, Graph
from hwsim.rtl.levelise import Levelised, levelise
from hwsim.rtl.models import YOSYS_CELLS, CellModel
from hwsim.rtl.netlist import ONE, ZERO, Netlist
from hwsim.rtl.yosys import Elaboration

_BIT = re.compile(r"(.*)\[(\d+)\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """status: undecided where the limit of time came first.

    counterexample: input ports and registers (words of bits, `acc` for `acc[0]`, `acc[1]`, ...) -> integers, unsigned.
    differs: outputs, and registers as `next acc[3]`, that differ there. seconds: of the prover.
    """

    status: Literal["equal", "different", "undecided"]
    counterexample: Mapping[str, int] | None = None
    differs: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)


def prove_equal(
    left: Netlist,
    right: Netlist,
    *,
    models: Mapping[str, CellModel] = YOSYS_CELLS,
    right_models: Mapping[str, CellModel] | None = None,
    registers: Mapping[str, str | int] | None = None,
    seconds: int = 300,
) -> Equivalence:
    """Whether both have equal outputs and next states for all inputs and states.

    Ports pair by name, and so do registers. registers: register of left -> the one of right that holds it, or the
    constant 0 or 1 that right holds in its place (then the constant is assumed before the step and proved after it:
    induction). models: of the cells of left, and of right where right_models does not say otherwise. Raises ValueError
    for ports or registers that do not pair.
    """
    one, other = levelise(left, models), levelise(right, right_models or models)
    pairs = _pairs(one, other, registers or {})
    ports = _merged(one, other)
    keys: list[str] = [f"{name}[{bit}]" for name, width in ports.items() for bit in range(width)]
    keys += [register.name for register in other.registers]
    graph = Graph(len(keys))
    literal = {key: graph.input(index) for index, key in enumerate(keys)}
    states = {name: literal[to] if isinstance(to, str) else (FALSE, TRUE)[to] for name, to in pairs.items()}
    first = _outcomes(graph, one, literal, states)
    second = _outcomes(graph, other, literal, literal)
    # What stands for a register of left must become that register's next state.
    second |= {f"next {name}": second[f"next {to}"] if isinstance(to, str) else to for name, to in pairs.items()}
    names = sorted(first)
    differences = [graph.differ(first[name], second[name]) for name in names]
    started = time.perf_counter()
    found = solve(graph, any_of(graph, differences), seconds=seconds)
    spent = time.perf_counter() - started
    if isinstance(found, str):
        return Equivalence(status="equal" if found == "never" else "undecided", seconds=spent)
    wrong = graph.evaluate(differences, found)
    return Equivalence(
        status="different",
        counterexample=_words(dict(zip(keys, found, strict=True))),
        differs=tuple(name for name, bit in zip(names, wrong, strict=True) if bit),
        seconds=spent,
    )


def match_registers(left: Elaboration, right: Elaboration) -> dict[str, str | int]:
    """The `registers` of prove_equal for two elaborations of one Verilog: by the signals that registers hold.

    Finds registers that one of them merged with another or found constant.
    """
    held = {cell.pins["Q"][0]: cell.name for cell in right.netlist.cells if "Q" in cell.pins}
    pairs: dict[str, str | int] = {}
    for cell in left.netlist.cells:
        if "Q" not in cell.pins:
            continue
        match = _BIT.match(cell.name)
        name, bit = (match.group(1), int(match.group(2))) if match else (cell.name, 0)
        nets = right.signals.get(name, ())
        if bit < len(nets):
            net = nets[bit]
            if net in (ZERO, ONE):
                pairs[cell.name] = net
            elif net in held:
                pairs[cell.name] = held[net]
    return pairs


def any_of(graph: Graph, literals: Sequence[int]) -> int:
    """Whether any literal is true."""
    result = FALSE
    for literal in literals:
        result = graph.either(result, literal)
    return result


def solve(graph: Graph, literal: int, *, seconds: int = 300) -> list[int] | Literal["never", "undecided"]:
    """A row of inputs for which the literal is true, or that there is none, or that the time was too short."""
    if literal == FALSE:
        return "never"
    if literal == TRUE:
        return [0] * graph.inputs
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise ImportError("proof by SAT needs the abc of yosys: pip install bitcost[rtl]")
    with tempfile.TemporaryDirectory(prefix="bitcost-abc-") as name:
        folder = Path(name)
        # One output: with several, `&cec -m` still calls the file a single-output miter and proves what is not so.
        (folder / "miter.aig").write_bytes(graph.aiger([literal]))
        command = [str(Path(spec.origin).parent / "yosys-abc"), "-c"]
        command.append(f"read_aiger miter.aig; &get; &cec -m -C 100000 -T {seconds}; write_cex row")
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=seconds)
        except subprocess.TimeoutExpired:  # abc keeps its own limit only roughly
            return "undecided"
        said = done.stdout
        if "Networks are NOT EQUIVALENT" in said:
            text = (folder / "row").read_text(encoding="ascii")
            row = [int(bit) for bit in re.sub(r"#.*|\s", "", text)]  # a digit an input, and remarks
            if len(row) != graph.inputs or graph.evaluate([literal], row) != [1]:
                raise RuntimeError(
                    "abc reports a difference that its own inputs do not show; please report this netlist"
                )
            return row
    if "Networks are equivalent" in said:
        return "never"
    if "UNDECIDED" in said or "Timed out" in said:
        return "undecided"
    raise RuntimeError(f"abc gave no verdict (exit {done.returncode}): {' '.join((said + done.stderr).split())[-300:]}")


def _outcomes(
    graph: Graph, levelised: Levelised, literal: Mapping[str, int], states: Mapping[str, int]
) -> dict[str, int]:
    """Literals of every output bit, and of every register's next state as `next NAME`."""
    given = {
        net: literal[f"{name}[{bit}]"] for name, nets in levelised.data_inputs().items() for bit, net in enumerate(nets)
    }
    given |= {register.state: states[register.name] for register in levelised.registers}
    nets = graph.copy(levelised, given)
    found = {
        f"{name}[{bit}]": nets[net]
        for name, nets_of_port in levelised.netlist.outputs.items()
        for bit, net in enumerate(nets_of_port)
    }
    for register in levelised.registers:
        found[f"next {register.name}"] = graph.tree(register.next_state, register.pins, nets)
    return found


def _pairs(one: Levelised, other: Levelised, given: Mapping[str, str | int]) -> dict[str, str | int]:
    there = {register.name for register in other.registers}
    pairs: dict[str, str | int] = {}
    for register in one.registers:
        to = given.get(register.name, register.name)
        if isinstance(to, str) and to not in there:
            raise ValueError(
                f"register {register.name!r} of {one.netlist.name!r} has no counterpart {to!r}; pass registers={{"
                f"{register.name!r}: name or constant}}; the other netlist has {', '.join(sorted(there)[:8]) or 'none'}"
            )
        pairs[register.name] = to
    left_over = sorted(there - set(pairs.values()))
    if left_over:
        raise ValueError(f"registers {', '.join(left_over[:8])} of the second netlist stand for none of the first")
    outputs = {name: len(nets) for name, nets in one.netlist.outputs.items()}
    others = {name: len(nets) for name, nets in other.netlist.outputs.items()}
    if outputs != others:
        raise ValueError(f"outputs {outputs} and {others} (name: width) do not pair")
    return pairs


def _merged(one: Levelised, other: Levelised) -> dict[str, int]:
    """Data inputs of both and their widths. A netlist that lost its registers has no use for the other's clock."""
    first, second = ({name: len(nets) for name, nets in side.data_inputs().items()} for side in (one, other))
    clocks = [name for side in (one, other) for name, nets in side.netlist.inputs.items() if nets == (side.clock,)]
    if {**first, **second} != {**second, **first} or not set(first) ^ set(second) <= set(clocks):
        raise ValueError(f"inputs {first} and {second} (name: width) do not pair")
    return first | second


def _words(bits: Mapping[str, int]) -> dict[str, int]:
    words: dict[str, int] = {}
    for key, bit in bits.items():
        match = _BIT.match(key)
        name, place = (match.group(1), int(match.group(2))) if match else (key, 0)
        words[name] = words.get(name, 0) | bit << place
    return words
