"""Registers: everything a fold holds while it is stepped, and the numbers its parts go by. No numba in here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.array.datapath import Datapath

Array = NDArray[Any]

# kernels.py compiles these numbers into machine code it keeps on disk: save that file too when one of them changes.
EMPTY = -1  # tag of a register that holds nothing; other tags count the lanes of a word that hold a term
LOAD, STREAM, DRAIN, DONE = 0, 1, 2, 3  # states of a fold
RUNNING, FINISHED, OVERFLOWED = 0, 1, 2  # what stepping it returned
STATE, CYCLE, FED, RESULTS = 0, 1, 2, 3  # entries of `control`
READ_MOVING, READ_STILL, WRITTEN, READ_BACK = 0, 1, 2, 3  # entries of `moved`
OVERFLOW_NONE, OVERFLOW_WRAP, OVERFLOW_SATURATE, OVERFLOW_ERROR = 0, 1, 2, 3  # entry 0 of `rules`; entry 1 is bits
_RULES = {"exact": OVERFLOW_NONE, "wrap": OVERFLOW_WRAP, "saturate": OVERFLOW_SATURATE, "error": OVERFLOW_ERROR}


def tags(*shape: int) -> NDArray[np.int64]:
    """Tags of registers that hold nothing."""
    return np.full(shape, EMPTY)


def skew_lines(words: Array, depths: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Empty skew lines and their tags for words [any, lines, lanes], each as long as the deepest."""
    deepest = max(1, int(depths.max()))
    return np.zeros((words.shape[1], deepest, words.shape[2]), words.dtype), tags(words.shape[1], deepest)


def control(state: int) -> NDArray[np.int64]:
    """`control` of a fold before its first cycle."""
    return np.array([state, 0, 0, 0])


def rules(path: Datapath) -> NDArray[np.int64]:
    """What the kernels do with a sum that leaves its register of `bits` bits."""
    return np.array([_RULES[path.overflow], path.bits])


class StationaryFold(NamedTuple):
    """One fold with an operand held in the PEs: what is fed, every register, and the books.

    still: [rows, lanes, columns], words to hold, zero where padded.  moving: [steps, rows, lanes], words to stream.
    terms: [rows], lanes of each row that hold a k of this fold.  depths: [rows], registers of each row's skew line.
    active: columns in use.  first: whether this is the first fold along K.
    buffer: [steps, columns(, limbs)], the accumulator buffer, added to unless `first`.
    Registers, all empty or zero at the start: held [rows, lanes, columns]; wires [rows, lanes, columns + 1], of which
    [..., 0] is the wire into the row; line [rows, deepest, lanes], the skew lines; sums [rows + 1, columns(, limbs)],
    sums[r + 1] of row r and sums[0] the zeros fed to the top; and the tags of each.  taken: [columns], results so far.
    control: indexed STATE, CYCLE, FED, RESULTS.  moved: words moved, indexed READ_MOVING and so on.
    """

    still: Array
    moving: Array
    terms: Array
    depths: Array
    active: int
    first: bool
    buffer: Array
    held: Array
    held_tags: Array
    wires: Array
    tags: Array
    line: Array
    line_tags: Array
    sums: Array
    sum_tags: Array
    taken: Array
    control: Array
    moved: Array
    rules: Array
    magic: Array

    @classmethod
    def empty(
        cls, path: Datapath, still: Array, moving: Array, depths: Array, moved: Array, **fed: Any
    ) -> StationaryFold:
        """A fold before its first cycle. fed: the fields that say what to do."""
        rows, lanes, columns = still.shape
        line, line_tags = skew_lines(moving, depths)
        return cls(
            still=still,
            moving=moving,
            depths=depths,
            held=np.zeros_like(still),
            held_tags=tags(rows, columns),
            wires=np.zeros((rows, lanes, columns + 1), moving.dtype),
            tags=tags(rows, columns + 1),
            line=line,
            line_tags=line_tags,
            sums=path.sums(rows + 1, columns),
            sum_tags=tags(rows + 1, columns),
            taken=np.zeros(columns, np.int64),
            control=control(LOAD),
            moved=moved,
            rules=rules(path),
            magic=path.magic(),
            **fed,
        )


class OutputFold(NamedTuple):
    """One fold with the sums held in the PEs: what is fed, every register, and the books.

    a: [steps, rows, lanes], words entering at the left.  b: [steps, columns, lanes], at the top; zero where padded.
    terms: [steps], lanes of the step that hold a k.  a_depths, b_depths: registers of each row's and each column's skew
    line.  active_rows, active_columns: in use.  drain: shift sums down through the rows once all are complete, or else
    take each as it completes.  out: [rows, columns(, limbs)], the results.
    Registers: a_wires [rows, lanes, columns + 1], b_wires [rows + 1, lanes, columns] with the wires in at index 0;
    a_line [rows, deepest, lanes], b_line; sums [rows, columns(, limbs)]; and their tags.  taken: [rows, columns], words
    each PE has added.  control, moved (a is READ_MOVING, b is READ_STILL), rules, magic: as in StationaryFold.
    """

    a: Array
    b: Array
    terms: Array
    a_depths: Array
    b_depths: Array
    active_rows: int
    active_columns: int
    drain: bool
    out: Array
    a_wires: Array
    a_tags: Array
    a_line: Array
    a_line_tags: Array
    b_wires: Array
    b_tags: Array
    b_line: Array
    b_line_tags: Array
    step_tags: Array
    sums: Array
    sum_tags: Array
    taken: Array
    control: Array
    moved: Array
    rules: Array
    magic: Array

    @classmethod
    def empty(
        cls, path: Datapath, a: Array, b: Array, a_depths: Array, b_depths: Array, moved: Array, **fed: Any
    ) -> OutputFold:
        """A fold before its first cycle. fed: the fields that say what to do."""
        (_, rows, lanes), columns = a.shape, b.shape[1]
        a_line, a_line_tags = skew_lines(a, a_depths)
        b_line, b_line_tags = skew_lines(b, b_depths)
        return cls(
            a=a,
            b=b,
            a_depths=a_depths,
            b_depths=b_depths,
            a_wires=np.zeros((rows, lanes, columns + 1), a.dtype),
            a_tags=tags(rows, columns + 1),
            a_line=a_line,
            a_line_tags=a_line_tags,
            b_wires=np.zeros((rows + 1, lanes, columns), b.dtype),
            b_tags=tags(rows + 1, columns),
            b_line=b_line,
            b_line_tags=b_line_tags,
            step_tags=tags(columns),
            sums=path.sums(rows, columns),
            sum_tags=tags(rows, columns),
            taken=np.zeros((rows, columns), np.int64),
            control=control(STREAM),
            moved=moved,
            rules=rules(path),
            magic=path.magic(),
            **fed,
        )
