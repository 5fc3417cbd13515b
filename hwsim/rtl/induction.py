"""A clocked datapath proved by induction over its clock: from every state, one step is right.

In three parts:
(a) SAT: the mapped netlist and the gates ahead of abc (`Synthesis.before`) have equal outputs and next states for all
    inputs and all states;
(b) every named term (a product, say) of those gates equals Python's integers, for all its inputs, by simulation;
(c) SAT: with the terms cut loose as free numbers, outputs and next states equal a reference built here of ripple-carry
    adders and choices, for all inputs, states and values of the terms.
So the netlist's step is the reference's step on Python's terms.

Trusted: abc's SAT prover; this package's simulation, adders and choices; the caller's `step` and `expected`. Not
trusted: yosys' front end, its arithmetic, abc's optimisation, as their results are what is proved. Not shown: that a
state is ever reached. The first state is the environment's: registers have no asynchronous reset. A register that
synthesis found constant or a copy of another is taken as such before the step, and (c) shows that it stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hwsim.rtl.aig import FALSE, TRUE, Graph
from hwsim.rtl.equivalence import any_of, prove_equal, solve
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.levelise import levelise
from hwsim.rtl.models import YOSYS_CELLS, CellModel
from hwsim.rtl.netlist import ONE, ZERO, Netlist
from hwsim.rtl.proof import ANONYMOUS, Proof, Subject, combinations, conclude, differ, of_codes
from hwsim.rtl.stepping import StepFunction
from hwsim.rtl.yosys import Elaboration, Synthesis

Bits = list[int]
Step = Callable[[Graph, Mapping[str, Bits]], Mapping[str, Bits]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A signal inside a datapath that prove_step checks by exhaustion.

    expected: from codes [n] of the input ports that the signal reads to integers [n], modulo 2**width. inputs: the
    codes of a port, where not all of them; then the proof holds for these. reads: port -> (low, high), where the signal
    depends on its bits low .. high - 1 only (ValueError where it does not): inputs are then codes of these, and so is
    what expected is given.
    """

    expected: Callable[[dict[str, Any]], ArrayLike]
    inputs: Mapping[str, ArrayLike] | None = None
    reads: Mapping[str, tuple[int, int]] | None = None


def prove_step(
    synthesis: Synthesis,
    terms: Mapping[str, Term],
    step: Step,
    *,
    models: Mapping[str, CellModel] = YOSYS_CELLS,
    subject: Subject = ANONYMOUS,
    seconds: int = 300,
) -> Proof:
    """Induction, as the module says. models: of the mapped cells. seconds: for each of the two SAT problems.

    terms: signal of the Verilog -> what it should be, a function of input ports only. step: given a Graph and the
    literals (least significant bit first) of every input port, register word and term, returns those of every output
    port and of `next WORD` of every register word; `accumulate` makes the usual one. Raises ValueError for a signal
    that is not in the gates ahead of abc, a term that reads registers, and outputs that step leaves out.
    """
    shown = ", ".join(name + of_codes(term.inputs or {}) for name, term in terms.items()) or "no terms"
    method = f"SAT: netlist = gates ahead of abc; exhaustive: {shown}; SAT: step"
    vectors = 0
    for name, term in terms.items():
        count, mismatches, example = _check_term(synthesis.before, name, term)
        vectors += count
        if mismatches:
            return conclude("refuted", method, synthesis.netlist, subject, vectors=vectors, mismatches=mismatches,
                            counterexample=example)  # fmt: skip
    mapped = prove_equal(synthesis.before.netlist, synthesis.netlist, right_models=models, seconds=seconds)
    verdict, row = {"equal": "never", "different": "row"}.get(mapped.status, "undecided"), mapped.counterexample
    if verdict == "never":
        verdict, row = _check_step(synthesis.before, list(terms), step, seconds)
    if verdict == "never":
        return conclude("proved", method, synthesis.netlist, subject, vectors=vectors)
    if verdict == "undecided":
        return conclude("undecided", method, synthesis.netlist, subject, vectors=vectors)
    return conclude("refuted", method, synthesis.netlist, subject, vectors=vectors, mismatches=1, counterexample=row)


