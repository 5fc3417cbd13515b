"""Accumulators made of others: sums of runs of k, added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from formats.arithmetic.matrix_units import Steps
from formats.arithmetic.one_by_one import Exact, FloatChain
from formats.arithmetic.register_format import accumulator_format
from formats.exact import whole
from formats.minifloat import Minifloat

FLOAT32 = FloatChain("float32")


@dataclass(frozen=True, slots=True)
class Promotion:
    """`inner` sums `every` consecutive k from zero; each such sum is then added to `outer`, which starts from c.

    Where K ends inside a run, the last one is shorter. The sum of an Exact is added with all its bits: one rounding.
    """

    inner: Steps | FloatChain | Exact
    every: int
    outer: FloatChain = FLOAT32

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", whole("Promotion", "every", self.every))
        if not isinstance(self.inner, Steps | FloatChain | Exact) or not isinstance(self.outer, FloatChain):
            raise TypeError(
                f"Promotion: inner must be Exact, FloatChain, Aligned, AlignedGroups, AlignedLate or PairwiseStep and "
                f"outer a FloatChain, got {self.inner!r} and {self.outer!r}"
            )
        longest = self.inner.max_terms if isinstance(self.inner, Exact) else None
        if self.every < 1 or (longest is not None and self.every > longest):
            raise ValueError(
                "Promotion: every must be at least 1"
                + (f" and at most max_terms = {longest}" if longest else "")
                + f", got {self.every}"
            )


@dataclass(frozen=True, slots=True)
class SplitK:
    """K cut into `parts` runs of whole iterations, each summed by `inner` from zero; the sums added in ascending order.

    With n = ceil(K / iteration) iterations, a run takes ceil(n / parts) of them; runs left without any are not added.
    Every run's sum is rounded to `partials` (None: outer's format), to nearest even; the first is `outer`'s start, each
    later one is one addition; c is added last.
    reduction: "ascending", or "pairwise": neighbours are added first, ((0 + 1) + (2 + 3)), the last of an odd number
        passing on.
    """

    inner: Steps | FloatChain | Promotion
    parts: int
    iteration: int = 64
    outer: FloatChain = FLOAT32
    partials: Minifloat | str | None = None
    reduction: Literal["ascending", "pairwise"] = "ascending"

    def __post_init__(self) -> None:
        if self.reduction not in ("ascending", "pairwise"):
            raise ValueError(f"SplitK: reduction must be ascending or pairwise, got {self.reduction!r}")
        for field in ("parts", "iteration"):
            number = whole("SplitK", field, getattr(self, field))
            object.__setattr__(self, field, number)
            if number < 1:
                raise ValueError(f"SplitK: {field} must be at least 1, got {number}")
        if not isinstance(self.inner, Steps | FloatChain | Promotion) or not isinstance(self.outer, FloatChain):
            raise TypeError(
                f"SplitK: inner must be FloatChain, Promotion, Aligned, AlignedGroups, AlignedLate or PairwiseStep and "
                f"outer a FloatChain, got {self.inner!r} and {self.outer!r}"
            )
        if self.partials is not None:
            object.__setattr__(self, "partials", accumulator_format("SplitK: partials", self.partials))

    @property
    def partial_format(self) -> Minifloat:
        """What a run's sum is rounded to before it is added."""
        return self.outer.format if self.partials is None else accumulator_format("SplitK: partials", self.partials)

    def run_length(self, terms: int) -> int:
        """Consecutive k of one part of a sum of `terms`."""
        iterations = -(-terms // self.iteration)
        return max(-(-iterations // self.parts), 1) * self.iteration
