"""The readable form of a Report: a compact table in engineering units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwsim.cost import Cost

if TYPE_CHECKING:
    from hwsim.report import Report

_PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
    (1e-9, "n"),
    (1e-12, "p"),
)
_ROWS = 12  # rows printed; the rest is counted


def engineering(value: float, unit: str = "") -> str:
    """Three significant digits and an SI prefix: engineering(0.0042, "s") is "4.2 ms"."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    # 999.6 rounds to 1000, the next prefix's 1
    scale, prefix = next(((s, p) for s, p in _PREFIXES if abs(value) >= s * 0.9995), _PREFIXES[-1])
    return f"{value / scale:.3g} {prefix}{unit}".rstrip()


def report_text(report: Report) -> str:
    """Totals, rows, energy and area by part with intervals, null models, assumptions, what has no price."""
    lines = [f"Report: {report.accelerator}", *_totals(report)]
    if not report.feasible:
        lines.append(f"  NOT FEASIBLE: {report.reason}")
    lines += _rows(report)
    lines += _parts("energy", report.energy, "J", 1e-12)
    lines += _parts("area", dict(report.area), "mm2", 1e-6)
    lines += _parts("leakage", dict(report.leakage), "W", 1e-3)
    null = report.null_models
    lines.append(
        f"  null models: bytes only {engineering(null['bytes_only_cycles'], 'cycles')}, "
        f"{engineering(null['bytes_only_energy_pj'] * 1e-12, 'J')}; bits x bits {engineering(null['bits_x_bits'])}"
    )
    lines += [f"  assumption: {text}" for text in report.assumptions]
    if report.unpriced:
        lines.append(f"  without a price ({report.unpriced_share:.1%} of the bytes):")
        lines += [f"    {entry.name}: {entry.reason}" for entry in report.unpriced]
    return "\n".join(lines)


def _totals(report: Report) -> list[str]:
    cycles = float(report.cycles)
    time = f" = {engineering(report.latency_s, 's')} at {engineering(report.clock_hz, 'Hz')}" if report.clock_hz else ""
    stall = report.total("stall_cycles") / max(cycles, 1)
    share = report.pe_energy_share
    used = float(report.macs) / max(cycles * report.peak_macs_per_cycle, 1)
    bound = ", ".join(f"{name} {part:.0%}" for name, part in report.bound.items())
    lines = [
        f"  {engineering(cycles, 'cycles')}{time}; stall {stall:.1%}; bound by {bound}",
        f"  {engineering(float(report.macs), 'MAC')}, used {used:.1%}; DRAM {engineering(float(report.bytes), 'B')}",
    ]
    if report.energy:
        pe = "" if np.isnan(share) else f"; PEs {share:.1%}"
        lines.append(f"  energy {_interval(report.energy_pj, 1e-12, 'J')}{pe}")
    return lines


def _rows(report: Report) -> list[str]:
    if len(report.rows) < 2:
        return []
    width = max(len(name) for name in report.rows[:_ROWS])
    lines = [f"  {'row':{width}s} {'cycles':>12s} {'stall':>7s} {'used':>7s}  bound"]
    cycles, stall = report.columns["cycles"], report.columns["stall_cycles"]
    for index, name in enumerate(report.rows[:_ROWS]):
        total = float(cycles[index])
        lines.append(
            f"  {name:{width}s} {engineering(total):>12s} {float(stall[index]) / max(total, 1):7.1%} "
            f"{report.utilization[index]:7.1%}  {report.columns['bound'][index]}"
        )
    if len(report.rows) > _ROWS:
        lines.append(f"  ... and {len(report.rows) - _ROWS} more rows")
    return lines


def _parts(title: str, parts: dict[str, Cost], unit: str, scale: float) -> list[str]:
    total = sum(cost.value for cost in parts.values())
    if not total:
        return []
    width = max(len(name) for name in parts)
    lines = [f"  {title}:"]
    for name, cost in sorted(parts.items(), key=lambda item: -item[1].value):
        lines.append(f"    {name:{width}s} {cost.value / total:6.1%}  {_interval(cost, scale, unit)}")
    return lines


def _interval(cost: Cost, scale: float, unit: str) -> str:
    text = _square(cost, scale) if unit == "mm2" else None
    if text is None:
        low, high = engineering(cost.low * scale, unit), engineering(cost.high * scale, unit)
        text = f"{engineering(cost.value * scale, unit)} ({low} .. {high}"
    return f"{text}, {cost.status})"


def _square(cost: Cost, scale: float) -> str:
    """mm2 have no prefixes: kmm2 would read as square kilometres."""
    return f"{cost.value * scale:.3g} mm2 ({cost.low * scale:.3g} .. {cost.high * scale:.3g}"
