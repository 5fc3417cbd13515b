"""A slow reference for timed energy: one queue of events for the whole circuit, written to be read.

Shares the library's look-ups with the fast kernel (static timing's slews and loads), and nothing of its traversal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hwsim.liberty.cells import Library
from hwsim.liberty.model import Cell, Power
from hwsim.liberty.timing import Conditions, driven, edges, static_timing
from hwsim.rtl.netlist import ONE, ZERO, Netlist


@dataclass
class Account:
    switching: float = 0.0
    internal: float = 0.0
    clock: float = 0.0
    toggles: dict[int, int] = field(default_factory=dict)


def group(powers: tuple[Power, ...], related: str | None, state: dict[str, int]) -> list[Power]:
    ours = [p for p in powers if p.related_pin == related]
    chosen = [p for p in ours if p.when is not None and p.when.value(state)]
    return chosen or [p for p in ours if p.when is None]


def value_of(cell: Cell, state: dict[str, int]) -> dict[str, int]:
    """The state with the outputs in it, for `when`s that use them."""
    return state | {pin: cell.pins[pin].function.value(state) for pin in cell.outputs}  # type: ignore[union-attr]


def simulate(
    netlist: Netlist, library: Library, vectors: list[dict[int, int]], conditions: Conditions, period_ps: float
) -> Account:
    """vectors: net -> value of the inputs, a cycle each. Times in whole fs."""
    timing = static_timing(netlist, library, conditions)
    half = round(period_ps * 1000) // 2
    account = Account()
    flops = [c for c in netlist.cells if library[c.kind].flip_flop]
    gates = [c for c in netlist.cells if not library[c.kind].flip_flop]
    value = {n: 0 for nets in netlist.inputs.values() for n in nets} | {ZERO: 0, ONE: 1} | vectors[0]
    q = {c.name: 0 for c in flops}

    def net(cell, pin):  # type: ignore[no-untyped-def]
        return cell.pins[pin][0]

    def settle() -> None:
        for c in flops:
            value[net(c, "Q")] = q[c.name]
        for _ in range(len(gates) + 1):
            for c in gates:
                state = {p: value.get(net(c, p), 0) for p in library[c.kind].inputs}
                value[net(c, "Y")] = library[c.kind].pins["Y"].function.value(state)  # type: ignore[union-attr]

    def price(powers: list[Power], into: int, out: int, slew: float, load: float) -> float:
        return sum(table.at(slew, load) for p in powers if (table := p.energy[out]) is not None)

    def slew_of(n: int, edge: int) -> float:
        return timing.slew_ps.get(n, (0.0, 0.0))[edge]

    def delay(c, pin: str, into: int, out: int) -> int:  # type: ignore[no-untyped-def]
        cell, load = library[c.kind], timing.load_ff[net(c, "Y")][out]
        arcs = [a for a in cell.pins["Y"].arcs if a.related_pin == pin]
        exact = [a for a in arcs if (into, out) in edges(a)]
        if exact:
            return round(1000 * max(a.delay[out].at(slew_of(net(c, pin), into), load) for a in exact))  # type: ignore
        slew = slew_of(net(c, pin), 1 - into)
        return round(1000 * max((a.delay[out].at(slew, load) for a in arcs), default=0.0))  # type: ignore[union-attr]

    settle()
    cv2 = library.voltage_v**2 / 2
    for cycle in range(1, len(vectors)):
        queue: list[tuple[int, int]] = []  # (time, net) toggles to come
        pending: dict[str, tuple[int, float]] = {}
        moving = {}
        for c in flops:
            cell = library[c.kind]
            state = {p: value[net(c, p)] for p in cell.inputs} | {"Q": q[c.name]}
            pins = cell.pins
            account.clock += price(group(pins["CK"].powers, None, state), 1, 1, conditions.clock_slew_ps, 0.0)
            new = value[net(c, "D")]
            if new != q[c.name]:
                n = net(c, "Q")
                load = timing.load_ff[n][new]
                arc = next(a for a in pins["Q"].arcs if a.kind == "rising_edge")
                queue.append((round(1000 * arc.delay[new].at(conditions.clock_slew_ps, load)), n))  # type: ignore
                account.internal += price(group(pins["Q"].powers, "CK", state), 1, new, conditions.clock_slew_ps, load)
            moving[c.name] = new
            account.clock += cv2 * sum(pins["CK"].edge_capacitance_ff)
        q = moving
        for n, v in vectors[cycle].items():
            if v != value[n]:
                arrival = 0.0
                if conditions.driving_cell:
                    arrival = driven(library[conditions.driving_cell], conditions.input_slew_ps, timing.load_ff[n])[0][
                        v
                    ]
                queue.append((round(1000 * arrival), n))
        clock_high = True
        while queue or pending or clock_high:
            now = min([t for t, _ in queue] + [t for t, _ in pending.values()] + ([half] if clock_high else []))
            if clock_high and now == half:
                clock_high = False
                for c in flops:
                    state = {p: value[net(c, p)] for p in library[c.kind].inputs} | {"Q": q[c.name], "CK": 0}
                    powers = group(library[c.kind].pins["CK"].powers, None, state)
                    account.clock += price(powers, 0, 0, conditions.clock_slew_ps, 0.0)
                continue
            moved = {n for t, n in queue if t == now}
            queue = [(t, n) for t, n in queue if t != now]
            for c in gates:  # outputs due now
                if c.name in pending and pending[c.name][0] == now:
                    account.internal += pending.pop(c.name)[1]
                    moved.add(net(c, "Y"))
            before = dict(value)
            for n in moved:
                value[n] ^= 1
                account.switching += cv2 * timing.load_ff.get(n, (0.0, 0.0))[value[n]]
                account.toggles[n] = account.toggles.get(n, 0) + 1
            for c in netlist.cells:
                cell = library[c.kind]
                state = {p: before[net(c, p)] for p in cell.inputs}
                if cell.flip_flop:
                    state |= {"CK": int(clock_high), "Q": q[c.name]}
                for pin in cell.inputs:
                    if net(c, pin) not in moved or pin == "CK":
                        continue
                    state[pin] ^= 1
                    edge = state[pin]
                    whole = state if cell.flip_flop else value_of(cell, state)
                    powers = group(cell.pins[pin].powers, None, whole)
                    account.internal += price(powers, edge, edge, slew_of(net(c, pin), edge), 0.0)
                    if cell.flip_flop:
                        continue
                    out = whole["Y"]
                    if out == value[net(c, "Y")]:
                        pending.pop(c.name, None)
                    elif c.name not in pending:
                        load = timing.load_ff[net(c, "Y")][out]
                        cost = price(
                            group(cell.pins["Y"].powers, pin, whole), edge, out, slew_of(net(c, pin), edge), load
                        )
                        pending[c.name] = (now + delay(c, pin, edge, out), cost)
    return account
