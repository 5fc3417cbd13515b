"""The kernel: cycle after cycle, every net's toggles in time order, gate by gate in topological order.

Between two clock edges a net is its first value and a rising list of toggle times. A gate merges the lists of its
inputs and makes its own, so one pass over the gates is exact: nothing feeds back before the next edge. Delays are
inertial, as Verilog's `assign #(rise, fall)`: an output change still to come is dropped when the inputs take it back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.kernels.jit import kernel
from hwsim.liberty.circuit import (
    CLOCK_SITE,
    DELAY,
    ENERGY,
    FIRST,
    FIRST_Q,
    INPUT_DELAY,
    INPUT_SITE,
    LEAKAGE,
    NET,
    NET_OF_GATE,
    OUTPUT_SITE,
    Q_DELAY,
    Q_SITE,
    TABLE,
    VALUE,
    Circuit,
)
from hwsim.liberty.function import MOST_PINS

COLUMNS = SWITCHING, INTERNAL, CLOCK, INPUTS, LEAK, TOGGLES = tuple(range(6))
_NEVER = 1 << 62
I64 = np.int64


def run(
    circuit: Circuit, vectors: NDArray[np.uint8], timed: bool, period_fs: int, uncounted: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.int64]]:
    """Simulate from all registers at 0 and the first vector settled.

    vectors: (cycles, input bits).  Returns energies (cycles, COLUMNS) in fJ (leakage: nW; toggles: of gate and register
    outputs), row 0 all zero; the values (cycles, output bits) at the end of each cycle; and for each net its toggles
    and the time it was 1 (fs, within the periods), both after the first `uncounted` rows.
    """
    nets = len(circuit.half_cv2)
    room = 64 * nets + 1024
    while True:
        energy = np.zeros((len(vectors), len(COLUMNS)))
        outputs = np.zeros((len(vectors), len(circuit.outputs)), np.uint8)
        activity = np.zeros((nets, 2), np.int64)
        if _run(circuit, timed, period_fs, uncounted, room, vectors, energy, outputs, activity):
            return energy, outputs, activity
        room *= 4  # more toggles in a cycle than fit


# Loops where a slice would do: numba compiles a slice assignment's error message for seconds.
@kernel
def _run(
    c: Any,
    timed: Any,
    period: Any,
    uncounted: Any,
    room: Any,
    vectors: Any,
    energy: Any,
    outputs: Any,
    activity: Any,
) -> Any:
    """All cycles; False if `room` toggle times are too few for one."""
    nets, gates, registers = len(c.half_cv2), len(c.gates) - 1, len(c.registers) - 1
    value = np.zeros(nets, np.int64)  # at the start of the cycle
    state = np.zeros(registers, np.int64)
    after = np.zeros(registers, np.int64)
    start, count = np.zeros(nets, np.int64), np.zeros(nets, np.int64)
    times = np.empty(room, np.int64)
    at = np.zeros(MOST_PINS + 2, np.int64)
    value[1] = 1
    for i in range(len(c.inputs)):
        value[c.inputs[i, NET]] = vectors[0, i]
    for q in range(len(c.qs)):
        value[c.qs[q, NET]] = c.qs[q, VALUE]
    for g in range(gates):
        value[c.gates[g, NET_OF_GATE]] = c.luts[
            c.gates[g, TABLE] + _state(value, c.pins, c.gates[g, FIRST], c.gates[g + 1, FIRST])
        ]
    for i in range(len(c.outputs)):
        outputs[0, i] = value[c.outputs[i]]
    for cycle in range(1, len(vectors)):
        seen = energy[cycle]
        for net in range(nets):
            count[net] = 0
        used = _clock_edge(c, timed, value, state, after, start, count, times, seen)
        used = _inputs(c, timed, value, vectors[cycle], start, count, times, used, seen)
        for g in range(gates):
            events = 0
            for p in range(c.gates[g, FIRST], c.gates[g + 1, FIRST]):
                events += count[c.pins[p, NET]]
            if events == 0:
                continue
            if used + events + 1 > room:
                return False
            if timed:
                used = _gate(c, g, events, value, start, count, times, at, used, seen)
            else:
                used = _settled_gate(c, g, value, start, count, times, used, seen)
        for r in range(registers):
            _data_pins(c, r, period // 2, value, after, start, count, times, at, seen)
        for net in range(nets):
            if cycle >= uncounted:
                activity[net, 0] += count[net]
                activity[net, 1] += _time_high(value[net], start[net], count[net], times, period)
            value[net] ^= count[net] & 1
        for r in range(registers):
            state[r] = after[r]
        seen[LEAK] = _leakage(c, value, state)
        for i in range(len(c.outputs)):
            outputs[cycle, i] = value[c.outputs[i]]
    return True


@kernel
def _state(value: Any, rows: Any, first: Any, last: Any) -> Any:
    """The values of rows first to last as one number, row `first` in bit 0."""
    state = I64(0)
    for p in range(first, last):
        state |= value[rows[p, NET]] << I64(p - first)
    return state


@kernel
def _cost(groups: Any, energy: Any, site: Any, state: Any, base: Any, into: Any, out: Any) -> Any:
    """Energy at a site in a state, fJ; 0 without site or group. into, out: edges of the causing and the priced pin."""
    if site < 0:
        return 0.0
    group = groups[site + state]
    return energy[base + group, into, out] if group >= 0 else 0.0


@kernel
def _clock_edge(
    c: Any, timed: Any, value: Any, state: Any, after: Any, start: Any, count: Any, times: Any, seen: Any
) -> Any:
    """Registers take what their pins held, and their outputs follow. Returns the toggle times used."""
    used = 0
    for r in range(len(c.registers) - 1):
        first, last = c.registers[r, FIRST], c.registers[r + 1, FIRST]
        base = c.registers[r, ENERGY]
        before = _state(value, c.data, first, last) | state[r] << I64(last - first + 1)
        after[r] = c.luts[c.registers[r, TABLE] + before]
        seen[CLOCK] += _cost(c.groups, c.energy, c.registers[r, CLOCK_SITE], before, base, 1, 1)
        for q in range(c.registers[r, FIRST_Q], c.registers[r + 1, FIRST_Q]):
            net, new = c.qs[q, NET], c.qs[q, VALUE + after[r]]
            if new != value[net]:
                start[net], count[net] = used, 1
                times[used] = c.qs[q, Q_DELAY + new] if timed else 0
                used += 1
                seen[SWITCHING] += c.half_cv2[net, new]
                seen[TOGGLES] += 1
                seen[INTERNAL] += _cost(c.groups, c.energy, c.qs[q, Q_SITE], before, base, 1, new)
    seen[CLOCK] += c.clock_half_cv2[0] + c.clock_half_cv2[1]
    return used


@kernel
def _inputs(
    c: Any, timed: Any, value: Any, vector: Any, start: Any, count: Any, times: Any, used: Any, seen: Any
) -> Any:
    for i in range(len(c.inputs)):
        net, new = c.inputs[i, NET], I64(vector[i])
        if new != value[net]:
            start[net], count[net] = used, 1
            times[used] = c.inputs[i, INPUT_DELAY + new] if timed else 0
            used += 1
            seen[SWITCHING] += c.half_cv2[net, new]
            seen[INPUTS] += c.half_cv2[net, new]
    return used


@kernel
def _next(rows: Any, first: Any, last: Any, start: Any, count: Any, times: Any, at: Any) -> Any:
    """The earliest toggle not yet taken of the nets in rows first to last, and its row; -1 when there is none."""
    moment, which = I64(_NEVER), I64(-1)
    for p in range(first, last):
        net, k = rows[p, NET], at[p - first]
        if k < count[net] and times[start[net] + k] < moment:
            moment, which = times[start[net] + k], I64(p)
    return moment, which


@kernel
def _gate(
    c: Any, g: Any, events: Any, value: Any, start: Any, count: Any, times: Any, at: Any, used: Any, seen: Any
) -> Any:
    """Toggles of one gate's output, with delays."""
    first, last = c.gates[g, FIRST], c.gates[g + 1, FIRST]
    net, base = c.gates[g, NET_OF_GATE], c.gates[g, ENERGY]
    start[net] = used
    for p in range(first, last):
        at[p - first] = 0
    now = _state(value, c.pins, first, last)
    out = value[net]
    pending, cost = I64(-1), 0.0
    for _ in range(events + 1):
        moment, which = _next(c.pins, first, last, start, count, times, at)
        if pending >= 0 and pending <= moment:
            out ^= 1
            times[used] = pending
            used += 1
            seen[SWITCHING] += c.half_cv2[net, out]
            seen[INTERNAL] += cost
            seen[TOGGLES] += 1
            pending = I64(-1)
        if which < 0:
            break
        at[which - first] += 1
        now ^= I64(1) << I64(which - first)
        edge = now >> I64(which - first) & 1
        seen[INTERNAL] += _cost(c.groups, c.energy, c.pins[which, INPUT_SITE], now, base, edge, edge)
        new = c.luts[c.gates[g, TABLE] + now]
        if new == out:
            pending = I64(-1)
        elif pending < 0:
            pending = moment + c.pins[which, DELAY + 2 * edge + new]
            cost = _cost(c.groups, c.energy, c.pins[which, OUTPUT_SITE], now, base, edge, new)
    count[net] = used - start[net]
    return used


