"""Report: what running something costs, row by row, with what was assumed and what was left out.

Energy is counts times prices: `counts` says how often each action happened, `prices` what one of it costs, with an
interval. `a + b` runs one after the other on the same accelerator; `parallel(a, b)` runs both at once on different
hardware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.cost import Cost

Column = NDArray[Any]
# Columns every row has. bound: what sets the row's time.
REQUIRED = (
    "cycles",
    "compute_cycles",
    "stall_cycles",
    "macs",
    "bytes",
    "tensor_bytes",
    "bits_x_bits",
    "bytes_only_cycles",
    "bound",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpriced:
    """Something that happens and has no price. bytes: the memory traffic of the work concerned, 0 where none is."""

    name: str
    reason: str
    bytes: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Report:
    """One row per operation.

    accelerator: label; only reports of one accelerator can be added.  clock_hz: None where no delay is known.
    rows: labels.  columns: arrays of len(rows): cycles = compute_cycles + stall_cycles; macs; bytes to and from DRAM;
        tensor_bytes, every operand and result of every operation once;
        the null models bits_x_bits (macs x element bits of a x of b) and
        bytes_only_cycles (tensor_bytes at full bandwidth, nothing else); bound; and whatever an estimator adds,
        of which sums make sense only for counts.
    counts: action -> how often, per row.  prices: action -> Cost of one, in pJ or pJ/bit. An action without a price
        must be named in unpriced.
    area: part -> Cost (um2).  leakage: part -> Cost (mW), where known.
    peak_macs_per_cycle: of all arrays together.
    dram_pj_per_byte: energy the bytes-only null model charges; None without DRAM.
    feasible, reason: whether it can run at all, and why not.
    """

    accelerator: str
    clock_hz: float | None
    rows: tuple[str, ...]
    columns: Mapping[str, Column]
    counts: Mapping[str, Column]
    prices: Mapping[str, Cost]
    area: Mapping[str, Cost] = field(default_factory=dict)
    leakage: Mapping[str, Cost] = field(default_factory=dict)
    peak_macs_per_cycle: int = 0
    dram_pj_per_byte: float | None = None
    assumptions: tuple[str, ...] = ()
    unpriced: tuple[Unpriced, ...] = ()
    feasible: bool = True
    reason: str = ""

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED if name not in self.columns]
        if missing:
            raise ValueError(f"Report: columns lack {', '.join(missing)}")
        for name, column in (*self.columns.items(), *self.counts.items()):
            if np.shape(column) != (len(self.rows),):
                raise ValueError(f"Report: column {name!r} needs shape ({len(self.rows)},), got {np.shape(column)}")
        split = np.asarray(self.columns["compute_cycles"]) + self.columns["stall_cycles"]
        if not np.array_equal(split, self.columns["cycles"]):
            bad = int(np.argmax(split != self.columns["cycles"]))
            raise ValueError(
                f"Report: cycles must be compute_cycles + stall_cycles; row {self.rows[bad]!r} has "
                f"{self.columns['cycles'][bad]} != {split[bad]}"
            )
        unknown = set(self.counts) - set(self.prices) - {entry.name for entry in self.unpriced}
        if unknown:
            raise ValueError(f"Report: {', '.join(sorted(unknown))} counted, but neither priced nor named in unpriced")
        wrong = [name for name, price in self.prices.items() if price.unit not in ("pJ", "pJ/bit")]
        if wrong:
            raise ValueError(f"Report: prices are in pJ or pJ/bit; {', '.join(wrong)} are not")
        if not self.feasible and not self.reason:
            raise ValueError("Report: an infeasible report says why; reason is empty")

    @property
    def cycles(self) -> int | float:
        """Cycles of all rows."""
        return self.total("cycles")

    @property
    def macs(self) -> int | float:
        """Multiply-accumulates of all rows."""
        return self.total("macs")

    @property
    def bytes(self) -> int | float:
        """Bytes to and from DRAM of all rows."""
        return self.total("bytes")

    @property
    def latency_s(self) -> float:
        """Seconds of all rows. Raises ValueError where there is no clock."""
        return float(self.cycles) / self._clock()

    @property
    def utilization(self) -> Column:
        """macs / (cycles x peak) of each row, 0..1; a "utilization" column, which knows the row's array, goes first."""
        if "utilization" in self.columns:
            return self.columns["utilization"]
        peak = self.columns["cycles"] * float(max(self.peak_macs_per_cycle, 1))
        return np.asarray(self.columns["macs"] / np.maximum(peak, 1.0))

    @property
    def bound(self) -> dict[str, float]:
        """Share of the cycles spent in rows that each thing binds; the largest first."""
        cycles, names = np.asarray(self.columns["cycles"], dtype=np.float64), self.columns["bound"]
        shares = {str(name): float(cycles[names == name].sum() / max(cycles.sum(), 1)) for name in np.unique(names)}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    @property
    def energy(self) -> dict[str, Cost]:
        """Energy in pJ by action, all rows; leakage over the latency as "leakage PART" where known."""
        parts = {name: _priced(price, float(self.counts[name].sum())) for name, price in self._used().items()}
        if self.clock_hz is not None:
            for name, power in self.leakage.items():
                parts[f"leakage {name}"] = _leaked(power, self.latency_s)
        return parts

    @property
    def energy_pj(self) -> Cost:
        """Energy of everything that has a price; `unpriced` says what has none. Raises ValueError where nothing has."""
        parts = list(self.energy.values())
        if not parts:
            raise ValueError(
                "Report: no action has a price; unpriced: " + "; ".join(entry.name for entry in self.unpriced)
            )
        return sum(parts[1:], parts[0])

    def energy_rows(self) -> dict[str, dict[str, Column]]:
        """Dynamic energy per row in pJ: action -> {"value", "low", "high"} arrays."""
        return {
            name: {end: self.counts[name] * float(getattr(price, end)) for end in ("value", "low", "high")}
            for name, price in self._used().items()
        }

    @property
    def area_um2(self) -> Cost:
        """Area of all parts. Raises ValueError where none is known."""
        parts = list(self.area.values())
        if not parts:
            raise ValueError("Report: no part has an area")
        return sum(parts[1:], parts[0])

    @property
    def pe_energy_share(self) -> float:
        """Share of the energy spent in PEs (actions "pe ..."); NaN where they have no price."""
        parts = self.energy
        pe = [cost.value for name, cost in parts.items() if name == "pe" or name.startswith("pe ")]
        return sum(pe) / sum(cost.value for cost in parts.values()) if pe else float("nan")

    @property
    def null_models(self) -> dict[str, float]:
        """What a reader could have computed without this simulator.

        Bytes only counts every operand and every result of every operation once: also what a fused or resident chip
        would keep, and never a refetch.

        bytes_only_cycles and bytes_only_energy_pj: those bytes at full bandwidth, and nothing else costs anything
        (energy 0 without DRAM).  bits_x_bits: MACs times the element bits of both operands.
        """
        return {
            "bytes_only_cycles": float(self.total("bytes_only_cycles")),
            "bytes_only_energy_pj": float(self.total("tensor_bytes")) * (self.dram_pj_per_byte or 0.0),
            "bits_x_bits": float(self.total("bits_x_bits")),
        }

    @property
    def unpriced_share(self) -> float:
        """Share of the bytes whose work has something unpriced, 0..1."""
        return min(sum(entry.bytes for entry in self.unpriced) / float(self.bytes), 1.0) if self.bytes else 0.0

    def __add__(self, other: Report) -> Report:
        """Both, one after the other, on the same accelerator: rows are joined, cycles and energies add, area stays."""
        if not isinstance(other, Report):
            return NotImplemented
        from hwsim.report_join import in_sequence

        return in_sequence(self, other)

    def __radd__(self, other: object) -> Report:
        """`sum` starts from the integer 0."""
        return self if other == 0 else NotImplemented

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row per operation: columns, counts, energy per action with its interval, utilization.

        Raises ImportError naming the extra where pandas is missing.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("Report.to_frame needs pandas: pip install 'bitcost[studies]'") from error
        energies = {
            f"energy_pj {name}" + ("" if end == "value" else f" {end}"): column
            for name, ends in self.energy_rows().items()
            for end, column in ends.items()
        }
        counts = {f"count {name}": column for name, column in self.counts.items()}
        table = {**self.columns, **counts, **energies, "utilization": self.utilization}
        return pandas.DataFrame({name: np.asarray(column) for name, column in table.items()}, index=list(self.rows))

    def __str__(self) -> str:
        from hwsim.report_text import report_text

        return report_text(self)

    def _used(self) -> dict[str, Cost]:
        return {name: price for name, price in self.prices.items() if name in self.counts}

    def total(self, name: str) -> int | float:
        """Sum of a column over the rows."""
        total: int | float = np.asarray(self.columns[name]).sum().item()
        return total

    def _clock(self) -> float:
        if self.clock_hz is None:
            raise ValueError(
                "Report: no clock_hz, so cycles are no seconds; give the accelerator or the estimate a clock"
            )
        return self.clock_hz


def _priced(price: Cost, count: float) -> Cost:
    """`count` actions, in pJ whatever one action is."""
    return replace(price * count, unit="pJ")


def _leaked(power: Cost, seconds: float) -> Cost:
    """mW over seconds, in pJ (1 mW s is 1e9 pJ)."""
    return replace(power * (seconds * 1e9), unit="pJ", source=f"{power.source}, over {seconds:.4g} s")
