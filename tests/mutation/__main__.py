"""Run the defects: `python -m tests.mutation [--jobs 1] [--only NAME ...] [--list]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutation.defects import DEFECTS, FAMILIES
from tests.mutation.results import merged, read, summary, write
from tests.mutation.runner import Defect, Verdict, judge, pristine

RESULTS = Path(__file__).with_name("results.csv")


def main() -> int:
    """0 where every defect that ran was killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="defects at a time (default 1)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="defects (part of a name) or families")
    parser.add_argument("--list", action="store_true", help="print the defects and stop")
    parser.add_argument("--base", type=Path, help="keep the unmutated copy in this folder, and use one that is there")
    given = parser.parse_args()
    chosen = [d for d in DEFECTS if not given.only or any(p in d.name or p == d.family for p in given.only)]
    if given.list:
        for d in chosen:
            print(f"{d.name:44} {d.family:12} {d.bug:36} {d.file}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        base, commit = pristine(given.base or Path(folder) / "base")
        verdicts: list[Verdict] = []

        def run(defect: Defect) -> None:
            verdict = judge(defect, base, commit, FAMILIES[defect.family])
            verdicts.append(verdict)
            write(RESULTS, merged(read(RESULTS), verdicts, DEFECTS))
            print(f"{verdict.outcome:9} {verdict.seconds:5.0f} s  {defect.name}  {verdict.by}", flush=True)

        with ThreadPoolExecutor(given.jobs) as pool:
            list(pool.map(run, chosen))
    print(summary(read(RESULTS)))
    return int(any(verdict.outcome in ("survived", "stale") for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
