"""The table of verdicts, tests/mutation/results.csv: a line a defect, the rate in a comment above."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.mutation.runner import Defect, Verdict

COLUMNS = ("name", "bug", "family", "outcome", "by", "seconds", "commit", "date")
Row = dict[str, str]


def read(path: Path) -> list[Row]:
    """The rows of a table; none where there is no file yet."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def merged(rows: Iterable[Row], verdicts: Iterable[Verdict], defects: Sequence[Defect]) -> list[Row]:
    """The rows with new verdicts in the place of old ones, in the defects' order; rows of no defect are dropped."""
    held = {row["name"]: row for row in rows}
    known = {defect.name: defect for defect in defects}
    for verdict in verdicts:
        defect = known[verdict.name]
        values = (verdict.name, defect.bug, defect.family, verdict.outcome, verdict.by, f"{verdict.seconds:.0f}",
                  verdict.commit, verdict.date)  # fmt: skip
        held[verdict.name] = dict(zip(COLUMNS, values, strict=True))
    return [held[defect.name] for defect in defects if defect.name in held]


def write(path: Path, rows: Sequence[Row]) -> None:
    """The table, its summary first."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {summary(rows)}\n")
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def summary(rows: Sequence[Row]) -> str:
    """How many were killed."""
    ran = [row for row in rows if row["outcome"] != "stale"]
    killed = sum(row["outcome"] != "survived" for row in ran)
    last = max((row["date"] for row in ran), default="never")
    rate = 100 * killed / len(ran) if ran else 0.0
    stale = f"; {len(rows) - len(ran)} stale" if len(ran) < len(rows) else ""
    return f"{killed} of {len(ran)} defects killed ({rate:.1f} %), last run {last}{stale}"
