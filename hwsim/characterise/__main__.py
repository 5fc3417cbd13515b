"""`python -m hwsim.characterise`: see the package."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from hwsim.characterise import cmos, mapped
from hwsim.characterise.libraries import LIBRARIES, Constraints
from hwsim.pe.catalogue import catalogue

WRITTEN_EVERY = 8  # PEs
TABLES = Path(__file__).parents[1] / "technology"


def main(arguments: list[str] | None = None) -> int:
    """Write, or check, the tables asked for."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.pe or ()) - set(catalogue()))
    if unknown:
        parser.error(f"no PE is called {', '.join(unknown)}; there are {', '.join(catalogue())}")
    given = (asked.driving_cell, asked.load_ff, asked.period_ps, asked.output)
    if any(x is not None for x in given) and (None in given or len(asked.liberty) != 1):
        parser.error("--driving-cell, --load-ff, --period-ps and --output go together, with one --liberty")
    if asked.output is not None and not asked.output.absolute().parent.is_dir():  # found out hours later otherwise
        parser.error(f"--output {asked.output}: there is no folder {asked.output.absolute().parent}; make it first")
    try:
        if not asked.liberty:
            return _one(asked, TABLES / "cmos_gates.json", None, None)
        return max(_one(asked, *_found(parser, asked, path)) for path in asked.liberty)
    except (OSError, ValueError, ImportError) as error:  # a broken library, one without flip-flops, no pyosys
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hwsim.characterise", description=__doc__)
    parser.add_argument("--liberty", action="append", default=[], metavar="PATH", help="a .lib or .lib.gz, else none")
    parser.add_argument("--pe", action="append", metavar="NAME", help="only this PE (may be given again)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a row is not the table's")
    parser.add_argument("--all", action="store_true", help="make rows again whose Verilog has not changed, too")
    for name, kind, text in (
        ("--driving-cell", str, "drives each input, for a library that is not known here"),
        ("--load-ff", float, "on each output, likewise"),
        ("--period-ps", float, "that abc maps for, likewise"),
        ("--output", Path, "the table's file, likewise"),
    ):
        parser.add_argument(name, type=kind, help=text)
    return parser


def _found(parser: argparse.ArgumentParser, asked: Any, path: str) -> tuple[Path, str, Constraints]:
    """The table of a library, its file and the constraints."""
    from hwsim.liberty.cells import read_library

    if asked.output is not None:
        own = Constraints(
            table=asked.output.stem, period_ps=asked.period_ps, driving_cell=asked.driving_cell, load_ff=asked.load_ff
        )
        return asked.output, path, own
    name = read_library(path).name
    if name not in LIBRARIES:
        parser.error(
            f"library {name} is not one of {', '.join(LIBRARIES)}: say --driving-cell, --load-ff, --period-ps, --output"
        )
    return TABLES / f"{LIBRARIES[name].table}.json", path, LIBRARIES[name]


def _one(asked: Any, file: Path, liberty: str | None, constraints: Constraints | None) -> int:
    """Make one table, and write or check it. Written every few PEs, so that a later one's error loses nothing."""
    held = _held(file)
    names = list(catalogue()) if asked.pe is None else asked.pe
    again = None if asked.check or asked.all else held
    if asked.check:
        made = _made(asked, liberty, constraints, names, again)
        wrong = cmos.differences(held, made)
        print("\n".join(wrong) or f"{len(made['rows'])} PEs as in {file.name}")
        return int(bool(wrong) or len(made["rows"]) < len(names))
    missing: list[str] = []
    for start in range(0, len(names), WRITTEN_EVERY):
        some = names[start : start + WRITTEN_EVERY]
        made = _made(asked, liberty, constraints, some, again)
        held = {**held, **made} | {part: held.get(part, {}) | made[part] for part in ("rows", "leaves") if part in made}
        missing += [name for name in some if name not in made["rows"]]
        _write(file, held)
    if asked.pe is None:  # what is no longer listed goes
        held["rows"] = {name: row for name, row in held["rows"].items() if name in catalogue()}
        if "leaves" in held:
            used = {leaf.module_name for listed in catalogue().values() for leaf in listed.module().leaves()}
            held["leaves"] = {name: row for name, row in held["leaves"].items() if name in used}
        _write(file, held)
    print(f"{len(held['rows'])} PEs in {file.name}" + (f"; not {', '.join(missing)}" if missing else ""))
    return int(bool(missing))


def _held(file: Path) -> dict[str, Any]:
    """The table of an earlier run; an empty one where there is none. Raises ValueError for a file that is no table."""
    if not file.exists():
        return {"rows": {}}
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}; remove it, or give another --output") from None
    if not isinstance(held, dict) or not isinstance(held.get("rows"), dict):
        raise ValueError(f"{file} has no rows by name: it is no table; remove it, or give another --output")
    return held


def _made(
    asked: Any, liberty: str | None, constraints: Constraints | None, names: list[str], held: dict[str, Any] | None
) -> dict[str, Any]:
    if liberty is None or constraints is None:
        known = held if held and "leaves" in held else None
        return cmos.table(names, leaves=not asked.pe, held=known, tell=_tell)
    return mapped.table(liberty, constraints, names, held=held, tell=_tell)


def _write(file: Path, table: dict[str, Any]) -> None:
    file.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
