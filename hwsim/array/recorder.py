"""Trace: every register of a simulated array after every clock edge, and the recorder that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.array.datapath import Datapath
from hwsim.array.registers import EMPTY, OutputFold, StationaryFold
from hwsim.array.systolic import SystolicArray

STATES = ("load", "stream", "drain")  # numbered as in registers.py


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Every PE's registers after every clock edge; NaN where a register holds nothing.

    state: [cycle], what the machine did: "load" (the operand that stays shifts in), "stream" (operands meet), or
        "drain" (output_stationary sums shift out; the operand registers hold).
    fold: [cycle], number of the fold.  a, b: float64 [cycle, row, column, lane], the operand registers.
    sums: float64 [cycle, row, column], the sum registers, rounded where they are wider than float64.
    """

    state: NDArray[np.str_]
    fold: NDArray[np.int64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    sums: NDArray[np.float64]


class Recorder:
    """Copies a fold's registers after every cycle, and reads the copies as values."""

    def __init__(self, array: SystolicArray, path: Datapath) -> None:
        self.array, self.path = array, path
        self.cycles: list[tuple[NDArray[Any], ...]] = []

    def record(self, fold: StationaryFold | OutputFold, state: int, number: int) -> None:
        """Copy the registers after a cycle the fold of this number spent in `state`. Wires are no registers."""
        if isinstance(fold, StationaryFold):
            still, moving = (fold.held, fold.held_tags), (fold.wires[:, :, 1:], fold.tags[:, 1:])
            sums = (fold.sums[1:], fold.sum_tags[1:])
        else:
            still, moving = (fold.b_wires[1:], fold.b_tags[1:]), (fold.a_wires[:, :, 1:], fold.a_tags[:, 1:])
            sums = (fold.sums, fold.sum_tags)
        registers = (*still, *moving, *sums, np.array(state), np.array(number))
        self.cycles.append(tuple(register.copy() for register in registers))

    def trace(self) -> Trace:
        """All cycles so far as values."""
        still, still_tags, moving, tags, sums, sum_tags, state, fold = map(np.stack, zip(*self.cycles, strict=True))
        still_is_a = self.array.dataflow == "input_stationary"
        a, a_tags, b, b_tags = (still, still_tags, moving, tags) if still_is_a else (moving, tags, still, still_tags)
        return Trace(
            state=np.array(STATES)[state],
            fold=fold,
            a=_present(self.path.word_values(a, "a"), a_tags),
            b=_present(self.path.word_values(b, "b"), b_tags),
            sums=np.where(sum_tags == EMPTY, np.nan, self.path.sum_values(sums)),
        )


def _present(values: NDArray[np.float64], tags: NDArray[np.int64]) -> NDArray[np.float64]:
    """[cycle, row, lane, column] as [cycle, row, column, lane], NaN in lanes without a term."""
    values = values.swapaxes(2, 3)
    return np.where(np.arange(values.shape[3]) < tags[..., None], values, np.nan)
