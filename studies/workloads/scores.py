"""What a changed model lost: paired differences with their standard error, and agreement of embeddings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64] | NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """Means over samples of a changed run and of the reference on the same samples.

    standard_error is that of `difference`, with samples of one group taken as dependent.
    """

    mean: float
    reference: float
    difference: float
    standard_error: float
    samples: int
    groups: int


def paired(losses: Floats, reference: Floats, groups: NDArray[np.int64]) -> Paired:
    """Mean of losses - reference, all [samples], with a cluster-robust standard error.

    groups: int [samples], e.g. the file of each window. The variance of the mean is the sum over groups of the squared
    sum of deviations, over samples^2, times G/(G-1): with one sample a group this is the usual s^2/n.
    """
    if not losses.shape == reference.shape == groups.shape or losses.ndim != 1:
        raise ValueError(
            f"paired: three vectors of one length asked for, got {losses.shape}, {reference.shape}, {groups.shape};"
            " pass two runs over one corpus and its file_index"
        )
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    if count < 2:
        raise ValueError(f"paired: {count} group(s) give no standard error; pass samples of at least 2 groups")
    difference = losses.astype(np.float64) - reference.astype(np.float64)
    mean = float(difference.mean())
    sums = np.bincount(index, weights=difference - mean)
    variance = float(np.sum(sums**2)) / len(difference) ** 2 * count / (count - 1)
    return Paired(
        mean=float(losses.mean()),
        reference=float(reference.mean()),
        difference=mean,
        standard_error=variance**0.5,
        samples=len(difference),
        groups=count,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Of two sets of unit vectors for the same texts: mean cosine and its standard error over texts, first percentile
    of the cosine, and mean share of each text's 10 nearest other texts that both sets name."""

    cosine_mean: float
    cosine_standard_error: float
    cosine_p1: float
    top10_overlap: float
    top10_standard_error: float
    samples: int


def agreement(vectors: Floats, reference: Floats, neighbours: int = 10) -> Agreement:
    """Compare vectors with reference, both [texts, width], rows finite and non-zero.

    Cosines are taken of normalised rows, so a change of length alone costs nothing.
    """
    if vectors.shape != reference.shape or vectors.ndim != 2 or len(vectors) <= neighbours + 1:
        raise ValueError(
            f"agreement: two arrays [texts, width] of one shape with more than {neighbours + 1} texts asked for, got"
            f" {vectors.shape} and {reference.shape}; pass two runs over the same texts"
        )
    first, second = _unit(vectors, "vectors"), _unit(reference, "reference")
    cosine = np.sum(first * second, axis=1)
    shared = np.array(
        [
            len(np.intersect1d(a, b))
            for a, b in zip(_nearest(first, neighbours), _nearest(second, neighbours), strict=True)
        ]
    )
    overlap = shared / neighbours
    texts = len(cosine)
    return Agreement(
        cosine_mean=float(cosine.mean()),
        cosine_standard_error=float(cosine.std(ddof=1) / texts**0.5),
        cosine_p1=float(np.percentile(cosine, 1)),
        top10_overlap=float(overlap.mean()),
        top10_standard_error=float(overlap.std(ddof=1) / texts**0.5),
        samples=texts,
    )


def _unit(vectors: Floats, name: str) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(bad):
        raise ValueError(
            f"agreement: row {bad[0]} of {name} has length {lengths[bad[0], 0]}; embeddings must be finite and non-zero"
        )
    unit: NDArray[np.float64] = vectors.astype(np.float64) / lengths
    return unit


def _nearest(unit: NDArray[np.float64], neighbours: int) -> NDArray[np.int64]:
    """Indices [texts, neighbours] of the nearest other texts; equal cosines in index order."""
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :neighbours]
