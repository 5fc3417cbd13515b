"""One defect: a copy of the repository with one text replaced, and the test files that should see it.

A copy has the machine code of all kernels that the defect does not reach, so that most of it need not be compiled.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNEL_FOLDERS = ("formats/kernels", "formats/arithmetic")
WHOLE = "tests/formats"  # what a survivor of its own test files is given
LIMIT_S = 900


@dataclass(frozen=True, kw_only=True, slots=True)
class Defect:
    """One wrong line. old: what stands in `file`, once; new: what is put there.

    bug: the class of bugs it belongs to.  family: of code, a key of defects.FAMILIES.
    """

    name: str
    bug: str
    family: str
    file: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """outcome: killed (by a test, or an error while collecting), hung (out of time), survived, or stale (not run)."""

    name: str
    outcome: str
    by: str
    seconds: float
    commit: str
    date: str


def mutated(text: str, defect: Defect) -> str:
    """The text with the defect in it. Raises ValueError where the old text does not stand there exactly once."""
    found = text.count(defect.old)
    if found != 1:
        raise ValueError(f"{defect.name}: its old text stands {found} times in {defect.file}, not once")
    return text.replace(defect.old, defect.new)


def applies(defect: Defect, root: Path) -> bool:
    """Whether the defect's old text still stands where it says, once."""
    return (root / defect.file).read_text(encoding="utf-8").count(defect.old) == 1


def pristine(folder: Path) -> tuple[Path, str]:
    """A copy of the last commit whose tests pass, its kernels compiled, and the commit; one already there is kept."""
    stamp = folder / "commit.txt"
    if stamp.is_file():
        return folder, stamp.read_text(encoding="ascii")
    commit = _git("rev-parse", "--short", "HEAD").decode().strip()
    with tarfile.open(fileobj=BytesIO(_git("archive", "HEAD"))) as archive:
        archive.extractall(folder, filter="data")
    code, output = _pytest(folder, (WHOLE,), 2 * LIMIT_S)
    if code:
        raise SystemExit(f"the commit {commit} itself fails:\n{output[-3000:]}")
    stamp.write_text(commit, encoding="ascii")
    return folder, commit


def judge(defect: Defect, base: Path, commit: str, files: tuple[str, ...]) -> Verdict:
    """Run the family's test files on a mutated copy, and all of tests/formats if they pass."""
    begin = time.time()
    if not applies(defect, base):
        return Verdict(name=defect.name, outcome="stale", by="", seconds=0.0, commit=commit, date=_today())
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        _copy(base, copy, defect)
        for which in (files, (WHOLE,)):
            code, output = _pytest(copy, which, LIMIT_S)
            if code:
                break
    outcome = "survived" if code == 0 else "hung" if code == 124 else "killed"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+(?:\[[^\n]*?\])?)(?: -|$)", output, re.MULTILINE)
    if outcome == "killed" and failed is None and code > 0:
        raise RuntimeError(f"{defect.name}: pytest ended with {code}:\n{output[-3000:]}")
    by = failed[1] if failed else f"signal {-code}" if outcome == "killed" else ""
    return Verdict(
        name=defect.name, outcome=outcome, by=by, seconds=time.time() - begin, commit=commit,
        date=_today(),
    )  # fmt: skip


def _copy(base: Path, copy: Path, defect: Defect) -> None:
    """The base with the defect, and of its compiled code what the defect does not reach."""
    shutil.copytree(base, copy, ignore=lambda _, names: [n for n in names if n.endswith((".nbi", ".nbc", ".sha256"))])
    path = copy / defect.file
    path.write_text(mutated(path.read_text(encoding="utf-8"), defect), encoding="utf-8")
    specification = importlib.util.spec_from_file_location("copied_jit", copy / "formats/kernels/jit.py")
    assert specification is not None
    assert specification.loader is not None
    jit = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(jit)
    reached = _reached(base, defect.file)
    for folder in KERNEL_FOLDERS:
        cache = base / folder / "__pycache__"
        jit._drop_stale_code(copy / folder)  # writes the stamp of the mutated sources
        for compiled in (*cache.glob("*.nbi"), *cache.glob("*.nbc")):
            if f"{folder}/{compiled.name.split('.')[0]}.py" not in reached:
                shutil.copy2(compiled, copy / folder / "__pycache__")


def _reached(base: Path, file: str) -> set[str]:
    """The kernel sources that import a file, directly or through others, and the file."""
    sources = [path.relative_to(base).as_posix() for folder in KERNEL_FOLDERS for path in base.glob(f"{folder}/*.py")]
    imports = {
        s: set(re.findall(r"^from (formats\.\S+) import", (base / s).read_text(), re.MULTILINE)) for s in sources
    }
    reached = {file}
    while True:
        modules = {s.removesuffix(".py").replace("/", ".") for s in reached}
        more = {s for s in sources if imports[s] & modules} - reached
        if not more:
            return reached
        reached |= more


def _pytest(folder: Path, files: tuple[str, ...], limit: float) -> tuple[int, str]:
    """Return code (124: out of time, negative: a signal) and output of the tests in a copy, up to the first failure."""
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", "--no-header",
        "--tb=line", "-rfE", *files,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, timeout=limit, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, ""
    return done.returncode, done.stdout


def _today() -> str:
    return time.strftime("%Y-%m-%d")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
