"""The look of the figures: a colour-blind-safe style, Pareto scatter plots, and files that repeat bit for bit.

    @style()                                                        # while draw runs, not before or after it
    def draw(csv_path, out):
        rows = read_csv(csv_path).rows
        figure, (axes,) = new_figure()
        pareto_scatter(axes, area_um2, loss, labels=names, x_error=(low, high))
        axes.set(xlabel="area of one MAC [um2]", ylabel="loss over fp32 [bits/byte]", title="nvfp4 is on the front")
        place_labels(axes, area_um2, loss, names)
        save(figure, out, "quickstart")                             # out/quickstart.png, out/quickstart.svg

Measured points are markers, modelled ones lines. matplotlib (extra `studies`) is imported when first used, and figures
are drawn without pyplot, by the Agg and SVG canvases: no display, no global state, nothing changed in a notebook.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from studies.common import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE_FILE = Path(__file__).with_name("bitcost.mplstyle")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LABEL_DISTANCES_POINTS = (5.0, 12.0, 22.0, 34.0, 48.0, 64.0)
LABEL_DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))


@contextmanager
def style() -> Iterator[None]:
    """Within it, or in a function it decorates, matplotlib draws in bitcost's style; the settings before come back."""
    require("matplotlib", "studies")
    import matplotlib.style

    with matplotlib.style.context(STYLE_FILE, after_reset=True):
        yield


