"""Lowered models that ship with the package, read without torch or transformers.

    graph = load("llama-3-8b-prefill")

`make.py` made them, from configurations written in it.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from mappers.graph import Graph

FOLDER = Path(__file__).parent
SUFFIX = ".json.gz"


def graphs() -> tuple[str, ...]:
    """Names of the shipped graphs."""
    return tuple(sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}")))


@cache
def load(name: str) -> Graph:
    """The shipped graph of that name (see `graphs`); the same object every time. `Graph.load` reads other files.

    Raises ValueError for an unknown name, with near ones.
    """
    known = graphs()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise ValueError(f"load: no shipped graph {name!r}; near names: {', '.join(near)} (Graph.load reads a file)")
    return Graph.load(FOLDER / f"{name}{SUFFIX}")
