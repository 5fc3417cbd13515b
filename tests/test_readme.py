"""The README is true: its examples run, and its figures are those of the committed results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from formats.catalogue.page import tier_counts
from studies.common import read_csv
from tests.hwsim.rtl.designs import skip_without_yosys

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number: int) -> None:
    if "torch" in EXAMPLES[number]:
        pytest.importorskip("torch", reason="this example needs torch")
    if ".prove()" in EXAMPLES[number]:
        skip_without_yosys()
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {})


def test_there_is_an_example_per_package() -> None:
    for package in ("formats", "hwsim", "mappers"):
        assert any(f"import {package}" in example for example in EXAMPLES)
    assert "python -m studies" in TEXT


def test_the_two_commands_and_the_figure_are_there() -> None:
    assert "make demo" in TEXT
    assert "make test" in TEXT
    for path in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (ROOT / path).is_file(), f"README shows {path}, which is not committed"


def rows_in(heading: str) -> list[list[str]]:
    """Cells of the Markdown table in a section, without its head."""
    section = TEXT.split(heading, 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_quality_table_is_the_committed_run() -> None:
    measured = {(row["workload"], row["label"]): row for row in read_csv(ROOT / "studies/results/quickstart.csv").rows}
    priced = {
        row["label"]: row
        for row in read_csv(ROOT / "studies/results/quickstart_costs.csv").rows
        if (row["workload"], row["technology"], row["clock"]) == ("byte_lm", "ihp130", "own")
    }
    table = rows_in("## What it found")
    assert [cells[0] for cells in table] == list(priced)
    for label, lost, wide, cosine, energy, area, unpriced in table:
        loss = measured["byte_lm", label]
        held = loss["loss_kv_activation"]
        assert wide == ("–" if held is None else f"{held:.4f}")
        assert unpriced == f"{priced[label]['unpriced_share']:.0%}"
        assert lost == f"{loss['loss']:.4f} ± {loss['loss_standard_error']:.4f}"
        assert cosine == f"{measured['minilm', label]['cosine_mean']:.4f}"
        assert energy == interval(priced[label], "energy_ratio")
        assert area == interval(priced[label], "array_area_ratio")


def test_the_counts_of_the_catalogue_are_its() -> None:
    counts = tier_counts()
    assert f"lists {sum(counts.values())} named formats" in " ".join(TEXT.split())
    for tier, words in (("proved", "proved against"), ("derived", "derived from"), ("unverified", "unverified,")):
        assert f"{counts[tier]} {words}" in " ".join(TEXT.split())


def test_the_rate_of_defects_seen_is_the_committed_run() -> None:
    head = (ROOT / "tests/mutation/results.csv").read_text(encoding="utf-8").splitlines()[0]
    killed, total = map(int, re.findall(r"(\d+) of (\d+) defects killed", head)[0])
    claimed = int(re.findall(r"the tests see at least (\d+) %", " ".join(TEXT.split()))[0])
    assert 100 * killed >= claimed * total


def test_the_gpu_figures_are_the_recorded_run() -> None:
    run = json.loads((ROOT / "studies/results/h200_formats.json").read_text(encoding="utf-8"))
    text = " ".join(TEXT.split())
    copy = run["times"]["copies"]["torch copy_"]["gb_per_s"]
    lines = run["times"]["lines"]
    for words, name in (
        ("e4m3fn {}", "e4m3fn"),
        ("int8 {}", "int8"),
        ("nf4 {}", "nf4"),
        ("posit8es2 {}", "posit8es2"),
        ("mxfp4 {}", "mxfp4"),
        ("nvfp4 {} with its tensor scale given", "nvfp4, tensor scale given"),
        ("and {} without", "nvfp4, tensor scale derived"),
        ("int4:g32 {}", "int4:g32"),
        ("posit16es1 {}", "posit16es1"),
    ):
        assert words.format(f"{100 * lines[name]['gb_per_s'] / copy:.0f} %") in text, name
    checks = run["eager"] + run["compiled"]
    assert f"Every one of {sum(check.get('elements', 0) for check in checks) / 1e6:.0f} million values" in text
    assert all(check.get("wrong", 0) == check.get("wrong_gradients", 0) == 0 for check in checks)
    assert run["conversions"]["inputs"] == 2**32
    assert all(pair["numbers"] == 0 for pair in run["conversions"]["pairs"].values())


def interval(row: dict[str, object], name: str) -> str:
    """A ratio with its interval, as the README writes it."""
    return f"{row[name]:.2f} ({row[name + '_low']:.2f}..{row[name + '_high']:.2f})"


def test_the_speed_table_is_the_committed_run() -> None:
    rows = read_csv(ROOT / "studies/results/speed.csv").rows
    held = {(row["operation"], row["subject"], row["who"]): float(str(row["ratio_to_copy"])) for row in rows}
    for operation, subject, *ratios in rows_in("## How fast"):
        for who, ratio in zip(("bitcost", "ml_dtypes", "torch"), ratios, strict=True):
            assert ratio == ("–" if (operation, subject, who) not in held else f"{held[operation, subject, who]:.1f}")


def test_the_arithmetic_figures_are_the_committed_runs() -> None:
    rows = {
        (row["operation"], row["formats"], row["how"]): row
        for row in read_csv(ROOT / "studies/results/gemm_speed.csv").rows
    }
    run = json.loads((ROOT / "studies/results/h200_arithmetic.json").read_text(encoding="utf-8"))
    text, e4m3 = " ".join(TEXT.split()), "e4m3fn x e4m3fn"
    for words, key in (
        ("sums of e4m3fn run at {}", ("exact, one rounding", e4m3, "exact")),
        ("of int8 at {}", ("integer register", "int8 x int8", "accumulator=Integer(bits=32, overflow='wrap')")),
        ("rounding after every product at {}", ("chain", e4m3, "accumulator=FloatChain('float16')")),
    ):
        assert words.format(f"{float(str(rows[key]['ratio_to_float32'])):.2f}") in text, words
    gmacs = float(str(rows["matrix unit", e4m3, "accumulator=hopper_fp8"]["gmacs"]))
    assert f"fp8 unit at {gmacs:.1f} GMAC/s" in text
    lines = run["speed"]["lines"]
    eight, sixteen = (lines[name]["tmac_per_s"] for name in ("hopper_fp8", "hopper_bf16"))
    assert f"{eight:.2f} and {sixteen:.2f} TMAC/s" in text
    cases = run["instructions"]["cases"].values()
    assert all(count == 0 for case in cases for counts in case["differ"].values() for count in counts)
    dots = run["instructions"]["dots"] * sum(len(case["differ"]) for case in cases)
    assert f"{dots / 1e6:.0f} million dot products" in text
    library = [item for part in ("library fp8", "library 16") for item in run[part].values()]
    assert f"{sum(item['differ'] == 0 for item in library)} of {len(library)} whole products" in text


def test_the_cost_of_arithmetic_is_the_committed_run() -> None:
    rows = {(row["label"], row["operands"]): row for row in read_csv(ROOT / "studies/results/arithmetic_cost.csv").rows}
    memory = read_csv(ROOT / "studies/results/arithmetic_cost_memory.csv").rows
    text = " ".join(TEXT.split())
    exact, hopper, chain = (rows[name, "e4m3fn"]["cosine_mean"] for name in ("exact", "hopper_fp8", "bfloat16 chain"))
    assert f"exact sums keep a mean cosine of {exact:.4f}" in text
    assert f"`hopper_fp8` {hopper:.4f}, a bfloat16 rounding after every product {chain:.4f}" in text
    shape = "x".join(str(memory[0][size]) for size in ("m", "k", "n"))
    most = max(float(str(row["beyond_mib"])) for row in memory)
    assert f"a product of {shape} takes at most {most:.0f} MiB beyond its operands and result" in text
    assert "`python -m studies arithmetic_cost`" in text


def test_what_is_said_of_claims_is_the_committed_run() -> None:
    rows = read_csv(ROOT / "studies/results/pe_cost_claims.csv").rows
    ours = {(row["case"], row["quantity"]): row["ours"] for row in rows if str(row["claim"]).startswith("FP8")}
    text = " ".join(TEXT.split())
    assert f"an exact e4m3 MAC takes {ours['e4m3fn, exact register', 'area']:.1f} times the area of int8's" in text
    assert ours["e4m3fn, exact register", "energy"] < 1, "and less energy"
    assert round(float(ours["e4m3fn, float32 register", "area"])) == 2, "with a float32 register, twice the area"
