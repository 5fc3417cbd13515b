"""Figures of the PE cost study: a map of all pairs, estimates against synthesis, areas against delays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies.common import Row
from studies.pe_cost_curves import PES, at_equal_delay, curves, edge
from studies.plots import MARKERS, log_ticks, new_figure, save, style

BASELINE = "int8"
NODE = "ihp130"
FAMILIES = ("int", "minifloat-exact", "minifloat-float", "lmul", "pot", "codebook", "bit-serial", "lut", "block",
            "converter")  # fmt: skip
QUANTITIES = {"area_um2": ("area", "area [um2]"), "delay_ns": ("delay", "delay [ns]"),
              "energy_pj": ("energy", "energy a cycle, normal operands [pJ]")}  # fmt: skip


def number(cell: object) -> float:
    """A numeric cell."""
    return float(str(cell))


@style()
def draw_pairs(rows: Sequence[Row], out: Path) -> None:
    """Area of every pair over int8 x int8's."""
    names = list(dict.fromkeys(str(row["a"]) for row in rows))
    areas = {(row["a"], row["b"]): number(row[f"{NODE}_area_um2"]) for row in rows}
    base = areas.get((BASELINE, BASELINE), min(areas.values()))
    grid = np.array([[areas[a, b] / base for b in names] for a in names])
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure, (axes,) = new_figure(size_inches=(11.0, 10.0))
    image = axes.imshow(grid, cmap="cividis", norm=LogNorm(), origin="lower", interpolation="nearest")
    if grid.size <= 2000:
        middle = float(np.sqrt(grid.min() * grid.max()))
        for i, row in enumerate(grid):
            for j, value in enumerate(row):
                text = f"{value:.2g}" if value < 9.95 else f"{value:.0f}"
                axes.text(j, i, text, ha="center", va="center", fontsize=4.5, color="w" if value < middle else "k")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    floats = [areas[row["a"], row["b"]] / base for row in rows if row["register"] == "float"]
    words = f"{grid.min():.2f} to {grid.max():.1f} times int8 x int8"
    if floats:
        words += f"; with a float register at least {min(floats):.1f} times"
    axes.set(
        xlabel="right operand b",
        ylabel="left operand a",
        title=f"MACs of {len(names)} formats take {words}",
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(f"area over int8 x int8, default registers ({NODE}; synthesised where tabled, else estimated)")
    bar.ax.set_label("<colorbar>")
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    save(figure, out, "pe_cost")


@style()
def draw_synthesised(rows: Sequence[Row], left_out: Sequence[Row], out: Path) -> None:
    """Estimate against synthesis: a column a library, a row a quantity, a colour and marker a family."""
    nodes = list(dict.fromkeys(str(row["technology"]) for row in rows))
    figure, panels = new_figure(len(QUANTITIES), len(nodes), size_inches=(4.6 * len(nodes), 12.5))
    errors = {(r["technology"], r["quantity"]): r for r in left_out if r["family"] == "all"}
    for place, (column, (quantity, label)) in enumerate(QUANTITIES.items()):
        for across, node in enumerate(nodes):
            axes = panels[place * len(nodes) + across]
            own = [row for row in rows if row["technology"] == node]
            for family in FAMILIES:
                kept = [row for row in own if row["family"] == family and number(row[column]) > 0]
                axes.plot(
                    [number(row[column]) for row in kept], [number(row[f"estimated_{column}"]) for row in kept],
                    **_look(family),
                )  # fmt: skip
            ends = np.array([number(row[column]) for row in own if number(row[column]) > 0])
            line = np.array([ends.min(), ends.max()])
            error = errors[node, quantity]
            band, worst = number(error["interval_clocked"]), number(error["worst"])
            axes.plot(line, line, color="0.3", linewidth=1)
            for factor in (1 - band, 1 + band):
                axes.plot(line, line * factor, color="0.6", linewidth=0.8, linestyle="--")
            axes.set(xscale="log", yscale="log", xlabel=f"synthesised {label}", ylabel=f"estimated {label}")
            axes.set_title(
                f"{node}, {len(own)} PEs: {quantity} {number(error['median']):.1%} off in the middle,\n"
                f"clocked, nine of ten {band:.0%} (dashed); worst {worst:.0%}",
                fontsize=9,
            )
            log_ticks(axes)
            axes.tick_params(axis="x", rotation=45)
    for family in FAMILIES:
        if any(row["family"] == family for row in rows):
            panels[0].plot([], [], label=family, **_look(family))
    panels[0].legend(loc="upper left", fontsize=7, title="family (errors above: with it left out)", title_fontsize=7)
    save(figure, out, "pe_cost_synthesised")


def _look(family: str) -> dict[str, Any]:
    """Marker and colour of a family."""
    index = FAMILIES.index(family)
    hollow = index >= 7
    return {
        "marker": MARKERS[index % 7], "color": f"C{index % 7}", "linestyle": "none", "markersize": 4,
        "markerfacecolor": "white" if hollow else f"C{index % 7}",
    }  # fmt: skip


@style()
def draw_periods(rows: Sequence[Row], out: Path) -> None:
    """Area against delay: a colour a PE, a marker a number of register ranks, a line along what nothing beats."""
    found = curves(rows)
    names = [name for name in PES if name in found]
    figure, (axes,) = new_figure(size_inches=(8.0, 5.5))
    for index, name in enumerate(names):
        color = f"C{index}"
        own = [row for row in rows if row["pe"] == name]
        for ranks in sorted({int(number(row["stages"])) for row in own}):
            kept = [row for row in own if row["stages"] == ranks]
            axes.plot(
                [number(row["delay_ps"]) * 1e-3 for row in kept], [number(row["area_um2"]) for row in kept],
                marker=MARKERS[ranks], color=color, linestyle="none",
            )  # fmt: skip
        axes.plot(*edge(found[name]), color=color, linewidth=1.2, label=PES[name])
    for ranks in sorted({int(number(row["stages"])) for row in rows}):
        words = ("no rank of registers", "one rank", "two ranks", "three ranks")[ranks]
        axes.plot([], [], marker=MARKERS[ranks], color="0.4", linestyle="none", label=words)
    axes.set(xscale="log", yscale="log")
    log_ticks(axes)
    axes.set_xticks([tick for tick in (2, 3, 4, 5, 6, 8, 10, 12, 15, 20) if _within(tick, axes.get_xlim())])
    axes.set_yticks([tick for tick in (2500, 3000, 4000, 6000, 10000, 15000, 20000) if _within(tick, axes.get_ylim())])
    node, sized, cut = rows[0]["technology"], 1.0, 1.0
    for name in names:
        plain = [row for row in rows if row["pe"] == name and row["stages"] == 0]
        sizes, delays = ([number(row[key]) for row in plain] for key in ("area_um2", "delay_ps"))
        sized = max(sized, max(sizes) / min(sizes))
        cut = max(cut, min(delays) / (min(point.delay_ps for point in found[name])))
    title = f"abc's sizing moves areas by {sized - 1:.0%}; ranks of registers make MACs up to {cut:.1f} times as fast"
    base, other = "mac_int8_int8_fixed32", "mac_e4m3fn_e4m3fn_fixed45"
    if base in found and other in found:
        title += f"\nAs fast as it can be, an exact e4m3fn MAC takes {at_equal_delay(found[other], found[base]):.2f}"
        title += " times the area of int8's"
    axes.set(
        xlabel=f"delay of the slowest path [ns] ({node}, {len(rows)} checked netlists)",
        ylabel="area [um2]",
        title=title,
    )
    axes.legend(ncols=2, loc="upper left", fontsize=7)
    save(figure, out, "pe_cost_periods")


def _within(value: float, ends: tuple[float, float]) -> bool:
    return ends[0] <= value <= ends[1]