@kernel
def _settled_gate(c: Any, g: Any, value: Any, start: Any, count: Any, times: Any, used: Any, seen: Any) -> Any:
    """At most one toggle, all inputs changing at once; its internal energy is the mean over the pins that changed."""
    first, last = c.gates[g, FIRST], c.gates[g + 1, FIRST]
    net, base = c.gates[g, NET_OF_GATE], c.gates[g, ENERGY]
    now = _state(value, c.pins, first, last)
    for p in range(first, last):
        now ^= (count[c.pins[p, NET]] & 1) << I64(p - first)
    new = c.luts[c.gates[g, TABLE] + now]
    shared, sharing = 0.0, 0
    for p in range(first, last):
        if count[c.pins[p, NET]] & 1:
            edge = now >> I64(p - first) & 1
            seen[INTERNAL] += _cost(c.groups, c.energy, c.pins[p, INPUT_SITE], now, base, edge, edge)
            if c.pins[p, OUTPUT_SITE] >= 0:
                shared += _cost(c.groups, c.energy, c.pins[p, OUTPUT_SITE], now, base, edge, new)
                sharing += 1
    if new != value[net]:
        start[net], count[net] = used, 1
        times[used] = 0
        used += 1
        seen[SWITCHING] += c.half_cv2[net, new]
        seen[TOGGLES] += 1
        if sharing:
            seen[INTERNAL] += shared / sharing
    return used


