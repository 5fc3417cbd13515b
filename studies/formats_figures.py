"""The two figures of the formats study, drawn from its tables: error against bits, and the atlas of values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.common import Row
from studies.plots import new_figure, place_labels, save, style

Array = NDArray[np.float64]

KINDS = {
    "block formats": ("#0072B2", "o"),
    "integers": ("#D55E00", "s"),
    "floats": ("#009E73", "^"),
    "codebooks": ("#CC79A7", "D"),
    "posits and others": ("#E69F00", "v"),
}
LEGEND = {
    "block formats": "block formats of the catalogue",
    "integers": "integers, scale per 32, 128 or row",
    "floats": "floats, scale per 32, 128 or row",
    "codebooks": "codebooks, scale per 64",
    "posits and others": "posits and others, no scale",
}
SHOWN_BITS = (1.75, 9.35)  # the table goes further; there the front is made of 16-bit scalars
WINDOW = (4.25, 4.75)
NORMAL_COLOR, SUBNORMAL_COLOR = "#0072B2", "#D55E00"
LINEAR_OCTAVES = 16
COLUMN_POINTS = (7, 30, 145)  # of the atlas, from its right edge
DENSE_TICKS = 16  # an octave, of formats wider than 8 bits: their values lie too dense to be told apart


def number(cell: Any) -> float:
    """A numeric cell."""
    return float(cell)


def column(rows: Sequence[Row], name: str) -> Array:
    """A numeric column."""
    return np.array([number(row[name]) for row in rows], dtype=np.float64)


def measured(rows: Sequence[Row], low: float = 0.0, high: float = np.inf) -> list[Row]:
    """The rows that have an error, and from `low` to `high` bits per element."""
    return [row for row in rows if row["relative_mse"] is not None and low <= number(row["bits_per_element"]) <= high]


def finding(rows: Sequence[Row]) -> str:
    """Of the formats near 4.5 bits the nearest to the bound, its distance, and how far the others are."""
    near = measured(rows, *WINDOW)
    if not near:
        return f"no format has {WINDOW[0]:g} to {WINDOW[1]:g} bits"
    near = sorted(near, key=lambda row: number(row["below_bound_db"]))
    distance, error_db = column(near, "below_bound_db"), standard_error_db(near)
    # Those that the samples cannot tell from the best are named with it.
    level = distance - distance[0] <= 4 * np.hypot(error_db, error_db[0])
    first = [str(row["format"]) for row, same in zip(near, level, strict=True) if same]
    shown = first if len(first) <= 3 else [*first[:2], f"{len(first) - 2} more"]
    names = " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
    others = len(near) - len(first)
    return (
        f"at {WINDOW[0]:g} to {WINDOW[1]:g} bits {names} {'comes' if len(first) == 1 else 'come'} nearest the bound, "
        f"at {distance[0]:.1f} dB; "
        f"{others} other{' lies' if others == 1 else 's lie'} up to {distance[-1]:.1f} dB away"
    )


def standard_error_db(rows: Sequence[Row]) -> Array:
    """The standard error of the signal-to-noise ratio."""
    relative = column(rows, "relative_mse_standard_error") / column(rows, "relative_mse")
    return np.asarray(10 / np.log(10) * relative, dtype=np.float64)


@style()
def draw_error(errors: Sequence[Row], yardsticks: Sequence[Row], out: Path) -> None:
    """Signal-to-noise ratio against bits above, its distance from the bound below; one column for each density."""
    densities = {str(row["data"]): row for row in yardsticks}
    figure, axes = new_figure(2, len(densities), size_inches=(9.6 * len(densities), 15.0))
    labelled = []
    for place, (name, about) in enumerate(densities.items()):
        rows = [row for row in errors if row["data"] == name]
        shown = measured(rows, *SHOWN_BITS)
        own = [row for row in yardsticks if row["data"] == name]
        ratio, distance = axes[place], axes[place + len(densities)]
        _panel(ratio, shown, own, "sqnr_db")
        _panel(distance, shown, own, "below_bound_db")
        bound = (
            "the rate-distortion bound"
            if about["bound_exact"]
            else "Shannon's lower bound on distortion (not known to be reached)"
        )
        ratio.set(
            ylabel=f"signal-to-quantisation-noise ratio [dB] (n >= {least_samples(shown):,}, bars: 2 standard errors)",
            title=f"{_capital(str(about['label']))}:\n{_wrapped(finding(rows))}",
        )
        distance.set(
            ylabel=f"distance from {bound} [dB]",
            title=f"{_capital(str(about['label']))}:\n{_wrapped(_spread_finding(shown, own))}",
        )
        lowest = max(number(row["below_bound_db"]) for row in shown if row["on_front"]) + 1
        distance.set_ylim(lowest, -0.3)
        hidden = int(np.sum(column(shown, "below_bound_db") > lowest))
        if hidden:
            words = f"{hidden} more lie below this panel: they are in the one above"
            distance.annotate(words, (SHOWN_BITS[1] - 0.05, 0.75), ha="right", va="center", color="0.35")
        for panel in (ratio, distance):
            panel.set(xlabel="stored bits per element, scales included", xlim=SHOWN_BITS)
        labelled.append((distance, *_names(shown, own)))
    axes[0].plot([], [], linestyle="none", label="filled: on the Pareto front of bits and error, named below")
    axes[0].legend(loc="upper left")
    for item in labelled:
        place_labels(*item)
    save(figure, out, "formats_error")


def _panel(panel: Any, shown: Sequence[Row], yardsticks: Sequence[Row], quantity: str) -> None:
    """Points by kind, filled on the front, with two standard errors; the yardsticks as lines and crosses."""
    bound = {
        int(number(row["bits_per_element"])): number(row["sqnr_db"]) for row in yardsticks if row["kind"] == "bound"
    }

    def values(rows: Sequence[Row]) -> Array:
        sqnr = column(rows, "sqnr_db")
        return (
            sqnr
            if quantity == "sqnr_db"
            else np.array([bound[int(number(r["bits_per_element"]))] for r in rows]) - sqnr
        )

    styles: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("bound", "Shannon's bound", {"color": "black"}),
        ("entropy-coded scalar, high rate", "uniform + ideal entropy coder (high rate)", {"color": "0.4", "ls": "--"}),
        ("Lloyd-Max", "Lloyd-Max, no scale stored", {"color": "black", "ls": "none", "marker": "+", "ms": 9}),
    )
    for kind, label, look in styles:
        rows = [row for row in yardsticks if row["kind"] == kind]
        panel.plot(column(rows, "bits_per_element"), values(rows), label=label, zorder=1.5, **look)
    for kind, (color, marker) in KINDS.items():
        for on_front in (True, False):
            rows = [row for row in shown if row["kind"] == kind and bool(row["on_front"]) == on_front]
            x, y = column(rows, "bits_per_element"), column(rows, quantity)
            panel.plot(
                x, y, linestyle="none", marker=marker, markersize=5.5 if on_front else 4, markeredgecolor=color,
                markerfacecolor=color if on_front else "white", zorder=3 if on_front else 2,
            )  # fmt: skip
            panel.errorbar(x, y, yerr=2 * standard_error_db(rows), fmt="none", ecolor=color, elinewidth=0.8, capsize=0)
        if any(row["kind"] == kind for row in shown):
            panel.plot([], [], linestyle="none", marker=marker, color=color, label=LEGEND[kind])
    if quantity == "sqnr_db":
        y = column(shown, quantity)
        panel.set_ylim(float(y.min()) - 3, float(y.max()) + 8)


def _spread_finding(shown: Sequence[Row], yardsticks: Sequence[Row]) -> str:
    """Where the front lies, and how many formats pass the Lloyd-Max quantisers, interpolated, which store no scale."""
    own = [row for row in yardsticks if row["kind"] == "Lloyd-Max"]
    limit = np.interp(column(shown, "bits_per_element"), column(own, "bits_per_element"), column(own, "sqnr_db"))
    passed = int(np.sum(column(shown, "sqnr_db") > limit))
    far = column([row for row in shown if row["on_front"]], "below_bound_db")
    return (
        f"the front lies {far.min():.1f} to {far.max():.1f} dB below the bound; "
        f"{passed or 'none'} of {len(shown)} formats {'beat' if passed > 1 else 'beats'} Lloyd-Max (between its points)"
    )


def _names(shown: Sequence[Row], yardsticks: Sequence[Row]) -> tuple[Array, Array, list[str]]:
    """Names for a lower panel, and their points; empty ones at hollow points and crosses keep the others off."""
    bound = {row["bits_per_element"]: number(row["sqnr_db"]) for row in yardsticks if row["kind"] == "bound"}
    crosses = [row for row in yardsticks if row["kind"] == "Lloyd-Max"]
    crosses_db = [bound[row["bits_per_element"]] - number(row["sqnr_db"]) for row in crosses]
    points = [(number(row["bits_per_element"]), number(row["below_bound_db"]), row) for row in shown]
    x = np.array([x for x, _, _ in points] + [number(row["bits_per_element"]) for row in crosses])
    y = np.array([y for _, y, _ in points] + crosses_db)
    inside = (x >= SHOWN_BITS[0]) & (x <= SHOWN_BITS[1])
    names = [str(row["format"]) if row["on_front"] else "" for _, _, row in points] + [""] * len(crosses)
    return x[inside], y[inside], [name for name, keep in zip(names, inside, strict=True) if keep]


def least_samples(rows: Sequence[Row]) -> int:
    """The smallest number of samples behind a point."""
    return int(column(rows, "samples").min())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrapped(text: str, width: int = 86) -> str:
    """Two lines at the semicolon, where one is too long."""
    return text if len(text) <= width else text.replace("; ", ";\n", 1)


@style()
def draw_atlas(rows: Sequence[Row], out: Path) -> None:
    """Every format a row of ticks on one axis; range and codes in words to the right."""
    places, headings = _places(rows)
    depth = max(places + [place for place, _ in headings]) + 1
    figure, (axes,) = new_figure(size_inches=(15.0, 0.165 * depth + 1.6))
    axes.set_xscale("symlog", base=2, linthresh=LINEAR_OCTAVES, linscale=7)
    lowest, highest = min(column(rows, "log2_smallest")), max(column(rows, "log2_largest"))
    ends = max(-300.0, min(lowest, -32.0) * 1.12), min(300.0, max(highest, 32.0) * 1.12)
    axes.set_xlim(*ends)
    for row, place in zip(rows, places, strict=True):
        _row_of_ticks(axes, row, place, ends)
    for place, heading in headings:
        axes.annotate(heading, (0.004, place), xycoords=("axes fraction", "data"), va="center", weight="bold")
    for points, words in zip(COLUMN_POINTS, ("bits", "range of magnitudes", "magnitudes, specials"), strict=True):
        _beside(axes, points, -0.2, words, weight="bold")
    axes.set_yticks(places, [str(row["format"]) for row in rows], fontsize=7.5)
    axes.set_ylim(depth - 0.3, -0.8)
    shown = [octave for octave in _octave_ticks(ends) if ends[0] <= octave <= ends[1]]
    axes.set_xticks(shown, [f"$2^{{{octave}}}$" for octave in shown])
    axes.tick_params(axis="x", which="both", top=True, labeltop=True)
    axes.grid(axis="y", visible=False)
    for side in ((ends[0], -LINEAR_OCTAVES), (LINEAR_OCTAVES, ends[1])):
        axes.axvspan(*side, color="0.96", zorder=0, linewidth=0)
    for color, label in ((NORMAL_COLOR, "value"), (SUBNORMAL_COLOR, "subnormal value")):
        axes.plot([], [], color=color, linestyle="none", marker="|", markersize=9, label=label)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    axes.set(
        xlabel=f"magnitude |value|; logarithmic between $2^{{-{LINEAR_OCTAVES}}}$ and $2^{{{LINEAR_OCTAVES}}}$, "
        f"compressed further in the shaded parts; formats wider than 8 bits: at most {DENSE_TICKS} ticks an octave",
        ylabel=f"scalar formats of up to {int(max(column(rows, 'bits')))} bits, by kind and width",
        title=atlas_finding(rows),
    )
    save(figure, out, "formats_atlas")


def _octave_ticks(ends: tuple[float, float]) -> list[int]:
    """Every fourth octave of the even part; beyond it powers of two, or of four where there would be too many."""
    outer = (64, 256) if max(-ends[0], ends[1]) > 200 else (32, 64, 128)
    return sorted({*range(-LINEAR_OCTAVES, LINEAR_OCTAVES + 1, 4), *outer, *(-octave for octave in outer)})


def _places(rows: Sequence[Row]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each row stands, from the top, and where the kinds' headings do; a gap parts widths."""
    places: list[float] = []
    headings: list[tuple[float, str]] = []
    at = 1.5
    for kind, group in groupby(rows, key=lambda row: row["kind"]):
        headings.append((at, f"{kind}"))
        at += 1
        for _, same in groupby(group, key=lambda row: row["bits"]):
            for _ in same:
                places.append(at)
                at += 1
            at += 0.35
        at += 0.4
    return places, headings


