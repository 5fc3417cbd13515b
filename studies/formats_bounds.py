"""What no format can beat, and what the best one of its kind reaches: the yardsticks of the formats study.

For a memoryless source and squared error: Shannon's bound, the uniform quantiser with an ideal entropy coder, and the
Lloyd-Max quantiser, the best one number a code without an entropy coder. All errors are relative to the variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DB_PER_BIT = 20 * math.log10(2)
# A uniform quantiser with an entropy coder comes this near Shannon's lower bound at high rate: 2 pi e / 12.
# Gish and Pierce, "Asymptotically efficient quantizing", IEEE Trans. Inf. Theory 14 (1968).
ENTROPY_CODED_DB = 10 * math.log10(2 * math.pi * math.e / 12)


@dataclass(frozen=True, kw_only=True, slots=True)
class Density:
    """A symmetric density with mean zero.

    pdf(x), tail(x) = P(X > x), tail_mean(x) = E[X; X > x]: for x >= 0, elementwise.
    spread(u): quantile function of the density proportional to pdf**(1/3), for 1/2 < u < 1: where the levels of a fine
        optimal quantiser lie (Panter and Dite, 1951).
    entropy_nats: differential entropy.  bound_exact: whether Shannon's lower bound is the rate-distortion function.
    draw(rng, shape): samples.
    """

    name: str
    label: str
    variance: float
    entropy_nats: float
    bound_exact: bool
    pdf: Callable[[Array], Array]
    tail: Callable[[Array], Array]
    tail_mean: Callable[[Array], Array]
    spread: Callable[[Array], Array]
    draw: Callable[[np.random.Generator, tuple[int, int]], Array]

    def bound(self, bits: float) -> float:
        """Shannon's lower bound on the squared error relative to the variance, at `bits` per element.

        D >= exp(2 h) / (2 pi e) * 2**(-2 R), Shannon 1959; for the normal that is sigma**2 * 2**(-2 R), and is reached.
        """
        entropy_power = math.exp(2 * self.entropy_nats) / (2 * math.pi * math.e)
        return float(entropy_power / self.variance * 4.0**-bits)

    def bound_db(self, bits: float) -> float:
        """The bound as a signal-to-noise ratio in dB, the highest possible one."""
        return -10 * math.log10(self.bound(bits))


def _normal_pdf(x: Array) -> Array:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _normal_tail(x: Array) -> Array:
    return np.array([math.erfc(value / math.sqrt(2)) / 2 for value in x])


def _normal_spread(u: Array) -> Array:
    # The third root of a normal density is one of variance 3.
    return np.array([NormalDist(sigma=math.sqrt(3)).inv_cdf(value) for value in u])


NORMAL = Density(
    name="normal",
    label="normal",
    variance=1.0,
    entropy_nats=math.log(2 * math.pi * math.e) / 2,
    bound_exact=True,
    pdf=_normal_pdf,
    tail=_normal_tail,
    tail_mean=_normal_pdf,  # x * pdf(x) is its negative derivative
    spread=_normal_spread,
    draw=lambda rng, shape: rng.standard_normal(shape),
)


def _student_pdf(x: Array) -> Array:
    return 8 / (3 * math.pi * math.sqrt(5)) * (1 + x * x / 5) ** -3


def _student_tail(x: Array) -> Array:
    # With x = sqrt(5) cot(angle) the tail is 8 / (3 pi) times the integral of sin**4 from 0 to the angle. Quadrature of
    # that, not its closed form: the closed form is a difference that cancels far out.
    angle = np.arctan2(math.sqrt(5), x)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    return 8 / (3 * math.pi) * angle / 2 * (np.sin(angle[:, None] * (1 + nodes) / 2) ** 4 @ weights)


def _student_tail_mean(x: Array) -> Array:
    return (5 + x * x) / 4 * _student_pdf(x)


def _student_draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.standard_t(5, shape)


STUDENT_T5 = Density(
    name="student_t5",
    label="Student-t, 5 degrees of freedom",
    variance=5 / 3,
    # (nu + 1) / 2 * (digamma((nu + 1) / 2) - digamma(nu / 2)) + log(sqrt(nu) * B(nu / 2, 1 / 2)), for nu = 5, where
    # digamma(3) - digamma(5/2) = 2 log 2 - 7/6 and B(5/2, 1/2) = 3 pi / 8.
    entropy_nats=6 * math.log(2) - 7 / 2 + math.log(math.sqrt(5) * 3 * math.pi / 8),
    bound_exact=False,
    pdf=_student_pdf,
    tail=_student_tail,
    tail_mean=_student_tail_mean,
    spread=lambda u: math.sqrt(5) * np.tan(math.pi * (u - 0.5)),  # the third root is a Cauchy density's
    draw=_student_draw,
)

DENSITIES = (NORMAL, STUDENT_T5)


def lloyd_max(density: Density, bits: int) -> tuple[float, Array]:
    """Squared error relative to the variance, and the positive levels, of the optimal quantiser of 2**bits levels.

    Each level is the mean of its cell, each cell ends half-way between levels; solved by Newton's method. bits: 1..10.
    For a log-concave density, such as the normal, there is only one (Fleischer, 1964); for others it is one of them.
    Source: Max, "Quantizing for minimum distortion", IRE Trans. Inf. Theory 6 (1960).
    """
    if not 1 <= bits <= 10:
        raise ValueError(f"lloyd_max: bits must be 1..10, got {bits}")
    count = 2 ** (bits - 1)
    levels = density.spread(0.5 + (np.arange(count) + 0.5) / (2 * count))
    for _ in range(50):
        mass, means, edges = _cells(density, levels)
        # How a cell's mean moves with its lower and its upper edge; each edge moves half as far as the level beside it.
        lower = density.pdf(edges[:-1]) * (means - edges[:-1]) / mass / 2
        upper = np.r_[density.pdf(edges[1:-1]) * (edges[1:-1] - means[:-1]) / mass[:-1] / 2, 0.0]
        lower[0] = 0.0  # the edge at zero stays
        slope = np.eye(count) - np.diag(lower + upper) - np.diag(upper[:-1], 1) - np.diag(lower[1:], -1)
        step = np.linalg.solve(slope, means - levels)
        while np.any(np.diff(np.r_[0.0, levels + step]) <= 0):
            step /= 2
        levels = levels + step
        if np.all(np.abs(step) <= 1e-12 * levels):
            break
    mass, means, _ = _cells(density, levels)
    error = density.variance + 2 * float(np.sum(mass * (levels * levels - 2 * levels * means)))
    return error / density.variance, levels


def _cells(density: Density, levels: Array) -> tuple[Array, Array, Array]:
    """Probability and mean of each positive level's cell, and the cells' edges."""
    edges = np.r_[0.0, (levels[1:] + levels[:-1]) / 2, np.inf]
    tail = np.r_[density.tail(edges[:-1]), 0.0]
    moment = np.r_[density.tail_mean(edges[:-1]), 0.0]
    mass = tail[:-1] - tail[1:]
    return mass, (moment[:-1] - moment[1:]) / mass, edges
