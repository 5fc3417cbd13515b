"""What every study needs around its question: extras, progress lines, and tables that say where they come from.

    progress = Progress("quickstart", steps=3)
    progress("int8/int8")                                              # [   0.4 s] quickstart 1/3: int8/int8
    write_csv(rows, out / "quickstart.csv", Provenance.now(study="quickstart", seed=1))
    table = read_csv(out / "quickstart.csv");  table.rows, table.header["git_hash"]

Imports the standard library only, so that `python -m studies list` answers at once.
"""

import csv
import datetime
import importlib
import importlib.metadata
import io
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import TextIO

Cell = str | int | float | bool | None
Row = dict[str, Cell]

CHECKOUT = Path(__file__).resolve().parent.parent


class MissingExtraError(ImportError):
    """A package of one of bitcost's extras is not installed; the message says which extra brings it."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which comes with the extra `extra` of bitcost.

    Raises MissingExtraError (an ImportError) with the command that installs it where `module` itself is missing; an
    ImportError from inside an installed package is passed on as it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # `import a.b` fails with name "a" or "a.b" when the package is absent, with another name when it is broken.
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        raise MissingExtraError(
            f'needs {error.name}, which is not installed: pip install "bitcost[{extra}]"', name=error.name
        ) from error


class Progress:
    """Prints one line per step with the time since the start, at once (flushed)."""

    def __init__(self, name: str, steps: int | None = None, stream: TextIO | None = None) -> None:
        """name: heads each line; steps: how many are expected, if known; stream: stdout by default."""
        self._name, self._steps, self._stream = name, steps, stream
        self._done = 0
        self._start_s = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say that the next step, described by `text`, begins."""
        self._done += 1
        count = f" {self._done}/{self._steps}" if self._steps else ""
        elapsed_s = time.monotonic() - self._start_s
        print(f"[{elapsed_s:6.1f} s] {self._name}{count}: {text}", file=self._stream or sys.stdout, flush=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where a table comes from. Its lines head the CSV as `# key: value`; empty fields are left out.

    git_hash has "-dirty" behind it where the checkout had uncommitted changes, and is empty outside a checkout.
    date is UTC, ISO 8601 to the second. notes: further (key, value) pairs.
    """

    study: str
    bitcost_version: str = ""
    git_hash: str = ""
    device: str = ""
    platform: str = ""
    seed: int | None = None
    date: str = ""
    notes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        fixed = {field.name for field in fields(self)}
        for key, _ in self.notes:
            if not key.isidentifier() or key in fixed:
                raise ValueError(
                    f"Provenance: note {key!r} must be an identifier other than {', '.join(sorted(fixed))}"
                )
        for key, value in self.items():
            if value != value.strip() or len(value.splitlines()) > 1:
                raise ValueError(f"Provenance: {key}={value!r} must be one line without space around it")

    @classmethod
    def now(
        cls,
        *,
        study: str,
        seed: int | None = None,
        device: str | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> "Provenance":
        """The provenance of a run on this machine now. device: what measured it, by default this CPU."""
        python = f"Python {platform.python_version()}"
        return cls(
            study=study,
            bitcost_version=bitcost_version(),
            git_hash=git_hash(),
            device=device if device is not None else cpu_name(),
            platform=f"{platform.system()} {platform.machine()}, {python}",
            seed=seed,
            date=now_utc().isoformat(timespec="seconds"),
            notes=tuple((key, str(value)) for key, value in (notes or {}).items()),
        )

    def items(self) -> list[tuple[str, str]]:
        """The (key, value) pairs that are not empty, notes last."""
        fixed = [(field.name, getattr(self, field.name)) for field in fields(self) if field.name != "notes"]
        return [(key, str(value)) for key, value in fixed if value not in ("", None)] + list(self.notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table read back: its rows in file order, and the `# key: value` lines above them."""

    rows: tuple[Row, ...]
    header: dict[str, str]

    def column(self, name: str) -> list[Cell]:
        """The cells of one column, in row order. Raises KeyError naming the columns there are."""
        if self.rows and name not in self.rows[0]:
            raise KeyError(f"no column {name!r}; there are {', '.join(self.rows[0])}")
        return [row[name] for row in self.rows]


def write_csv(rows: Iterable[Mapping[str, object]], path: Path, provenance: Provenance) -> None:
    """Write `rows` under the lines of `provenance`; the columns are the keys of the first row.

    Cells are None (empty), bool, int, float, text, or numpy scalars of these; floats are written to the last bit.
    Raises ValueError for no rows, no columns, rows with other columns than the first, and text that would read back as
    something else ("12", "nan", ""); TypeError for other cells.
    """
    table = [dict(row) for row in rows]
    if not table:
        raise ValueError(f"write_csv: no rows for {path.name}; a table needs at least one")
    columns = list(table[0])
    if not columns or columns[0].startswith("#"):
        raise ValueError(f"write_csv: columns {columns}: needs at least one, and the first must not start with '#'")
    lines = []
    for index, row in enumerate(table):
        if list(row) != columns:
            odd = sorted(set(columns) ^ set(row)) or "their order"
            raise ValueError(f"write_csv: row {index} differs from row 0 in its columns: {odd}")
        lines.append([_cell_text(row[column], f"row {index}, column {column!r}") for column in columns])
    path.parent.mkdir(parents=True, exist_ok=True)
    # Through a temporary file: an interrupted run leaves the old table or the new, never half of one.
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in provenance.items())
        csv.writer(file, lineterminator="\n").writerows([columns, *lines])
    partial.replace(path)


