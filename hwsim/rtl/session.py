"""The process that has yosys loaded, kept for the life of this one, and the jobs sent to it."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from signal import SIGALRM
from typing import Any

_SERVER = Path(__file__).with_name("yosys_server.py")
_WARNING = re.compile(r"(?!ABC: )(\S+: )?Warning: ")
_MISSING = "synthesis and proof need yosys as the package pyosys: pip install bitcost[rtl]"


class YosysError(ValueError):
    """Yosys refused its input; the message holds yosys' own line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a finished job left: files by name, and yosys' log."""

    files: Mapping[str, str]
    log: str


class Session:
    """One yosys process. Raises ImportError, saying what to install, where pyosys is missing."""

    def __init__(self) -> None:
        if importlib.util.find_spec("pyosys") is None:
            raise ImportError(_MISSING)
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="bitcost-yosys-"))
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        atexit.register(self.close)
        hello = self._answer()
        if "version" not in hello:
            self.close()
            raise ImportError(f"{_MISSING} (pyosys is there but does not load: {hello.get('missing', 'it ended')})")
        # "Yosys 0.70 (git sha1 28ba3cb92, Release, GNU ...)": the compiler differs between machines, the rest does not.
        self.version = str(hello["version"]).split(",")[0].removeprefix("Yosys ").replace("(git sha1 ", "git ")

    def close(self) -> None:
        """End the process and remove its files."""
        if os.getpid() != self._owner:  # a forked child must not end its parent's process
            return
        atexit.unregister(self.close)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stage(self, digest: str, text: bytes) -> Path:
        """A folder that holds the library under one name, and abc's binary copy of it once that is made."""
        folder = self._folder / digest
        if not folder.is_dir():
            folder.mkdir()
            (folder / "library.lib").write_bytes(text)
        return folder

    def run(
        self, script: Sequence[str], files: Mapping[str, str], *, library: Path | None, seconds: int, about: str
    ) -> Job:
        """Run the commands in an empty folder with these files; `library.lib` is the staged one.

        Raises YosysError with yosys' message, and TimeoutError after so many seconds.
        """
        if seconds < 1:
            raise ValueError(f"a limit of {seconds} s; give at least 1")
        with self._lock, tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            for file, text in files.items():
                (folder / file).write_text(text, encoding="utf-8")
            commands = list(script)
            if library is not None:
                (folder / "library.lib").symlink_to(library / "library.lib")
                commands.insert(0, f"libcache -scl -dir {library}")
            assert self._process.stdin is not None
            request = {"folder": name, "commands": commands, "seconds": seconds}
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                pass  # the answer says so
            status = self._answer().get("status")
            log = _text(folder / "log.txt")
            if status == -SIGALRM:
                raise TimeoutError(
                    f"yosys did not finish {about} in {seconds} s; pass a larger limit or a smaller design"
                )
            if status != 0:
                raise YosysError(f"yosys refused {about}: {_complaint(_text(folder / 'errors.txt'), log)}")
            warnings = dict.fromkeys(line for line in log.splitlines() if _WARNING.match(line))
            if warnings:  # widths that do not fit, two drivers, misspelt names: all are mistakes in a datapath
                raise YosysError(f"yosys warns of {about}: {'; '.join([*warnings][:3])}")
            left = {path.name: _text(path) for path in folder.iterdir() if path.suffix in (".json", ".v")}
            return Job(files=left, log=log)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        session.cache_clear()  # the process is gone; the next call starts another
        return {"status": self._process.wait()}


@cache
def session() -> Session:
    """The session of this process, started at the first call."""
    return Session()


def yosys_version() -> str:
    """As in "0.70 git 28ba3cb92"."""
    return session().version


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _complaint(errors: str, log: str) -> str:
    """Yosys' error on one line; for an error inside abc, what abc said."""
    lines = [line.strip() for line in errors.splitlines() if "ERROR" in line] or errors.splitlines()[-1:]
    if any("ABC" in line for line in lines):
        lines = [line for line in log.splitlines() if line.startswith("ABC: ") and "rror" in line] or lines
    return "; ".join(lines) or "it ended without a message"