def _row_of_ticks(axes: Any, row: Row, place: float, ends: tuple[float, float]) -> None:
    logs = np.array(json.loads(str(row["log2_magnitudes"])), dtype=np.float64)
    edge = row["log2_smallest_normal"]
    subnormal = logs < (-np.inf if edge is None else number(edge) - 1e-3)  # the ticks are rounded to four decimals
    for chosen, color in ((subnormal, SUBNORMAL_COLOR), (~subnormal, NORMAL_COLOR)):
        # One line for all ticks of a row, broken by NaN: a tenth of the file that a line a tick would make.
        x = np.repeat(logs[chosen], 3)
        y = np.tile([place - 0.36, place + 0.36, np.nan], int(chosen.sum()))
        axes.plot(x, y, color=color, linewidth=0.55, solid_capstyle="butt")
    for end, marker, beyond in ((ends[0], "<", logs[0] < ends[0]), (ends[1], ">", logs[-1] > ends[1])):
        if beyond:
            axes.plot([end], [place], marker=marker, color=NORMAL_COLOR, clip_on=False, markersize=4)
    specials = [word for word in ("zero", "infinity", "nan") if row[word]]
    words = {"zero": "zero", "infinity": "inf", "nan": "NaN"}
    sign = "" if row["signed"] else "unsigned; "
    counted = f"{sign}{row['magnitudes']:,}" + "".join(f", {words[special]}" for special in specials)
    for points, text in zip(COLUMN_POINTS, (str(row["bits"]), _powers(str(row["range"])), counted), strict=True):
        _beside(axes, points, place, text)