@kernel
def _data_pins(
    c: Any,
    r: Any,
    half_period: Any,
    value: Any,
    after: Any,
    start: Any,
    count: Any,
    times: Any,
    at: Any,
    seen: Any,
) -> None:
    """A register's data moves while the clock is high, then low; in between the clock falls."""
    first, last = c.registers[r, FIRST], c.registers[r + 1, FIRST]
    clock, base = I64(last - first), c.registers[r, ENERGY]
    now = _state(value, c.data, first, last) | after[r] << (clock + 1) | I64(1) << clock
    for p in range(first, last):
        at[p - first] = 0
    high = True
    while True:
        moment, which = _next(c.data, first, last, start, count, times, at)
        if high and moment >= half_period:
            high = False
            now ^= I64(1) << clock
            seen[CLOCK] += _cost(c.groups, c.energy, c.registers[r, CLOCK_SITE], now, base, 0, 0)
        if which < 0:
            break
        at[which - first] += 1
        now ^= I64(1) << I64(which - first)
        edge = now >> I64(which - first) & 1
        seen[INTERNAL] += _cost(c.groups, c.energy, c.data[which, INPUT_SITE], now, base, edge, edge)


@kernel
def _time_high(value: Any, start: Any, count: Any, times: Any, period: Any) -> Any:
    """How long a net is 1 in one period."""
    high = period if value else 0
    for k in range(start, start + count):
        left = max(period - times[k], 0)
        high += -left if value else left
        value ^= 1
    return high


@kernel
def _leakage(c: Any, value: Any, state: Any) -> Any:
    """nW with the nets at rest, the clock high half of the time."""
    total = 0.0
    for r in range(len(c.registers) - 1):
        first, last = c.registers[r, FIRST], c.registers[r + 1, FIRST]
        now = c.registers[r, LEAKAGE] + (_state(value, c.data, first, last) | state[r] << I64(last - first + 1))
        total += 0.5 * c.leakage[now] + 0.5 * c.leakage[now + (I64(1) << I64(last - first))]
    for g in range(len(c.gates) - 1):
        if c.gates[g, LEAKAGE] >= 0:
            total += c.leakage[c.gates[g, LEAKAGE] + _state(value, c.pins, c.gates[g, FIRST], c.gates[g + 1, FIRST])]
    return total
