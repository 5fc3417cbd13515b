"""Two reports made one: work after work on one accelerator, or at once on two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hwsim.cost import Cost
from hwsim.report import Column, Report, Unpriced


def in_sequence(a: Report, b: Report) -> Report:
    """a + b: rows are joined, cycles and energies add, area stays. Raises ValueError for two accelerators or clocks."""
    if a.accelerator != b.accelerator or a.clock_hz != b.clock_hz:
        raise ValueError(
            f"Report: + needs one accelerator and clock, got {a.accelerator!r} at {a.clock_hz} Hz and "
            f"{b.accelerator!r} at {b.clock_hz} Hz; parallel() combines different ones"
        )
    return Report(
        accelerator=a.accelerator,
        clock_hz=a.clock_hz,
        rows=a.rows + b.rows,
        columns=_joined(a.columns, b.columns, len(a.rows), len(b.rows)),
        counts=_joined(a.counts, b.counts, len(a.rows), len(b.rows)),
        prices=_same(a.prices, b.prices, "price"),
        area=_same(a.area, b.area, "area"),
        leakage=_same(a.leakage, b.leakage, "leakage"),
        peak_macs_per_cycle=max(a.peak_macs_per_cycle, b.peak_macs_per_cycle),
        dram_pj_per_byte=a.dram_pj_per_byte if a.dram_pj_per_byte is not None else b.dram_pj_per_byte,
        **_merged(a, b),
    )


def parallel(a: Report, b: Report) -> Report:
    """Both at once, each on its own hardware: the longer one's cycles, energies and areas add. One row is left.

    Raises ValueError for different clocks (cycles would not compare) and, from Cost, for different nodes.
    """
    for side in (a, b):
        if not isinstance(side, Report):
            raise TypeError(f"parallel: takes two Reports, got {side!r}")
    if a.clock_hz != b.clock_hz:
        raise ValueError(f"parallel: needs one clock, got {a.clock_hz} Hz and {b.clock_hz} Hz; pass clock_hz to both")
    longer = a if a.cycles >= b.cycles else b
    bound = next(iter(longer.bound), "")
    columns: dict[str, Column] = {"bound": np.array([bound])}
    for name in ("cycles", "compute_cycles", "stall_cycles"):
        columns[name] = np.array([longer.total(name)])
    columns["bytes_only_cycles"] = np.array([max(a.total("bytes_only_cycles"), b.total("bytes_only_cycles"))])
    for name in ("macs", "bytes", "tensor_bytes", "bits_x_bits"):
        columns[name] = np.array([a.total(name) + b.total(name)])
    left, right = _renamed(a, b)
    per_byte = (a.bytes * (a.dram_pj_per_byte or 0.0) + b.bytes * (b.dram_pj_per_byte or 0.0)) / max(
        a.bytes + b.bytes, 1
    )
    return Report(
        accelerator=f"{a.accelerator} || {b.accelerator}",
        clock_hz=a.clock_hz,
        rows=(f"{_title(a)} || {_title(b)}",),
        columns=columns,
        counts={left.get(k, k): np.array([v.sum()]) for k, v in a.counts.items()}
        | {right.get(k, k): np.array([v.sum()]) for k, v in b.counts.items()},
        prices={left.get(k, k): v for k, v in a.prices.items()} | {right.get(k, k): v for k, v in b.prices.items()},
        area={left.get(k, k): v for k, v in a.area.items()} | {right.get(k, k): v for k, v in b.area.items()},
        leakage={left.get(k, k): v for k, v in a.leakage.items()} | {right.get(k, k): v for k, v in b.leakage.items()},
        peak_macs_per_cycle=a.peak_macs_per_cycle + b.peak_macs_per_cycle,
        dram_pj_per_byte=per_byte if None not in (a.dram_pj_per_byte, b.dram_pj_per_byte) else None,
        **_merged(a, b, left, right),
    )


def _title(report: Report) -> str:
    return report.rows[0] if len(report.rows) == 1 else f"{len(report.rows)} rows"


def _renamed(a: Report, b: Report) -> tuple[dict[str, str], dict[str, str]]:
    """New names for what both have: two actions, areas or leakages of one name are two things here."""

    def names(report: Report) -> set[str]:
        return {*report.counts, *report.prices, *report.area, *report.leakage}

    shared = names(a) & names(b)
    return {name: f"{name} (first)" for name in shared}, {name: f"{name} (second)" for name in shared}


def _joined(first: Mapping[str, Column], second: Mapping[str, Column], n: int, m: int) -> dict[str, Column]:
    """Columns end to end; one that only one side has is zero, or empty text, on the other."""
    names = dict.fromkeys([*first, *second])

    def of(columns: Mapping[str, Column], other: Mapping[str, Column], name: str, length: int) -> Column:
        if name in columns:
            return np.asarray(columns[name])
        return np.zeros(length, dtype=np.asarray(other[name]).dtype)

    return {name: np.concatenate([of(first, second, name, n), of(second, first, name, m)]) for name in names}


def _same(first: Mapping[str, Cost], second: Mapping[str, Cost], what: str) -> dict[str, Cost]:
    for name in set(first) & set(second):
        if first[name] != second[name]:
            raise ValueError(f"Report: + found two {what}s of {name!r}: {first[name]} and {second[name]}")
    return {**first, **second}


def _merged(
    a: Report, b: Report, left: Mapping[str, str] | None = None, right: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What both reports say about themselves, each statement once; the bytes of equal unpriced entries add."""
    unpriced: dict[tuple[str, str], float] = {}
    for report, names in ((a, left or {}), (b, right or {})):
        for entry in report.unpriced:
            key = (names.get(entry.name, entry.name), entry.reason)
            unpriced[key] = unpriced.get(key, 0.0) + entry.bytes
    return {
        "assumptions": tuple(dict.fromkeys([*a.assumptions, *b.assumptions])),
        "unpriced": tuple(Unpriced(name=name, reason=reason, bytes=size) for (name, reason), size in unpriced.items()),
        "feasible": a.feasible and b.feasible,
        "reason": "; ".join(dict.fromkeys(reason for reason in (a.reason, b.reason) if reason)),
    }
