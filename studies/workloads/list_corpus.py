"""Makes data/corpus_files.json: which standard-library files are held out, and the hashes under which they are used.

    python -m studies.workloads.list_corpus TRAINED NAME=FOLDER...

Each NAME=FOLDER is one release's library folder; TRAINED names the one that the byte model was trained on. A path of
that release is held out when crc32(path) % 20 == 0, or when its bytes are the same in at least STABLE_IN of the
releases: such files are likely to be the same in releases that this list has not seen. Listed for evaluation are the
versions of held-out paths, outside LEFT_OUT, of whose bytes at most OVERLAP_LIMIT repeat training text.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studies.workloads.corpus import in_random_split

STABLE_IN = 6
OVERLAP_LENGTH = 50
OVERLAP_LIMIT = 0.2
# tests are often not installed; the others are generated tables, near copies of each other, or absent from many systems
LEFT_OUT = ("encodings/", "lib2to3/", "idlelib/", "turtledemo/", "distutils/", "pydoc_data/", "ensurepip/", "tkinter/")

Library = dict[str, bytes]


def read_library(folder: Path) -> Library:
    """Text of every library .py file by posix path; installed packages are no part of the library."""
    library: Library = {}
    for file in sorted(folder.rglob("*.py")):
        path = file.relative_to(folder).as_posix()
        if "site-packages" not in path and "dist-packages" not in path and file.is_file():
            library[path] = file.read_bytes()
    return library


def _suitable(path: str) -> bool:
    return "test" not in path and not path.startswith(LEFT_OUT)


def held_out_paths(trained: Library, releases: dict[str, Library]) -> list[str]:
    """Suitable paths of the trained release that are in the random split or stable over the releases."""

    def stable(path: str) -> bool:
        return sum(library.get(path) == trained[path] for library in releases.values()) >= STABLE_IN

    return sorted(path for path in trained if _suitable(path) and (in_random_split(path) or stable(path)))


def _string_hashes(text: bytes) -> NDArray[np.uint64]:
    """A 64-bit polynomial hash of each OVERLAP_LENGTH-byte string of the text, wrapping on purpose."""
    values = np.frombuffer(text, dtype=np.uint8).astype(np.uint64) + np.uint64(1)
    count = max(len(values) - OVERLAP_LENGTH + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    multiplier = 1
    for offset in range(OVERLAP_LENGTH if count else 0):
        hashes += values[offset : offset + count] * np.uint64(multiplier)
        multiplier = multiplier * 0x9E3779B97F4A7C15 % 2**64
    return hashes


def overlap(text: bytes, training_hashes: NDArray[np.uint64]) -> float:
    """Share of the bytes that lie in a string whose hash is among the sorted training hashes."""
    hashes = _string_hashes(text)
    if not len(hashes):
        return 0.0
    nearest = np.minimum(np.searchsorted(training_hashes, hashes), len(training_hashes) - 1)
    starts = np.flatnonzero(training_hashes[nearest] == hashes)
    edges = np.zeros(len(text) + 1, dtype=np.int64)
    np.add.at(edges, starts, 1)
    np.add.at(edges, starts + OVERLAP_LENGTH, -1)
    return float(np.mean(np.cumsum(edges)[: len(text)] > 0))


def _versions(path: str, releases: dict[str, Library], training: NDArray[np.uint64]) -> Iterator[dict[str, object]]:
    seen: dict[bytes, list[str]] = {}
    for name, library in releases.items():
        if path in library:
            seen.setdefault(library[path], []).append(name)
    for text, names in seen.items():
        share = overlap(text, training)
        if text and share <= OVERLAP_LIMIT:
            digest = hashlib.sha256(text).hexdigest()
            yield {"sha256": digest, "bytes": len(text), "overlap": round(share, 3), "snapshots": names}


def make_list(trained_name: str, releases: dict[str, Library]) -> dict[str, object]:
    """The table that is saved as corpus_files.json."""
    trained = releases[trained_name]
    held_out = held_out_paths(trained, releases)
    reserved = set(held_out)
    training_text = b"\0".join(
        text for path, text in trained.items() if path not in reserved and not in_random_split(path)
    )
    training = np.unique(_string_hashes(training_text))
    files = {path: list(_versions(path, releases, training)) for path in held_out}
    return {
        "about": "held-out CPython standard-library files; made by studies/workloads/list_corpus.py",
        "trained_release": trained_name,
        "releases": list(releases),
        "rule": f"suitable path and (crc32(path) % 20 == 0 or the same bytes in >= {STABLE_IN} of the releases)",
        "overlap": f"share of bytes in {OVERLAP_LENGTH}-byte strings of the training files, at most {OVERLAP_LIMIT}",
        "held_out_paths": held_out,
        "files": {path: versions for path, versions in files.items() if versions},
    }


def main(arguments: list[str]) -> None:
    trained_name, *folders = arguments
    releases = {name: read_library(Path(folder)) for name, folder in (item.split("=", 1) for item in folders)}
    table = make_list(trained_name, releases)
    target = Path(__file__).parent / "data" / "corpus_files.json"
    target.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
