"""The smallest input on which two accumulators differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic.accumulators import Accumulator, Integer, SplitK
from formats.arithmetic.matmul import matmul
from formats.arithmetic.multipliers.base import Multiplier
from formats.arithmetic.named import named_accumulator
from formats.arithmetic.orders import Order, Tree, leaves_of
from formats.arithmetic.probe.inputs import DISTRIBUTIONS, draw
from formats.catalogue import get
from formats.scalar import Scalar


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """One dot product that two accumulators make differently.

    a, b: [K] operands. first, second: what each makes of them.
    """

    a: NDArray[Any]
    b: NDArray[Any]
    first: float
    second: float

    def __str__(self) -> str:
        met = [
            f"{x:.9g} * {y:.9g} at k = {k}"
            for k, (x, y) in enumerate(zip(self.a.tolist(), self.b.tolist(), strict=True))
            if x and y
        ]
        terms = ", ".join(met) or "zeros"
        return f"K = {self.a.size}: {terms} sum to {self.first!r} by the first and {self.second!r} by the second"


def distinguish(
    p: Accumulator | str,
    q: Accumulator | str,
    *,
    a_format: str | Scalar,
    b_format: str | Scalar,
    p_order: Order | None = None,
    q_order: Order | None = None,
    multiplier: Multiplier | str = "exact",
    max_terms: int = 512,
    seed: int = 0,
) -> Difference | None:
    """An input of as few terms, and terms as plain, as could be found on which p and q give other bits; else None.

    a_format, b_format: scalar formats of the operands. max_terms: the longest sum tried; lengths grow by steps up to
    it. The search draws from nine distributions (formats.arithmetic.probe.inputs), then drops terms and bits that the
    difference does not need. None means that none was found, not that there is none.
    """
    fa, fb = (probed_format(fmt, "distinguish") for fmt in (a_format, b_format))
    if not isinstance(max_terms, int) or max_terms < 1:
        raise ValueError(f"distinguish: max_terms must be a whole number from 1, got {max_terms!r}")
    first, second = named_accumulator(p), named_accumulator(q)
    trees = {len(leaves_of(order.shape)) for order in (p_order, q_order) if isinstance(order, Tree)}
    if len(trees) > 1 or max(trees, default=1) > max_terms:
        raise ValueError(
            f"distinguish: a Tree is an order of its own number of terms, got trees of {sorted(trees)} and max_terms = "
            f"{max_terms}; pass trees of one length, and max_terms as long"
        )
    for how in (first, second):
        if isinstance(how, Integer) and how.overflow == "error":
            raise ValueError(
                f"distinguish: {how!r} has no value where it overflows; compare overflow='wrap' or 'saturate', or "
                "call matmul on the other's inputs"
            )

    def both(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        given: Any = {"a_format": fa, "b_format": fb, "multiplier": multiplier}
        return (
            np.asarray(matmul(a, b, accumulator=first, order=p_order, **given)),
            np.asarray(matmul(a, b, accumulator=second, order=q_order, **given)),
        )

    rng = np.random.default_rng(seed)
    for terms in trees or _lengths(max_terms, first, second):
        for name in DISTRIBUTIONS:
            for _ in range(2):
                a, b = draw(name, fa, fb, (48, terms, 48), rng)
                x, y = both(a, b)
                found = np.argwhere(unequal(x, y))
                if found.size:
                    i, j = (int(v) for v in found[0])
                    return _plainest(a[i], b[:, j], both, not trees)
    return None


def _lengths(longest: int, first: Accumulator, second: Accumulator) -> list[int]:
    """Lengths to try, ascending; a split or a promotion shows only beyond its own."""
    sizes = {
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        9,
        12,
        16,
        17,
        24,
        32,
        33,
        48,
        64,
        65,
        96,
        128,
        129,
        192,
        256,
        257,
        512,
        1024,
        2048,
        4096,
    }
    for how in (first, second):
        if isinstance(how, SplitK):
            sizes |= {how.iteration * how.parts, how.iteration * how.parts + 1}
    return sorted(size for size in sizes if size <= longest)


def probed_format(fmt: str | Scalar, door: str) -> Scalar:
    """The scalar format probes are drawn from: one of values of both signs, and zero."""
    found = get(fmt)
    if not isinstance(found, Scalar):
        raise ValueError(f"{door}: {found.name} has scales; pass a scalar format, its element")
    if not found.min_finite < 0 < found.max_finite:
        raise ValueError(f"{door}: {found.name} holds no negative values, which probes need; pass a signed format")
    return found


def unequal(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two results differ in value or in the sign of zero; NaN equals NaN."""
    differs = (x != y) & ~((x != x) & (y != y))
    if x.dtype.kind == "f" and y.dtype.kind == "f":
        differs |= (x == y) & (np.signbit(x) != np.signbit(y))
    return np.asarray(differs)


def _plainest(a: NDArray[Any], b: NDArray[Any], both: Any, shortens: bool) -> Difference:
    """Terms left out, or made zero where no sum `shortens`, then made powers of two, while the two still differ."""

    def differs(x: NDArray[Any], y: NDArray[Any]) -> bool:
        first, second = both(x[None, :], y[:, None])
        return bool(unequal(first, second)[0, 0])

    changed = True
    while changed:
        changed = False
        for k in range(a.size - 1, -1, -1):  # take a term away, or make it zero where places matter
            shorter = np.delete(a, k), np.delete(b, k)
            if shortens and a.size > 1 and differs(*shorter):
                a, b, changed = *shorter, True
                continue
            zeroed = a.copy(), b.copy()
            zeroed[0][k] = zeroed[1][k] = 0
            if (a[k] != 0 or b[k] != 0) and differs(*zeroed):
                a, b, changed = *zeroed, True
        for k in range(a.size):
            for which in (0, 1):
                for plain in _plainer((a, b)[which][k]):
                    trial = a.copy(), b.copy()
                    trial[which][k] = plain
                    if differs(*trial):
                        a, b, changed = *trial, True
                        break
    first, second = both(a[None, :], b[:, None])
    return Difference(a, b, first[0, 0].item(), second[0, 0].item())


def _plainer(x: Any) -> list[float]:
    """1, then the power of two below, with the sign of x; none where x is one of them or zero."""
    if x == 0 or not np.isfinite(x):
        return []
    power = float(2.0 ** (np.frexp(x)[1] - 1))
    options = [float(np.copysign(v, x)) for v in (1.0, power)]
    return options[: options.index(float(x))] if float(x) in options else options
