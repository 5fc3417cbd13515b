"""The list of defects itself: every text stands where it says, once, and every class of bugs has two."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.bugs import OF_RECORD
from tests.mutation.defects import DEFECTS, FAMILIES
from tests.mutation.runner import Defect, mutated

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_still_applies(defect: Defect) -> None:
    """Where this fails the line has changed: write the same mistake into the new line, and run it with --only."""
    text = (ROOT / defect.file).read_text(encoding="utf-8")
    compile(mutated(text, defect), defect.file, "exec")
    assert mutated(text, defect) != text
    assert defect.family in FAMILIES


def test_names_are_unique_and_every_class_of_record_has_two_defects() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)
    counts = Counter(defect.bug for defect in DEFECTS)
    assert all(counts[bug] >= 2 for bug in (*OF_RECORD, *counts))
