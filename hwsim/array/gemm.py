"""Gemm: the shape of one matrix product, and how many of them."""

from __future__ import annotations

import operator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gemm:
    """`batch` independent products of an m x k matrix and a k x n matrix: k is summed over.

    m: rows of the result (tokens).  k: the reduction.  n: columns of the result (output channels).
    Raises TypeError for what is no integer, ValueError below 1.
    """

    m: int
    k: int
    n: int
    batch: int = 1

    def __post_init__(self) -> None:
        for name in ("m", "k", "n", "batch"):
            object.__setattr__(self, name, positive_integer("Gemm", name, getattr(self, name)))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products."""
        return self.m * self.k * self.n * self.batch


def positive_integer(owner: str, name: str, value: object) -> int:
    """`value` as a Python int; the message of the error names `owner` and `name`."""
    if isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be an integer, got the bool {value}")
    try:
        integer = operator.index(value)  # type: ignore[arg-type]  # the TypeError below is the check
    except TypeError:
        raise TypeError(f"{owner}: {name} must be an integer, got {value!r} of type {type(value).__name__}") from None
    if integer < 1:
        raise ValueError(f"{owner}: {name} must be at least 1, got {integer}")
    return integer