def new_figure(
    rows: int = 1, columns: int = 1, size_inches: tuple[float, float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure in bitcost's style and its rows * columns axes, row by row."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=size_inches)
        return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def save(figure: Figure, out: Path, name: str) -> tuple[Path, Path]:
    """Write out/name.png and out/name.svg; their paths.

    The same figure gives the same bytes: no date or version in the files, and SVG ids derived from `name`.
    Raises ValueError where an axes has no title or an axis no label: a figure says what it shows.
    """
    for axes in figure.axes:
        missing = [part for part in ("title", "xlabel", "ylabel") if axes.axison and not _has_text(axes, part)]
        if missing and axes.get_label() != "<colorbar>":
            raise ValueError(f"save: axes {figure.axes.index(axes)} of {name} lacks its {', '.join(missing)}")
    out.mkdir(parents=True, exist_ok=True)
    png, svg = out / f"{name}.png", out / f"{name}.svg"
    with style():
        import matplotlib

        matplotlib.rcParams["svg.hashsalt"] = name
        figure.savefig(png, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def pareto_front(x: ArrayLike, y: ArrayLike, better: tuple[str, str] = ("low", "low")) -> NDArray[np.bool_]:
    """Which points no other point beats: better in one coordinate and at least as good in the other.

    x, y: one-dimensional, of one length; the mask returned has that length. better: "low" or "high" for each. Equal
    points stand or fall together. O(n log n). Raises ValueError for other shapes, NaN, and other words.
    """
    xs, ys = (np.asarray(values, dtype=np.float64) for values in (x, y))
    if xs.ndim != 1 or xs.shape != ys.shape:
        raise ValueError(f"pareto_front: x and y must be one-dimensional and of one length, got {xs.shape}, {ys.shape}")
    if np.isnan(xs).any() or np.isnan(ys).any():
        bad = int(np.flatnonzero(np.isnan(xs) | np.isnan(ys))[0])
        raise ValueError(f"pareto_front: point {bad} is ({xs[bad]}, {ys[bad]}); leave points without a value out")
    if not set(better) <= {"low", "high"} or len(better) != 2:
        raise ValueError(f"pareto_front: better={better!r} must be a pair of 'low' or 'high'")
    xs, ys = (values if word == "low" else -values for values, word in zip((xs, ys), better, strict=True))
    if not xs.size:
        return np.zeros(0, dtype=np.bool_)

    order = np.lexsort((ys, xs))
    sorted_x, sorted_y = xs[order], ys[order]
    # The points of one x form a run; its first has the run's least y, and beats or equals the others.
    starts = np.flatnonzero(np.r_[True, sorted_x[1:] != sorted_x[:-1]])
    run = np.cumsum(np.r_[False, sorted_x[1:] != sorted_x[:-1]])
    least_y = sorted_y[starts]
    least_y_before = np.r_[np.inf, np.minimum.accumulate(least_y)[:-1]]
    # inf < inf is False, yet the first run always stands: nothing has a lower x.
    run_stands = (least_y < least_y_before) | (np.arange(starts.size) == 0)
    mask = np.zeros(xs.size, dtype=np.bool_)
    mask[order] = run_stands[run] & (sorted_y == least_y[run])
    return mask


def pareto_scatter(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    *,
    labels: Sequence[str],
    x_error: tuple[ArrayLike, ArrayLike] | None = None,
    y_error: tuple[ArrayLike, ArrayLike] | None = None,
    better: tuple[str, str] = ("low", "low"),
    series: str | None = None,
    color: str | None = None,
    marker: str = "o",
) -> NDArray[np.bool_]:
    """Draw labelled points, their intervals, and the step line of their Pareto front; the front's mask is returned.

    x, y, labels: one entry per point. x_error, y_error: (low, high), the ends of the interval in the axis' unit, not
    distances. Points off the front are hollow. series: the legend's entry; color: next of the cycle if None.
    Raises ValueError as pareto_front does, and where an interval does not hold its point.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    front = pareto_front(xs, ys, better)
    if len(labels) != xs.size:
        raise ValueError(f"pareto_scatter: {len(labels)} labels for {xs.size} points")
    x_distances = _error_distances(xs, x_error, "x_error", labels)
    y_distances = _error_distances(ys, y_error, "y_error", labels)
    with style():
        (line,) = axes.plot(xs[front], ys[front], linestyle="none", marker=marker, color=color, label=series)
        chosen = line.get_color()
        axes.plot(
            xs[~front], ys[~front], linestyle="none", marker=marker, markeredgecolor=chosen, markerfacecolor="white"
        )
        axes.errorbar(xs, ys, yerr=y_distances, xerr=x_distances, fmt="none", ecolor=chosen, elinewidth=0.8, alpha=0.6)
        along = np.argsort(xs[front])
        # Between two front points nothing better is known: the line goes along the worse coordinate first. Its corners
        # are drawn, not left to a drawstyle, so that place_labels sees them.
        line_x, line_y = np.repeat(xs[front][along], 2), np.repeat(ys[front][along], 2)
        line_x, line_y = (line_x[1:], line_y[:-1]) if better[0] == "low" else (line_x[:-1], line_y[1:])
        axes.plot(line_x, line_y, color=chosen, linewidth=0.9, alpha=0.7)
    return front


def log_ticks(axes: Axes) -> None:
    """Put ticks at 1, 2 and 5 of every decade of the logarithmic axes, written as plain numbers."""
    with style():
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
            if scale == "log":
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_locator(NullLocator())


def place_labels(axes: Axes, x: ArrayLike, y: ArrayLike, labels: Sequence[str]) -> None:
    """Write each label beside its point where it covers least of points, lines and the labels before it.

    Call it last, when scales, limits and titles are set: places are chosen in the figure's final layout. A label away
    from its point gets a thin line to it. Greedy, in the order given, and the same every time.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    with style():
        figure: Any = axes.figure
        figure.draw_without_rendering()
        points = axes.transData.transform(np.column_stack([xs, ys]))
        pixels_per_point = figure.dpi / 72
        # A point's marker weighs more than a stroke: a label may cross an error bar, not hide a point.
        half = 3.5 * pixels_per_point
        taken = [(np.array([px - half, py - half, px + half, py + half]), 5.0) for px, py in points]
        taken += [(box, 1.0) for box in _stroke_boxes(axes, pixels_per_point)]
        frame = np.array(axes.get_window_extent().extents)
        for (px, py), x_value, y_value, label in zip(points, xs, ys, labels, strict=True):
            text = axes.annotate(label, (x_value, y_value), xytext=(0, 0), textcoords="offset points", fontsize=7.5)
            extent = text.get_window_extent()
            box, distance = _best_place((px, py), (extent.width, extent.height), pixels_per_point, taken, frame)
            taken.append((box, 3.0))
            text.set_position(((box[0] - px) / pixels_per_point, (box[1] - py) / pixels_per_point))
            if distance > LABEL_DISTANCES_POINTS[1]:
                corner = np.clip((px, py), box[:2], box[2:])
                ends = axes.transData.inverted().transform([(px, py), tuple(corner)])
                axes.plot(ends[:, 0], ends[:, 1], color="0.6", linewidth=0.5, scalex=False, scaley=False, zorder=1)


def _stroke_boxes(axes: Axes, pixels_per_point: float) -> list[NDArray[np.float64]]:
    """Boxes [left, bottom, right, top] in pixels around the level and upright strokes of `axes`, and its legend."""
    from matplotlib.collections import LineCollection

    paths = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_linestyle() != "None"]
    for collection in axes.collections:
        if isinstance(collection, LineCollection):
            paths += [np.asarray(segment) for segment in collection.get_segments()]
    boxes = []
    for path in paths:
        corners = axes.transData.transform(path)
        for start, end in itertools.pairwise(corners):
            if np.abs(end - start).min() < 1:  # the box around a slanting stroke would be mostly air
                margin = 0.6 * pixels_per_point
                boxes.append(np.r_[np.minimum(start, end) - margin, np.maximum(start, end) + margin])
    legend = axes.get_legend()
    return boxes + ([np.array(legend.get_window_extent().extents)] if legend is not None else [])


def _best_place(
    point: tuple[float, float],
    size: tuple[float, float],
    pixels_per_point: float,
    taken: Sequence[tuple[NDArray[np.float64], float]],
    frame: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """The box [left, bottom, right, top] in pixels for a label of `size` at `point`, and its distance in points.

    taken: boxes to keep clear of, and the weight of a pixel covered. frame: the axes' box; outside counts as a label.
    """
    obstacles, weights = np.array([box for box, _ in taken]), np.array([weight for _, weight in taken])
    places = []
    for distance in LABEL_DISTANCES_POINTS:
        for dx, dy in LABEL_DIRECTIONS:
            shift = distance * pixels_per_point / np.hypot(dx, dy)
            left = point[0] + dx * shift - size[0] * (1 - dx) / 2
            bottom = point[1] + dy * shift - size[1] * (1 - dy) / 2
            box = np.array([left, bottom, left + size[0], bottom + size[1]])
            outside = size[0] * size[1] - _overlap_pixels(box, frame[np.newaxis])[0]
            # An equal place nearer the point is better: a point of distance weighs as two pixels covered.
            cost = _overlap_pixels(box, obstacles) @ weights + 3 * outside + 2 * distance
            places.append((float(cost), box, distance))
    # Rounded, and the first of equals: the same place on every machine.
    _, box, distance = places[int(np.argmin(np.round([cost for cost, _, _ in places], 1)))]
    return box, distance


def _overlap_pixels(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area that `box` [4] shares with each of `others` [n, 4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=1)
    return shared


def _error_distances(
    values: NDArray[np.float64], interval: tuple[ArrayLike, ArrayLike] | None, name: str, labels: Sequence[str]
) -> NDArray[np.float64] | None:
    """matplotlib's [2, n] distances below and above `values` for the interval (low, high)."""
    if interval is None:
        return None
    low, high = (np.broadcast_to(np.asarray(end, dtype=np.float64), values.shape) for end in interval)
    outside = ~((low <= values) & (values <= high))
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        raise ValueError(f"{name}: {labels[bad]} is {values[bad]}, outside its interval {low[bad]}..{high[bad]}")
    return np.stack([values - low, high - values])


def _has_text(axes: Axes, part: str) -> bool:
    """Whether `part` ("title", "xlabel", "ylabel") of the axes is written."""
    if part == "title":
        return any(axes.get_title(loc=loc).strip() for loc in ("left", "center", "right"))
    return bool(getattr(axes, f"get_{part}")().strip())
