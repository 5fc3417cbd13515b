"""Energy of a mapped netlist for given inputs: what its nets' capacitances and its library's power tables say.

energy_per_cycle(netlist, library, {"a": [...], "b": [...]}) -> Energy

Every toggle of a net costs (1/2) C V2 of the pins on it; every toggle of a pin what its internal_power group says: an
input pin's own group whenever the pin moves, an output pin's group for the input that moved it (related_pin), rise
and fall apart, the group whose `when` holds, else the one without. Summed over a rise and a fall this is the energy
drawn from the supply. The clock is charged to every register each cycle: its pins' C V2 and their groups for both
edges. No wires and no clock tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.liberty.cells import Library
from hwsim.liberty.circuit import FS_PER_PS, build
from hwsim.liberty.timing import Conditions, Timing
from hwsim.liberty.waves import CLOCK, INPUTS, INTERNAL, LEAK, SWITCHING, TOGGLES, run
from hwsim.liberty.wiring import Wiring, wire
from hwsim.rtl.netlist import Netlist


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """Means per cycle in fJ over `cycles` cycles.

    switching_fj: nets, of which input_switching_fj on the input ports' nets (paid by whoever drives them).
    internal_fj: cells, without the clock pins.  clock_fj: clock pins, capacitance and internal.
    standard_error_fj: of the mean total, from batches of about sqrt(cycles) cycles, as neighbours are correlated.
    leakage_nw: mean over the states visited.  toggles: of gate and register outputs, a cycle.
    outputs: port -> value bits at the end of each cycle, (vectors, width) uint8, the settled first vector included.
    activity: net -> (toggles a cycle, fraction of the time at 1), what a power tool reads back as activity and duty.
    """

    switching_fj: float
    input_switching_fj: float
    internal_fj: float
    clock_fj: float
    standard_error_fj: float
    leakage_nw: float
    toggles: float
    cycles: int
    period_ps: float
    timed: bool
    timing: Timing
    outputs: Mapping[str, NDArray[np.uint8]]
    activity: Mapping[int, tuple[float, float]]

    @property
    def total_fj(self) -> float:
        """Dynamic energy a cycle: switching, internal and clock."""
        return self.switching_fj + self.internal_fj + self.clock_fj

    @property
    def leakage_fj(self) -> float:
        """Leakage over one period."""
        return self.leakage_nw * self.period_ps * 1e-6


def energy_per_cycle(
    netlist: Netlist,
    library: Library,
    vectors: Mapping[str, ArrayLike],
    conditions: Conditions | None = None,
    *,
    timed: bool = True,
    period_ps: float | None = None,
    input_arrival_ps: float = 0.0,
    warm_up_cycles: int = 0,
) -> Energy:
    """Mean energy a clock cycle.

    vectors: for each input port but the clock an integer a cycle (two's complement; (cycles,), Python integers where 64
        bits do not do) or its bits (cycles, width) of 0 and 1. The first vector settles with all registers at 0 and is
        not counted, nor are warm_up_cycles after it.
    timed: glitch-aware with the delays of static timing and inertial gates; else nets toggle at most once a cycle.
    period_ps: None for the netlist's own delay; it decides what moves while the clock is high, and leakage_fj.
        Zero-delay toggles are while it is high.
    input_arrival_ps: when inputs change after the clock edge, before the driving cell's delay.

    Raises ValueError for ports and lengths that do not fit, LibertyError where netlist and library do not.
    """
    conditions = conditions or Conditions()
    if period_ps is not None and not 0.0 < period_ps < inf:
        raise ValueError(
            f"period_ps must be positive and finite, got {period_ps!r}; None takes the netlist's own delay"
        )
    if not 0.0 <= input_arrival_ps < inf:
        raise ValueError(f"input_arrival_ps must be zero or more and finite, got {input_arrival_ps!r}")
    wiring = wire(netlist, library)
    bits = _bits(netlist, wiring, vectors)
    cycles = len(bits) - 1 - warm_up_cycles
    if warm_up_cycles < 0 or cycles < 2:
        raise ValueError(
            f"{len(bits)} vectors leave {cycles} cycles after the first and {warm_up_cycles} to warm up; give at least "
            f"{max(warm_up_cycles, 0) + 3}"
        )
    circuit, net_of, timing = build(wiring, conditions, input_arrival_ps)
    period = period_ps if period_ps is not None else timing.delay_ps
    period_fs = max(round(period * FS_PER_PS), 2)
    seen, outputs, activity = run(circuit, bits, timed, period_fs, 1 + warm_up_cycles)
    counted = seen[1 + warm_up_cycles :]
    mean = counted.mean(axis=0)
    ports: dict[str, NDArray[np.uint8]] = {}
    place = 0
    for port, nets in netlist.outputs.items():
        ports[port] = outputs[:, place : place + len(nets)]
        place += len(nets)
    return Energy(
        switching_fj=float(mean[SWITCHING]),
        input_switching_fj=float(mean[INPUTS]),
        internal_fj=float(mean[INTERNAL]),
        clock_fj=float(mean[CLOCK]),
        standard_error_fj=_standard_error(counted[:, [SWITCHING, INTERNAL, CLOCK]].sum(axis=1)),
        leakage_nw=float(mean[LEAK]),
        toggles=float(mean[TOGGLES]),
        cycles=cycles,
        period_ps=period,
        timed=timed,
        timing=timing,
        outputs=ports,
        activity={
            net: (float(activity[i, 0] / cycles), float(activity[i, 1] / cycles / period_fs))
            for net, i in net_of.items()
        },
    )


def _standard_error(values: NDArray[np.float64]) -> float:
    """Of the mean of a correlated series, by batch means."""
    length = max(int(sqrt(len(values))), 1)
    batches = len(values) // length
    means = values[: batches * length].reshape(batches, length).mean(axis=1)
    return float(means.std(ddof=1) / sqrt(batches))


def _bits(netlist: Netlist, wiring: Wiring, vectors: Mapping[str, ArrayLike]) -> NDArray[np.uint8]:
    """(cycles, input bits) in the order of the wiring's inputs."""
    ports = {name: nets for name, nets in netlist.inputs.items() if nets != (wiring.clock,)}
    # A port that nothing uses may be left out: the clock of a combinational unit.
    idle = {name for name, nets in ports.items() if not any(n in wiring.loads or n in wiring.outputs for n in nets)}
    if not set(ports) - idle <= set(vectors) <= set(ports):
        raise ValueError(
            f"vectors for {', '.join(sorted(vectors)) or 'nothing'}, "
            f"but the inputs are {', '.join(sorted(ports)) or 'none'}"
        )
    columns: list[NDArray[np.uint8]] = []
    lengths: dict[str, int] = {}
    cycles = max((len(np.asarray(given)) for given in vectors.values()), default=0)
    for name, nets in ports.items():
        given = np.asarray(vectors.get(name, np.zeros(cycles, np.int64)))
        width = len(nets)
        if given.ndim == 2 and given.shape[1] == width and np.isin(given, (0, 1)).all():
            made = given.astype(np.uint8)
        elif given.ndim == 1 and given.dtype.kind in "iubO":
            low, high = int(given.min(initial=0)), int(given.max(initial=0))
            if low < -(1 << (width - 1)) or high >= 1 << width:
                raise ValueError(f"input {name} has {width} bits; values from {low} to {high} do not fit")
            wide = given.astype(object) if width > 62 or given.dtype.kind == "O" else given.astype(np.int64)
            made = np.stack([(wide >> i & 1).astype(np.uint8) for i in range(width)], axis=1)
        else:
            raise ValueError(
                f"input {name}: integers of shape (cycles,) or 0/1 bits of shape (cycles, {width}) are wanted, "
                f"got {given.dtype} of shape {given.shape}"
            )
        columns.append(made)
        lengths[name] = len(made)
    if len(set(lengths.values())) > 1:
        raise ValueError(f"inputs differ in length: {lengths}; give one value a cycle each")
    return np.ascontiguousarray(np.concatenate(columns, axis=1)) if columns else np.zeros((0, 0), np.uint8)
