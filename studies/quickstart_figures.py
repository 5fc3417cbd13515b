"""The quickstart's two figures, drawn from its tables: quality against energy, and Llama-3-8B's energy by part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.common import Row
from studies.plots import new_figure, pareto_scatter, place_labels, save, style

NODE = "ihp130"  # the manufacturable one
PARTS = (("pe", "PEs"), ("array", "rest of the array"), ("vector", "vector unit"), ("sram", "SRAM"), ("dram", "DRAM"))
COLORS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#999999")
QUALITIES = {"byte_lm": "bits/byte above the unquantised model", "minilm": "1 - cosine to float32 embeddings"}
NAMES = {"byte_lm": "Byte-level Llama, 0.9 M parameters", "minilm": "all-MiniLM-L6-v2"}
LITTLE = {"byte_lm": (0.05, "bits/byte"), "minilm": (0.01, "of cosine")}
BASELINE = "bf16/bf16"
FLOOR = 1e-4  # losses below it are drawn there: sampling noise


def number(cell: object) -> float:
    """A numeric cell."""
    return float(str(cell))


def chosen(rows: Sequence[Row], **wanted: str) -> list[Row]:
    """The rows with these cells."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


@style()
def draw_pareto(measured: Sequence[Row], priced: Sequence[Row], out: Path) -> None:
    """Loss against energy relative to bf16, one panel a model; filled points are the front."""
    models = [name for name in QUALITIES if chosen(measured, workload=name)]
    figure, axes = new_figure(1, len(models), size_inches=(6.0 * len(models), 4.6))
    labelled = []
    for panel, model in zip(axes, models, strict=True):
        quality = chosen(measured, workload=model)
        cost = {row["label"]: row for row in chosen(priced, workload=model, technology=NODE, clock="own")}
        x = np.array([number(cost[row["label"]]["energy_ratio"]) for row in quality])
        low = np.array([number(cost[row["label"]]["energy_ratio_low"]) for row in quality])
        high = np.array([number(cost[row["label"]]["energy_ratio_high"]) for row in quality])
        loss = np.array([number(row["loss"]) for row in quality])
        error = np.array([number(row["loss_standard_error"]) for row in quality])
        y = np.maximum(loss, FLOOR)
        interval = np.maximum(np.minimum(loss - error, y), FLOOR), np.maximum(loss + error, y)
        labels = [str(row["label"]) for row in quality]
        panel.set_xscale("log")
        panel.set_yscale("log")
        pareto_scatter(panel, x, y, labels=labels, x_error=(low, high), y_error=interval)
        panel.set(
            xlabel=f"energy of this model on a 64x64 array, relative to bf16/bf16 ({NODE})",
            ylabel=f"{QUALITIES[model]} (n = {quality[0]['samples']:,})",
            title=f"{NAMES[model]}\n{_finding(model, labels, x, loss, cost)}",
        )
        panel.set_xticks([0.1, 0.2, 0.3, 0.5, 1.0], ["0.1", "0.2", "0.3", "0.5", "1"])
        panel.minorticks_off()
        marked = [f"{name} (below {FLOOR:g})" if low else name for name, low in zip(labels, loss < FLOOR, strict=True)]
        labelled.append((panel, x, y, marked))
    for item in labelled:
        place_labels(*item)
    save(figure, out, "quickstart")


def _finding(
    model: str, labels: Sequence[str], energy: NDArray[np.float64], loss: NDArray[np.float64], cost: dict[Any, Row]
) -> str:
    """The pair with the least energy among those that lose little, and those it cannot be told from."""
    limit, unit = LITTLE[model]
    good = np.flatnonzero(loss < limit)
    if not good.size:
        return f"every pair loses more than {limit} {unit}"
    best = int(good[np.argmin(energy[good])])
    against = str(cost[labels[best]]["undecided_against"] or "").split("; ")
    open_pairs = [name for name, lost in zip(labels, loss, strict=True) if lost < limit and name in against]
    text = f"least energy losing under {limit} {unit}: {labels[best].split('/')[0]}, {energy[best]:.2f} of bf16's"
    return text + (f"\nundecided against {', '.join(open_pairs)}" if open_pairs else "")


