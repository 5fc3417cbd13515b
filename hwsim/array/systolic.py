"""SystolicArray: a grid of PEs, what stays in it, and therefore its cycles and the order it adds in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import formats as nf
from hwsim.array.gemm import Gemm, positive_integer
from hwsim.cycles import Dataflow, check_dataflow, gemm_cycles


class ProcessingElement(Protocol):
    """What an array asks of a PE: the formats of its operands, its accumulator, and its MACs a cycle (dot lanes)."""

    @property
    def a(self) -> Any: ...
    @property
    def b(self) -> Any: ...
    @property
    def accumulator(self) -> Any: ...
    @property
    def macs_per_cycle(self) -> int: ...


@dataclass(frozen=True, slots=True)
class SystolicArray:
    """rows x columns copies of `pe`, each connected to its right and its lower neighbour.

    dataflow: "weight_stationary": B is shifted in from the top and stays, K down the rows and N along the columns; A
        streams in from the left, sums move down and leave at the bottom.
        "input_stationary": the same with A staying (K down, M along) and B streaming.
        "output_stationary": A streams in from the left, B from the top, sums stay (M down, N along).
    drain: output_stationary sums are shifted out through the rows once all are complete (True), or leave as each is
        complete (False; SCALE-Sim's count). No effect on the other dataflows.

    Weights load serially, one row a cycle; folds do not overlap; a partial fold takes as long as a full one.
    """

    pe: ProcessingElement
    rows: int
    columns: int
    dataflow: Dataflow = "weight_stationary"
    drain: bool = True

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            object.__setattr__(self, name, positive_integer("SystolicArray", name, getattr(self, name)))
        try:
            check_dataflow(self.dataflow)
        except ValueError as error:
            raise ValueError(f"SystolicArray: {error}") from None
        if not isinstance(self.drain, bool):
            raise TypeError(f"SystolicArray: drain must be True or False, got {self.drain!r}")
        missing = [name for name in ("a", "b", "accumulator", "macs_per_cycle") if not hasattr(self.pe, name)]
        if missing:
            raise TypeError(
                f"SystolicArray: pe must have {', '.join(missing)}, got {self.pe!r}; pass a PE such as "
                "MacPE(a='int8', b='int8')"
            )
        positive_integer("SystolicArray: pe", "macs_per_cycle", self.pe.macs_per_cycle)

    @property
    def lanes(self) -> int:
        """Consecutive k multiplied and added by one PE in one cycle."""
        return self.pe.macs_per_cycle

    @property
    def peak_macs_per_cycle(self) -> int:
        """MACs a cycle with every PE at work."""
        return self.rows * self.columns * self.lanes

    def counts(self, gemm: Gemm) -> dict[str, int | float]:
        """Every column of `hwsim.cycles.gemm_cycles` for one Gemm: cycles and their parts, folds, SRAM words."""
        columns = gemm_cycles(
            gemm.m, gemm.k, gemm.n, gemm.batch, self.rows, self.columns, self.lanes, self.dataflow, self.drain
        )
        return {name: column.item() for name, column in columns.items()}

    def cycles(self, gemm: Gemm) -> int:
        """Cycles from the first word in to the last result out, by the closed form."""
        return int(self.counts(gemm)["cycles"])

    def order(self, gemm: Gemm) -> nf.Order:
        """The order in which the K products of one result are added, as `formats.matmul` takes it.

        output_stationary adds them one after another in the PE. The other dataflows add one fold's rows * lanes terms
        down the column, from zero, and then the folds' results in the accumulator buffer, both in ascending k.
        """
        del gemm  # the same order for every shape: Chunked with K <= size is one chain
        if self.dataflow == "output_stationary":
            return nf.Sequential()
        return nf.Chunked(self.rows * self.lanes)