def accumulate(
    register: str,
    terms: Sequence[str],
    *,
    signed: bool = True,
    output: str | None = None,
    restart: str | None = None,
    hold: str | None = None,
    clear: str | None = None,
) -> Step:
    """The step `next register = (restart ? 0 : register) + terms`, modulo its width.

    signed: terms are sign-extended, else zero-extended. output: the port that shows the register. restart, hold, clear:
    ports of one bit; hold keeps the register, clear makes it 0 and wins over hold.
    """

    def step(graph: Graph, words: Mapping[str, Bits]) -> dict[str, Bits]:
        state = words[register]
        total = list(state) if restart is None else [graph.both(words[restart][0] ^ 1, bit) for bit in state]
        wide = [words[term][: len(state)] for term in terms]
        sums = [bits + [bits[-1] if signed else FALSE] * (len(state) - len(bits)) for bits in wide]
        while len(sums) > 1:  # in pairs, as adder trees are: SAT is quicker where both sides are built alike
            pairs = [graph.add(one, other) for one, other in zip(sums[::2], sums[1::2], strict=False)]
            sums = pairs + sums[len(pairs) * 2 :]
        for bits in sums:
            total = graph.add(total, bits)
        if hold is not None:
            total = [graph.choose(words[hold][0], old, new) for old, new in zip(state, total, strict=True)]
        if clear is not None:
            total = [graph.both(words[clear][0] ^ 1, bit) for bit in total]
        return {f"next {register}": total} | ({output: list(state)} if output is not None else {})

    return step


def _check_term(before: Elaboration, name: str, term: Term) -> tuple[int, int, dict[str, int] | None]:
    """Vectors, mismatches and the first of them, of a signal against what it should be."""
    cone, widths = _cone(before, name)
    if term.reads is not None:
        cone, widths = _narrowed(cone, term.reads)
    given, ports = term.inputs or {}, before.netlist.inputs
    # Codes of ports that the gates do not read are gone through too: what is expected must not depend on them either.
    unread = {port: len(ports[port]) for port in given if port in ports and port not in widths}
    values, count = combinations(widths | unread, given)
    got = np.broadcast_to(GateSimulator(cone).evaluate({port: values[port] for port in widths})[name], (count,))
    want = np.asarray(term.expected(values))
    mask = (1 << len(cone.outputs[name])) - 1
    wrong = differ(got, want, mask)
    if not wrong.any():
        return count, 0, None
    first = int(np.argmax(wrong))
    example = {port: int(array[first]) for port, array in values.items()}
    example |= {f"got {name}": int(got[first]) & mask, f"expected {name}": int(want[first]) & mask}
    return count, int(wrong.sum()), example


def _cone(before: Elaboration, name: str) -> tuple[Netlist, dict[str, int]]:
    """The gates that make a signal, as a netlist whose inputs are the ports it reads, and their widths."""
    if name not in before.signals:
        raise ValueError(f"no signal {name!r} ahead of abc; the names kept are {', '.join(sorted(before.signals))}")
    driver = {cell.pins[pin][0]: cell for cell in before.netlist.cells for pin in YOSYS_CELLS[cell.kind].outputs}
    needed: set[int] = set()
    stack = list(before.signals[name])
    while stack:
        net = stack.pop()
        if net in needed:
            continue
        needed.add(net)
        if net in driver:
            if YOSYS_CELLS[driver[net].kind].flip_flop is not None:
                raise ValueError(
                    f"signal {name!r} reads register {driver[net].name!r}; a term is a function of input ports only"
                )
            stack += [nets[0] for nets in driver[net].pins.values()]
    inputs = {port: nets for port, nets in before.netlist.inputs.items() if not needed.isdisjoint(nets)}
    cells = tuple(driver[net] for net in sorted(needed) if net in driver)
    return Netlist(name, inputs, {name: before.signals[name]}, cells), {port: len(inputs[port]) for port in inputs}


