"""Everything the formats do on a GPU, in one call: `python -m studies.h200_formats --out DIR`.

Checks values and gradients against the numpy path, eager and compiled; sweeps all 2**32 float32 inputs through ours,
torch's and the hardware's conversions; times quantise-dequantise against copies of the same run. Writes DIR/h200.json
and DIR/h200_conversions.npz and prints a short table. Each part that fails leaves its error in the JSON.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studies.gpu import conversions, equality, times

SECONDS = 230.0  # for all parts together


def environment(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {}
    for package in ("torch", "triton", "numpy", "numba", "ml_dtypes"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "missing"
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions,
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor(),
        "cuda": torch.version.cuda,
    }
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit", "--format=csv,noheader"]
        found["driver"] = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts in order of importance, each within its share of the time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="few formats and inputs: tests the script itself")
    parser.add_argument("--elements", type=int, default=2**29, help="elements of the timed tensor")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    device, quick = options.device, options.quick
    begin = time.monotonic()
    result: dict[str, Any] = {"environment": environment(device), "quick": quick, "seconds": {}}

    def part(name: str, share: float, call: Callable[[float], Any]) -> None:
        start = time.monotonic()
        deadline = begin + SECONDS * share
        try:
            result[name] = call(deadline)
        except Exception:
            result[name] = {"error": traceback.format_exc()[-3000:]}
        result["seconds"][name] = round(time.monotonic() - start, 1)
        (options.out / "h200.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {result['seconds'][name]} s", flush=True)

    def swept(deadline: float) -> dict[str, Any]:
        report, tables = conversions.sweep(device, 20 if quick else 32, 18 if quick else 27, deadline)
        np.savez_compressed(options.out / "h200_conversions.npz", **tables)  # type: ignore[arg-type]
        return report

    elements = 2**20 if quick else options.elements
    part("times", 0.5, lambda deadline: times.run(device, elements, quick, deadline))
    part("conversions", 0.55, swept)
    part("compiled", 0.85, lambda deadline: equality.compiled(device, quick, deadline))
    part("eager", 1.0, lambda deadline: equality.eager(device, quick, deadline))
    print(summary(result))


def summary(result: dict[str, Any]) -> str:
    """A short table: times as a share of the best copy, and what differed anywhere."""
    lines = [json.dumps(result["environment"])]
    timed = result["times"]
    if "error" not in timed:
        rates = [row.get("gb_per_s", 0.0) for key in ("copies", "copies again") for row in timed[key].values()]
        best = max(rates)
        for key in ("copies", "copies again"):
            lines.append(f"{key}: " + ", ".join(f"{k} {v.get('gb_per_s', v)}" for k, v in timed[key].items()))
        for name, row in timed["lines"].items():
            rate = row.get("gb_per_s")
            text = f"{rate:8.1f} GB/s {rate / best:6.1%}" if rate else ""
            rest = {k: v for k, v in row.items() if k not in ("gb_per_s", "ms")}
            lines.append(f"{name:28} {text} {rest}")
    else:
        lines.append(timed["error"])
    lines.append("conversions: " + json.dumps({k: v for k, v in result["conversions"].items() if k != "runs"}))
    for key in ("compiled", "eager"):
        rows = result[key]
        if isinstance(rows, dict):
            lines.append(f"{key}: {rows['error'][-600:]}")
            continue
        counts = ("wrong", "wrong_without_gradient", "wrong_gradients")
        bad = [row for row in rows if "error" in row or "stopped" in row or any(row.get(count) for count in counts)]
        elements = sum(row.get("elements", 0) for row in rows)
        refused = sum("refused" in row for row in rows)
        lines.append(f"{key}: {len(rows)} checks, {elements} elements, {len(bad)} not as on the CPU, {refused} refused")
        lines += [f"   {json.dumps(row)[:300]}" for row in bad[:12]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
