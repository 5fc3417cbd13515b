"""The list of defects itself: names, families, classes of bugs, and that nearly all still apply."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.bugs import OF_RECORD
from tests.mutation.defects import DEFECTS, FAMILIES
from tests.mutation.results import merged, summary
from tests.mutation.runner import Defect, Verdict, applies, mutated

ROOT = Path(__file__).resolve().parents[2]


def test_nearly_all_defects_still_apply() -> None:
    """A changed line is no failure of the one who changed it; many of them are a list that says nothing."""
    stale = [defect.name for defect in DEFECTS if not applies(defect, ROOT)]
    assert len(stale) <= len(DEFECTS) // 10, f"write these mistakes into the lines of today: {stale}"


def test_mutated_files_are_python() -> None:
    for defect in DEFECTS:
        if applies(defect, ROOT):
            compile(mutated((ROOT / defect.file).read_text(encoding="utf-8"), defect), defect.file, "exec")


def test_names_are_unique_and_every_class_has_two_defects() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)
    counts = Counter(defect.bug for defect in DEFECTS)
    assert all(counts[bug] >= 2 for bug in (*OF_RECORD, *counts))
    assert {defect.family for defect in DEFECTS} == set(FAMILIES)
    assert all((ROOT / file.split("::")[0]).is_file() for files in FAMILIES.values() for file in files)


def test_a_text_that_stands_twice_is_refused() -> None:
    defect = Defect(name="a", bug="b", family="c", file="d", old="x", new="y")
    assert mutated("1 x 2", defect) == "1 y 2"
    for text in ("1 2", "x x"):
        with pytest.raises(ValueError, match=r"a: its old text stands [02] times in d, not once"):
            mutated(text, defect)


def test_the_rate_counts_what_ran() -> None:
    defects = [Defect(name=name, bug="b", family="c", file="d", old="x", new="y") for name in "pqrs"]
    outcomes = dict(zip("pqrs", ("killed", "survived", "stale", "hung"), strict=True))
    verdicts = [
        Verdict(name=name, outcome=outcome, by="", seconds=1.0, commit="abc", date="2026-01-02")
        for name, outcome in outcomes.items()
    ]
    rows = merged([], verdicts, defects)
    assert summary(rows) == "2 of 3 defects killed (66.7 %), last run 2026-01-02; 1 stale"
    assert merged(rows, [], defects[1:]) == rows[1:]