def read_csv(path: Path) -> Table:
    """The table that write_csv wrote, every cell equal in value and type.

    Raises ValueError naming the file and line where a row has not the header's number of cells.
    """
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    header: dict[str, str] = {}
    while text.startswith("#"):
        line, _, text = text.partition("\n")
        key, _, value = line[1:].partition(":")
        header[key.strip()] = value.strip()
    lines = list(csv.reader(io.StringIO(text, newline="")))
    if not lines:
        raise ValueError(f"read_csv: {path} has no table under its {len(header)} header lines")
    columns, *body = lines
    for index, cells in enumerate(body):
        if len(cells) != len(columns):
            raise ValueError(f"read_csv: {path}: row {index} has {len(cells)} cells for {len(columns)} columns")
    return Table(rows=tuple(dict(zip(columns, map(_cell, cells), strict=True)) for cells in body), header=header)


def _cell_text(value: object, where: str) -> str:
    """`value` as it stands in the file; `where` names it in errors."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # numpy scalar, without importing numpy
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if not isinstance(value, str):
        raise TypeError(f"write_csv: {where} is a {type(value).__name__}; a cell is text, a number, a bool or None")
    if _cell(value) != value or "\r" in value or "\n" in value:
        raise ValueError(f"write_csv: {where}: the text {value!r} would not read back as that text")
    return value


def _cell(text: str) -> Cell:
    """The value whose _cell_text is `text`."""
    if text == "":
        return None
    if text in ("true", "false"):
        return text == "true"
    for convert in (int, float):
        try:
            value = convert(text)
        except ValueError:
            continue
        # "1_000" and " 12" convert, but are not what a number is written as.
        return value if "_" not in text and text == text.strip() else text
    return text


def bitcost_version() -> str:
    """The installed distribution's version; "unknown" for a bare copy of the folders."""
    try:
        return importlib.metadata.version("bitcost")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def git_hash(checkout: Path = CHECKOUT) -> str:
    """The commit of `checkout`, with "-dirty" behind it if tracked files differ; "" where it is no git checkout."""
    # Only its own .git: a site-packages folder may lie inside somebody else's repository.
    if not (checkout / ".git").exists():
        return ""
    try:
        commit = _git(checkout, "rev-parse", "HEAD")
        changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{commit}-dirty" if changed else commit


def _git(checkout: Path, *arguments: str) -> str:
    command: Sequence[str] = ["git", "-C", str(checkout), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def cpu_name() -> str:
    """The CPU's model and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or an architecture that names no model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def now_utc() -> datetime.datetime:
    """The time now, or SOURCE_DATE_EPOCH (seconds since 1970) where it is set, for outputs that repeat bit for bit."""
    epoch_s = os.environ.get("SOURCE_DATE_EPOCH")
    moment_s = float(epoch_s) if epoch_s else time.time()
    return datetime.datetime.fromtimestamp(math.floor(moment_s), tz=datetime.UTC)