def bits_read(before: Elaboration, name: str) -> dict[str, tuple[int, int]]:
    """The range (low, high) of every input port's bits that a signal depends on."""
    cone, _ = _cone(before, name)
    used = {net for cell in cone.cells for nets in cell.pins.values() for net in nets} | set(before.signals[name])
    found = {}
    for port, nets in cone.inputs.items():
        places = [place for place, net in enumerate(nets) if net in used]
        found[port] = (min(places), max(places) + 1)
    return found


def _narrowed(cone: Netlist, reads: Mapping[str, tuple[int, int]]) -> tuple[Netlist, dict[str, int]]:
    """The cone with ports of these bits only."""
    used = {net for cell in cone.cells for nets in cell.pins.values() for net in nets}
    used |= {net for nets in cone.outputs.values() for net in nets}
    inputs = {}
    for port, nets in cone.inputs.items():
        low, high = reads.get(port, (0, 0))
        inputs[port] = nets[low:high]
        if used & set(nets[:low] + nets[high:]):
            raise ValueError(f"signal {cone.name!r} depends on more of port {port!r} than bits {low} .. {high - 1}")
    inputs = {port: nets for port, nets in inputs.items() if nets}
    narrow = Netlist(cone.name, inputs, cone.outputs, cone.cells)
    return narrow, {port: len(nets) for port, nets in inputs.items()}


def _check_step(
    before: Elaboration, terms: Sequence[str], step: Step, seconds: int
) -> tuple[Literal["never", "undecided", "row"], dict[str, int] | None]:
    """Part (c), and a row of words that shows a difference."""
    levelised = levelise(before.netlist, YOSYS_CELLS)
    function = StepFunction(before.netlist)
    states = [register.state for register in levelised.registers]
    nets = [(name, bit, net) for name, port in levelised.data_inputs().items() for bit, net in enumerate(port)]
    nets += [(w, bit, states[index]) for w, bits in function.registers.items() for bit, index in bits.items()]
    # Cut loose, except where a term's bit is a constant, an input's bit or another term's bit: it stays that.
    nets += [(name, bit, net) for name in terms for bit, net in enumerate(before.signals[name])]
    free: dict[int, tuple[str, int]] = {}
    for name, bit, net in nets:
        if net not in (ZERO, ONE):
            free.setdefault(net, (name, bit))
    graph = Graph(len(free))
    given = {net: graph.input(index) for index, net in enumerate(free)}
    literals = graph.copy(levelised, given)
    after = {
        given[register.state]: graph.tree(register.next_state, register.pins, literals)
        for register in levelised.registers
    } | {FALSE: FALSE, TRUE: TRUE}
    words = {name: [literals[net] for net in port] for name, port in levelised.data_inputs().items()}
    words |= {name: [literals[net] for net in before.signals[name]] for name in terms}
    found = {name: [literals[net] for net in port] for name, port in before.netlist.outputs.items()}
    for word, bits in function.registers.items():
        held = before.signals.get(word, tuple(states[bits[bit]] for bit in sorted(bits)))
        words[word] = [literals[net] for net in held]
        found[f"next {word}"] = [after[literal] for literal in words[word]]
    wanted = step(graph, words)
    if set(wanted) != set(found):
        raise ValueError(f"step gives {sorted(wanted)}; the netlist has {sorted(found)}")
    differences = [
        graph.differ(one, other) for name in found for one, other in zip(found[name], wanted[name], strict=True)
    ]
    row = solve(graph, any_of(graph, differences), seconds=seconds)
    if isinstance(row, str):
        return row, None
    example: dict[str, int] = {}
    for (name, bit), value in zip(free.values(), row, strict=True):
        example[name] = example.get(name, 0) | value << bit
    return "row", example
