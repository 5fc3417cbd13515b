"""`python -m hwsim.characterise`: see the package."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hwsim.characterise.cmos import differences, table
from hwsim.pe.catalogue import catalogue

TABLE = Path(__file__).parents[1] / "technology" / "cmos_gates.json"


def main(arguments: list[str] | None = None) -> int:
    """Write, or check, the table."""
    parser = argparse.ArgumentParser(prog="python -m hwsim.characterise", description=__doc__)
    parser.add_argument("--pe", action="append", metavar="NAME", help="only this PE (may be given again)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a row is not the table's")
    parser.add_argument("--all", action="store_true", help="make rows again whose Verilog has not changed, too")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.pe or ()) - set(catalogue()))
    if unknown:
        parser.error(f"no PE is called {', '.join(unknown)}; there are {', '.join(catalogue())}")
    held = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {"rows": {}, "leaves": {}}
    again = None if asked.check or asked.all else held
    made = table(asked.pe, leaves=not asked.pe, held=again, tell=lambda line: print(line, flush=True))
    if asked.check:
        wrong = differences(held, made)
        print("\n".join(wrong) or f"{len(made['rows'])} PEs and {len(made['leaves'])} leaves as in {TABLE.name}")
        return int(bool(wrong))
    if asked.pe:
        made = {**held, **made, "rows": held["rows"] | made["rows"], "leaves": held["leaves"]}
    TABLE.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(made['rows'])} PEs in {TABLE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