@style()
def draw_llama(priced: Sequence[Row], out: Path) -> None:
    """Energy per token of Llama-3-8B by part: prefill and decode, at both nodes, null model as a mark."""
    nodes = list(dict.fromkeys(str(row["technology"]) for row in priced))
    figure, axes = new_figure(2, len(nodes), size_inches=(6.6 * len(nodes), 7.8))
    phases = (("llama-3-8b-prefill", "prefill of 512 tokens"), ("llama-3-8b-decode", "decode at context 512"))
    for index, panel in enumerate(axes):
        (workload, phase), node = phases[index // len(nodes)], nodes[index % len(nodes)]
        rows = chosen(priced, workload=workload, technology=node, clock="own")
        common = {row["label"]: row for row in chosen(priced, workload=workload, technology=node, clock="common")}
        _energy_bars(panel, rows, common, names=index % len(nodes) == 0)
        share = [number(row["pe_energy_share"]) for row in rows]
        panel.set(
            xlabel="energy per token [mJ]",
            ylabel="weight/activation",
            title=f"Llama-3-8B {phase}, {node}:\nPEs take {min(share):.0%} to {max(share):.0%} of the energy",
        )
    axes[1].legend(loc="center right")  # the bars are short there
    save(figure, out, "quickstart_llama")


def _energy_bars(panel: Any, rows: Sequence[Row], common: dict[Any, Row], names: bool) -> None:
    """Stacked energy with its interval; behind the right edge the time per token at the own and the common clock."""
    places = np.arange(len(rows))[::-1]
    left = np.zeros(len(rows))
    for (part, name), color in zip(PARTS, COLORS, strict=True):
        width = np.array([number(row[f"energy_{part}_uj"]) for row in rows]) / 1e3
        panel.barh(places, width, left=left, color=color, label=name, height=0.7)
        left = left + width
    low = np.array([number(row["energy_low_uj"]) for row in rows]) / 1e3
    high = np.array([number(row["energy_high_uj"]) for row in rows]) / 1e3
    panel.errorbar(left, places, xerr=(left - low, high - left), fmt="none", ecolor="0.35", elinewidth=0.7)
    null = [number(row["bytes_only_energy_uj"]) / 1e3 for row in rows]
    panel.plot(null, places, linestyle="none", marker="|", markersize=9, color="#D55E00", label="bytes-only null model")
    bits = np.array([number(row["bits_x_bits"]) for row in rows])
    base = next(index for index, row in enumerate(rows) if row["label"] == BASELINE)
    panel.plot(
        bits * (left[base] / bits[base]),
        places,
        linestyle="none",
        marker="x",
        markersize=4,
        color="#D55E00",
        label="bits x bits null model, scaled to bf16",
    )
    for place, row in zip(places, rows, strict=True):
        _beside(panel, place, _ms(row), _ms(common[row["label"]]))
    _beside(panel, len(rows) - 0.2, "ms at own", f"{number(common[rows[0]['label']]['clock_mhz']):.0f} MHz")
    panel.set_xlim(0, float(np.max(high)) * 1.03)
    panel.set_ylim(-0.6, len(rows) + 0.2)
    panel.set_yticks(places, [str(row["label"]) for row in rows] if names else [""] * len(rows))


def _beside(panel: Any, place: float, own: str, common: str) -> None:
    """Two columns of text to the right of the axes."""
    for offset, text in ((1.01, own), (1.15, common)):
        panel.annotate(text, (offset, place), xycoords=("axes fraction", "data"), va="center", fontsize=6.5)


def _ms(row: Row) -> str:
    time_ms = number(row["latency_us"]) / 1e3
    return f"{time_ms:,.0f}" if time_ms >= 100 else f"{time_ms:.3g}"
