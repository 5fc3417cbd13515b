"""Pareto fronts against their definition; figures that repeat, say what they show and leave nothing behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("matplotlib")

import matplotlib
from numpy.typing import NDArray

from studies.plots import log_ticks, new_figure, pareto_front, pareto_scatter, place_labels, save, style

COORDINATES = st.integers(0, 4) | st.sampled_from([np.inf, -np.inf]) | st.floats(-2, 2)
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES), max_size=12)
BETTER = st.tuples(st.sampled_from(["low", "high"]), st.sampled_from(["low", "high"]))


def front_by_definition(points: list[tuple[float, float]], better: tuple[str, str]) -> list[bool]:
    signs = [1 if word == "low" else -1 for word in better]
    costs = [(signs[0] * x, signs[1] * y) for x, y in points]
    return [not any(p[0] <= q[0] and p[1] <= q[1] and p != q for p in costs) for q in costs]


@given(POINTS, BETTER)
def test_pareto_front_is_its_definition(points: list[tuple[float, float]], better: tuple[str, str]) -> None:
    x, y = ([point[i] for point in points] for i in (0, 1))
    assert pareto_front(x, y, better).tolist() == front_by_definition(points, better)


def test_pareto_front_by_hand() -> None:
    x, y = [1, 2, 2, 3, 1], [3, 2, 3, 2, 3]
    assert pareto_front(x, y).tolist() == [True, True, False, False, True]
    assert pareto_front(x, y, ("high", "high")).tolist() == [False, False, True, True, False]


def test_pareto_front_refuses() -> None:
    with pytest.raises(ValueError, match=r"of one length, got \(2,\), \(3,\)"):
        pareto_front([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"point 1 is \(nan, 2.0\)"):
        pareto_front([1, np.nan], [1, 2])
    with pytest.raises(ValueError, match="must be a pair of 'low' or 'high'"):
        pareto_front([1], [1], ("low", "lower"))


def crowded() -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    random = np.random.default_rng(7)
    x, y = 10 ** random.uniform(1, 2, 10), 10 ** random.uniform(-3, -2, 10)
    return x, y, [f"format {i}/int{i}" for i in range(10)]


@style()
def draw(out: Path, name: str = "toy") -> tuple[Path, Path]:
    x, y, labels = crowded()
    figure, (axes,) = new_figure()
    axes.set(xscale="log", yscale="log", xlabel="area [um2]", ylabel="loss [bits/byte]", title="A finding")
    pareto_scatter(axes, x, y, labels=labels, x_error=(0.8 * x, 1.2 * x), series="toy")
    axes.legend()
    log_ticks(axes)
    place_labels(axes, x, y, labels)
    return save(figure, out, name)


def test_figures_repeat_bit_for_bit(tmp_path: Path) -> None:
    """In this process, in a second run, and in another process with another hash seed."""
    first = [path.read_bytes() for path in draw(tmp_path / "first")]
    assert first == [path.read_bytes() for path in draw(tmp_path / "second")]
    code = f"import sys, runpy, pathlib; m = runpy.run_path({__file__!r}); m['draw'](pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "third")]
    subprocess.run(command, check=True, timeout=120, env={"PYTHONHASHSEED": "5", "PATH": ""})
    assert first == [(tmp_path / "third" / name).read_bytes() for name in ("toy.png", "toy.svg")]
    assert first != [path.read_bytes() for path in draw(tmp_path, "another salt")], "the checker sees a difference"


def test_drawing_leaves_no_trace(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    draw(tmp_path)
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.rcParams["axes.spines.top"] is True
    with style():
        assert matplotlib.rcParams["axes.spines.top"] is False
        assert matplotlib.rcParams["axes.titlelocation"] == "left"


def test_labels_do_not_overlap(tmp_path: Path) -> None:
    x, y, labels = crowded()
    figure, (axes,) = new_figure()
    axes.set(xscale="log", yscale="log", xlabel="x", ylabel="y", title="t")
    axes.plot(x, y, "o")
    place_labels(axes, x, y, labels)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == labels
    pairs = [(i, j) for i in range(10) for j in range(i) if boxes[i].padded(-1).overlaps(boxes[j].padded(-1))]
    assert pairs == []


def test_save_wants_titles_and_units(tmp_path: Path) -> None:
    figure, axes = new_figure(1, 2)
    axes[0].set(xlabel="x", ylabel="y", title="t")
    axes[1].set(xlabel="x", title="t")
    with pytest.raises(ValueError, match="axes 1 of toy lacks its ylabel"):
        save(figure, tmp_path, "toy")
    axes[1].set_ylabel("y")
    assert [path.name for path in save(figure, tmp_path / "new", "toy")] == ["toy.png", "toy.svg"]


def test_scatter_marks_the_front_and_checks_intervals() -> None:
    _, (axes,) = new_figure()
    x, y = np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 2.0])
    front = pareto_scatter(axes, x, y, labels=["a", "b", "c"], series="toy")
    assert front.tolist() == [True, True, False]
    filled, hollow, line = axes.lines
    assert np.asarray(filled.get_xdata()).tolist() == [1, 2]
    assert np.asarray(hollow.get_xdata()).tolist() == [3]
    assert np.asarray(line.get_xydata()).tolist() == [[1, 3], [2, 3], [2, 1]]
    assert axes.get_legend_handles_labels()[1] == ["toy"]
    with pytest.raises(ValueError, match=r"x_error: b is 2.0, outside its interval 2.5\.\.3.0"):
        pareto_scatter(axes, x, y, labels=["a", "b", "c"], x_error=([0.5, 2.5, 2.5], [2, 3, 4]))
    with pytest.raises(ValueError, match="2 labels for 3 points"):
        pareto_scatter(axes, x, y, labels=["a", "b"])


def test_front_line_where_high_is_better() -> None:
    _, (axes,) = new_figure()
    pareto_scatter(axes, [1.0, 2.0], [3.0, 1.0], labels=["a", "b"], better=("high", "high"))
    assert np.asarray(axes.lines[2].get_xydata()).tolist() == [[1, 3], [1, 1], [2, 1]]


def test_log_ticks_are_plain_numbers(tmp_path: Path) -> None:
    figure, (axes,) = new_figure()
    axes.set(xscale="log", xlim=(9, 110), xlabel="x", ylabel="y", title="t")
    axes.plot([10, 100], [0, 1])
    log_ticks(axes)
    figure.draw_without_rendering()
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert [text for text in shown if 9 <= float(text) <= 110] == ["10", "20", "50", "100"]