def _beside(axes: Any, points: float, place: float, text: str, **look: Any) -> None:
    """Text `points` to the right of the axes: not a part of their width, which the layout finds only later."""
    axes.annotate(
        text, (1, place), xytext=(points, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
        va="center", fontsize=7, **look,
    )  # fmt: skip


def _powers(text: str) -> str:
    """ "2**-9" with a raised exponent."""
    words = [
        f"${word.replace('**', '^{')}}}$" if word.startswith("2**") else "\u00d7" if word == "*" else word
        for word in text.split(" ")
    ]
    return " ".join(words)


def atlas_finding(rows: Sequence[Row]) -> str:
    """Of signed formats of eight bits the shortest and the longest range, and the most values each has in an octave."""
    eight = [row for row in rows if row["bits"] == 8 and row["signed"] and row["kind"] != "codebooks"]
    if not eight:
        return f"{len(rows)} formats and their values"
    octaves = column(eight, "log2_largest") - column(eight, "log2_smallest")
    short, long = eight[int(np.argmin(octaves))], eight[int(np.argmax(octaves))]
    return (
        f"Eight bits with a sign span {octaves.min():.0f} octaves as {_first(short)} and {octaves.max():.0f} as "
        f"{_first(long)}, with up to {_densest(short)} and {_densest(long)} values an octave"
    )


def _first(row: Row) -> str:
    return str(row["format"]).split(" = ")[0]


def _densest(row: Row) -> int:
    """The most values in one octave [2**n, 2**(n + 1))."""
    logs = np.array(json.loads(str(row["log2_magnitudes"])), dtype=np.float64)
    return int(np.max(np.unique(np.floor(logs + 1e-3), return_counts=True)[1]))
