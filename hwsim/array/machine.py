"""Machine: feeds a product's folds to the kernels one after another and keeps the books of cycles and words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.array.datapath import Datapath
from hwsim.array.recorder import Recorder
from hwsim.array.registers import CYCLE, OVERFLOWED, RUNNING, STATE, OutputFold, StationaryFold
from hwsim.array.systolic import SystolicArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Skew:
    """Registers in the skew line before each row and, output stationary only, before each column.

    A line delays its words so that they meet sums (or the other operand's words) that move one PE a cycle; row r and
    column c need r and c registers, which is what `Skew.of(array)` has.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def of(cls, array: SystolicArray) -> Skew:
        """The skew lines of a working array."""
        return cls(np.arange(array.rows), np.arange(array.columns))


class Machine:
    """One array at work: `multiply` runs a product through it, the attributes say what all products so far took.

    cycles, folds: so far.  moved: words, indexed READ_MOVING and so on.
    """

    def __init__(self, array: SystolicArray, path: Datapath, skew: Skew, recorder: Recorder | None) -> None:
        from hwsim.array import kernels  # numba only when something is simulated

        self.kernels = kernels
        self.array, self.path, self.skew, self.recorder = array, path, skew, recorder
        self.cycles, self.folds = 0, 0
        self.moved = np.zeros(4, np.int64)

    def multiply(self, a: Array, b: Array) -> Array:
        """Words a [m, k] @ words b [k, n]: sums [m, n(, limbs)]."""
        if self.array.dataflow == "output_stationary":
            return self._output_stationary(a, b)
        if self.array.dataflow == "weight_stationary":
            return self._stationary(a, b)
        return self._stationary(b.T, a.T).swapaxes(0, 1)  # a @ b = (b.T @ a.T).T: a is held, b streams

    def counts(self) -> dict[str, int]:
        """Folds, and words read and written, under the names of `hwsim.cycles.gemm_cycles`."""
        moving, still, written, read_back = (int(words) for words in self.moved)
        a, b = (still, moving) if self.array.dataflow == "input_stationary" else (moving, still)
        return {
            "folds": self.folds,
            "a_read_words": a,
            "b_read_words": b,
            "output_write_words": written - read_back,  # every partial sum is read back once, a result never
            "partial_write_words": read_back,
            "partial_read_words": read_back,
        }

    def _stationary(self, moving: Array, still: Array) -> Array:
        rows, columns, lanes = self.array.rows, self.array.columns, self.array.lanes
        (steps, k), n = moving.shape, still.shape[1]
        tall, wide = rows * lanes, -(-n // columns) * columns
        k_folds = -(-k // tall)
        moving = _padded(moving, steps, k_folds * tall).reshape(steps, k_folds, rows, lanes)
        still = _padded(still, k_folds * tall, wide).reshape(k_folds, rows, lanes, wide)
        fed = [np.ascontiguousarray(moving[:, fold]) for fold in range(k_folds)]
        out = self.path.sums(steps, wide)
        for left in range(0, n, columns):
            buffer = self.path.sums(steps, columns)
            for fold in range(k_folds):
                where = f"k {fold * tall}..{min(k, (fold + 1) * tall) - 1}, columns from {left}"
                self._run(
                    self.kernels.step_stationary,
                    StationaryFold.empty(
                        self.path,
                        still=np.ascontiguousarray(still[fold, :, :, left : left + columns]),
                        moving=fed[fold],
                        depths=self.skew.rows,
                        moved=self.moved,
                        terms=np.clip(k - fold * tall - np.arange(rows) * lanes, 0, lanes),
                        active=min(columns, n - left),
                        first=fold == 0,
                        buffer=buffer,
                    ),
                    where,
                )
            out[:, left : left + columns] = buffer
        return out[:, :n]

    def _output_stationary(self, a: Array, b: Array) -> Array:
        rows, columns, lanes = self.array.rows, self.array.columns, self.array.lanes
        (m, k), n = a.shape, b.shape[1]
        tall, wide, steps = -(-m // rows) * rows, -(-n // columns) * columns, -(-k // lanes)
        a = _padded(a, tall, steps * lanes).reshape(tall, steps, lanes).swapaxes(0, 1)
        b = _padded(b, steps * lanes, wide).reshape(steps, lanes, wide).swapaxes(1, 2)
        out = self.path.sums(tall, wide)
        for top in range(0, m, rows):
            for left in range(0, n, columns):
                tile = self.path.sums(rows, columns)
                self._run(
                    self.kernels.step_output,
                    OutputFold.empty(
                        self.path,
                        a=np.ascontiguousarray(a[:, top : top + rows]),
                        b=np.ascontiguousarray(b[:, left : left + columns]),
                        a_depths=self.skew.rows,
                        b_depths=self.skew.columns,
                        moved=self.moved,
                        drain=self.array.drain,
                        terms=np.minimum(lanes, k - np.arange(steps) * lanes),
                        active_rows=min(rows, m - top),
                        active_columns=min(columns, n - left),
                        out=tile,
                    ),
                    f"rows from {top}, columns from {left}",
                )
                out[top : top + rows, left : left + columns] = tile
        return out[:m, :n]

    def _run(self, step: Callable[[Any, int], int], fold: StationaryFold | OutputFold, where: str) -> None:
        """Clock one fold until it is finished: in one go or, recording, one cycle at a time."""
        steps = len(fold.moving if isinstance(fold, StationaryFold) else fold.a)
        limit = 4 * (self.array.rows + self.array.columns + steps) + 16  # a watchdog: no array takes as long
        status = RUNNING
        while status == RUNNING and fold.control[CYCLE] < limit:
            state = int(fold.control[STATE])
            status = step(fold, 1 if self.recorder else limit)
            if self.recorder:
                self.recorder.record(fold, state, self.folds)
        if status == OVERFLOWED:
            raise ValueError(
                f"simulate: a sum left the register of {self.path.accumulator!r} ({where}); give it more bits, or "
                "overflow='wrap' or 'saturate'"
            )
        if status == RUNNING:
            raise RuntimeError(f"simulate: no last result in {limit} cycles ({where}) with {self.skew}")
        self.cycles += int(fold.control[CYCLE])
        self.folds += 1


def _padded(words: Array, rows: int, columns: int) -> Array:
    """words with zeros below and to the right, up to rows x columns."""
    return np.pad(words, ((0, rows - words.shape[0]), (0, columns - words.shape[1])))
