"""Evaluation text: files of the running interpreter's standard library, accepted only by sha256.

data/corpus_files.json lists held-out paths with the hash of each known version of each path (CPython 3.10 to 3.15;
list_corpus.py made it). A path is held out of training in *all* its versions, and a version that repeats too much of
the training files is not listed. So any interpreter whose library has enough listed files evaluates the same kind of
text, none of it trained on, and a changed or unknown file is refused rather than used.

Windows and sentence pairs are ordered by a checksum of their own bytes: two interpreters draw mostly the same ones.
"""

import ast
import hashlib
import json
import re
import sys
import sysconfig
import warnings
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONTEXT = 256  # bytes the model sees before the last prediction of a window
MINIMUM_WINDOWS = 1024  # 1024 windows * 256 predicted bytes = 262,144 bytes
HELD_OUT_MODULUS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedFile:
    """One known version of one held-out path. `overlap`: share of its bytes that lie in a 50-byte string which also
    occurs in the training files; `snapshots`: the library releases in which the version was seen."""

    path: str
    sha256: str
    bytes: int
    overlap: float
    snapshots: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """Listed files found under `root`: text by path, the paths whose hash is not listed, and the absent paths."""

    root: str
    texts: dict[str, bytes]
    refused: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        return sum(len(text) for text in self.texts.values())

    def __str__(self) -> str:
        return (
            f"{self.n_bytes:,} bytes in {len(self.texts)} listed files under {self.root}"
            f" ({len(self.refused)} refused for another sha256, {len(self.missing)} absent)"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Corpus:
    """Byte windows for evaluation.

    tokens: uint8 [windows, 257]; a model reads the first 256 of a row and predicts the last 256.
    file_index: int64 [windows], the row's index into `paths`; rows of one file are not independent samples.
    digest: sha256 of `tokens`; two runs with one digest evaluated the same text.
    """

    tokens: NDArray[np.uint8]
    file_index: NDArray[np.int64]
    paths: tuple[str, ...]
    matches: Matches
    digest: str

    @property
    def n_windows(self) -> int:
        return int(self.tokens.shape[0])

    @property
    def n_bytes(self) -> int:
        """Predicted bytes."""
        return self.n_windows * CONTEXT

    def __str__(self) -> str:
        return (
            f"{self.n_bytes:,} bytes ({self.n_windows:,} windows of {CONTEXT}) from {len(self.paths)} files,"
            f" sampled from {self.matches}; sha256 {self.digest[:12]}"
        )


@cache
def listed() -> tuple[ListedFile, ...]:
    """Every listed version of every evaluation path."""
    return tuple(
        ListedFile(
            path=path,
            sha256=version["sha256"],
            bytes=version["bytes"],
            overlap=version["overlap"],
            snapshots=tuple(version["snapshots"]),
        )
        for path, versions in _table()["files"].items()
        for version in versions
    )


@cache
def _held_out_paths() -> frozenset[str]:
    return frozenset(_table()["held_out_paths"])


def is_held_out(path: str) -> bool:
    """True when no version of this library path (posix, relative) may be trained on."""
    return in_random_split(path) or path in _held_out_paths()


def in_random_split(path: str) -> bool:
    """The random twentieth of all paths that is held out beside the listed ones."""
    return zlib.crc32(path.encode()) % HELD_OUT_MODULUS == 0


def standard_library() -> Path:
    """Folder of the running interpreter's standard library (in a virtual environment, the base interpreter's)."""
    return Path(sysconfig.get_path("stdlib"))


def match(root: Path | None = None) -> Matches:
    """Listed files under `root` (default: the running interpreter's library) whose sha256 is listed for their path."""
    folder = standard_library() if root is None else root
    if not folder.is_dir():
        raise ValueError(f"corpus: root {folder} is not a folder; pass the folder that holds os.py, or leave root out")
    known: dict[str, set[str]] = {}
    for file in listed():
        known.setdefault(file.path, set()).add(file.sha256)
    texts: dict[str, bytes] = {}
    refused: list[str] = []
    missing: list[str] = []
    for path, hashes in known.items():
        file_path = folder / path
        if not file_path.is_file():
            missing.append(path)
            continue
        text = file_path.read_bytes()
        if hashlib.sha256(text).hexdigest() in hashes:
            texts[path] = text
        else:
            refused.append(path)
    return Matches(root=str(folder), texts=texts, refused=tuple(refused), missing=tuple(missing))


def load(root: Path | None = None, windows: int | None = MINIMUM_WINDOWS) -> Corpus:
    """Evaluation windows from the listed files under `root`.

    windows: how many, at least 1024 (262,144 predicted bytes); None takes all. Windows start at multiples of 256 in
    their file, never cross a file, and identical ones count once. Raises ValueError, saying what arrived and what
    would work, when the matching files hold fewer than asked for.
    """
    if windows is not None and windows < MINIMUM_WINDOWS:
        raise ValueError(
            f"corpus: {windows} windows asked for; below {MINIMUM_WINDOWS} ({MINIMUM_WINDOWS * CONTEXT:,} bytes) the"
            " differences between formats drown in sampling noise; ask for more, or pass windows=None for all"
        )
    matches = match(root)
    rows: dict[bytes, str] = {}
    for path, text in matches.texts.items():
        for start in range(0, len(text) - CONTEXT, CONTEXT):
            rows.setdefault(text[start : start + CONTEXT + 1], path)
    wanted = max(windows or 0, MINIMUM_WINDOWS)
    if len(rows) < wanted:
        raise ValueError(
            f"corpus: {wanted * CONTEXT:,} bytes of listed standard-library text asked for; Python"
            f" {sys.version.split()[0]} gave {len(rows) * CONTEXT:,} in whole windows: {matches}. CPython 3.11 to 3.15"
            " with its library sources works; pass root= the library folder of one"
        )
    chosen = sorted(rows, key=zlib.crc32)[:windows]
    tokens = np.frombuffer(b"".join(chosen), dtype=np.uint8).reshape(-1, CONTEXT + 1)
    paths = tuple(sorted({rows[row] for row in chosen}))
    position = {path: index for index, path in enumerate(paths)}
    file_index = np.array([position[rows[row]] for row in chosen], dtype=np.int64)
    digest = hashlib.sha256(tokens.tobytes()).hexdigest()
    return Corpus(tokens=tokens, file_index=file_index, paths=paths, matches=matches, digest=digest)


@dataclass(frozen=True, kw_only=True, slots=True)
class SentencePair:
    """First paragraph of a docstring (`query`) and its prose after that (`passage`), whitespace collapsed."""

    query: str
    passage: str
    path: str


def sentence_pairs(root: Path | None = None, pairs: int = 150) -> tuple[SentencePair, ...]:
    """Docstrings of the hash-matched files as query and passage, `pairs` of them.

    Raises ValueError when the matching files hold fewer.
    """
    if pairs < 1:
        raise ValueError(f"corpus: {pairs} sentence pairs asked for; ask for at least 1")
    matches = match(root)
    found: dict[str, SentencePair] = {}
    for path, text in matches.texts.items():
        for docstring in _docstrings(text, path):
            pair = _split_docstring(docstring, path)
            if pair is not None:
                found.setdefault(pair.query, pair)
    if len(found) < pairs:
        raise ValueError(
            f"corpus: {pairs} docstring pairs asked for; {matches} hold {len(found)}; ask for fewer, or pass root= the"
            " library folder of CPython 3.11 to 3.15"
        )
    return tuple(sorted(found.values(), key=lambda pair: zlib.crc32((pair.query + pair.passage).encode()))[:pairs])


def _docstrings(text: bytes, path: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in the library's own string literals
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            raise ValueError(
                f"corpus: Python {sys.version.split()[0]} cannot parse {path}, whose sha256 is that of another release"
                f" ({error}); take sentences from this interpreter's own library (root=None)"
            ) from error
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented))
    return [docstring for docstring in found if docstring]


def _split_docstring(docstring: str, path: str) -> SentencePair | None:
    paragraphs = re.split(r"\n\s*\n", docstring.strip())
    prose = [" ".join(paragraph.split()) for paragraph in paragraphs if ">>>" not in paragraph]
    query, passage = prose[0] if prose else "", " ".join(prose[1:])
    # shorter ones are names and signatures rather than sentences
    if len(query) < 20 or len(passage) < 40:
        return None
    return SentencePair(query=query, passage=passage, path=path)


def _table() -> dict[str, Any]:
    text = (resources.files("studies.workloads") / "data" / "corpus_files.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
