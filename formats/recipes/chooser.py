"""Which candidate of a Choice the blocks of a group take, by the errors of all blocks that choose together.

Errors are those of tries.py: one a candidate and a block.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from formats.block import Scaled
from formats.blocks.blocking import Cut, field_cut, owners
from formats.called import called
from formats.elements import Choice, Pair, candidates_of, is_scalar
from formats.fixed_point import FixedPoint
from formats.plans.scalar import code_dtype
from formats.rules.recipe import Blocks, Codes, Places, Whole
from formats.scalar import Scalar

GROUP = 1 << 20  # elements of a group of blocks that is held at once

Array = NDArray[Any]
Tried = Scalar | Pair


def parts_of(fmt: Scaled) -> tuple[Tried, ...]:
    """What a block's elements may be: the candidates of a Choice, a Pair, or the one scalar."""
    if isinstance(fmt.element, Pair):
        return (fmt.element,)
    if not (isinstance(fmt.element, Choice) or is_scalar(fmt.element)):
        raise ValueError(f"encode: rule {fmt.rule!r} takes scalars, a Choice or a Pair, got {called(fmt)}")
    return candidates_of(fmt.element)


def selector_plane(fmt: Scaled, cut: Cut) -> Places:
    """The plane "selector" of a Choice, one a group of blocks; nothing for other elements."""
    if not isinstance(fmt.element, Choice):
        return {}
    return {"selector": (FixedPoint(bits=fmt.element.selector_bits, signed=False), _groups(fmt, cut).grid)}


def _groups(fmt: Scaled, cut: Cut) -> Cut:
    """How the array is cut into groups of blocks that choose together."""
    assert isinstance(fmt.element, Choice)
    return field_cut(cut, None if fmt.element.block in (None, fmt.block) else fmt.element.block)


class Chooser:
    """The choice of an element for each group of blocks: by the sum (or the largest) of its blocks' smallest errors.

    Groups that fit into a slab are chosen with their blocks; for larger ones errors are gathered over the array first.
    """

    def __init__(self, fmt: Scaled, cut: Cut) -> None:
        self._fmt, self._cut = fmt, cut
        self.criterion = fmt.element.criterion if isinstance(fmt.element, Choice) else "mse"
        self._outer = _groups(fmt, cut) if isinstance(fmt.element, Choice) else cut
        self.gathers = self._outer is not cut and self._outer.size > GROUP
        groups = prod(self._outer.grid) if self.gathers else 0
        self._total = np.zeros((len(parts_of(fmt)), groups))

    @property
    def together(self) -> tuple[int, ...]:
        """Extents of what is chosen together within a slab."""
        return self._cut.extent if self.gathers or self._outer is self._cut else self._outer.extent

    def gather(self, some: Blocks, errors: Array) -> None:
        """Add the errors [elements, blocks] of some blocks."""
        owner = owners(self._cut, self._outer, some.first, some.x.shape[0])
        _add(self._total, errors, owner, self.criterion)

    def picked(self, some: Blocks) -> NDArray[np.int64]:
        """Number of the element of each of some blocks, once all errors are gathered."""
        owner = owners(self._cut, self._outer, some.first, some.x.shape[0])
        return np.asarray(self._total.argmin(axis=0)[owner])

    def pick(self, some: Blocks, errors: Array) -> NDArray[np.int64]:
        """The same from the errors of these blocks, which are whole groups."""
        if self._outer is self._cut:
            return np.asarray(errors.argmin(axis=0), np.int64)
        outer = _groups(self._fmt, some.cut)
        owner = owners(some.cut, outer, 0, some.x.shape[0])
        total = np.zeros((errors.shape[0], prod(outer.grid)))
        _add(total, errors, owner, self.criterion)
        return np.asarray(total.argmin(axis=0)[owner], np.int64)

    def selector(self, some: Blocks, pick: NDArray[np.int64]) -> Codes:
        """Codes of the plane "selector" for some blocks, which are whole groups."""
        if not isinstance(self._fmt.element, Choice):
            return {}
        chosen = pick
        if self._outer is not self._cut:
            outer = _groups(self._fmt, some.cut)
            chosen = np.zeros(prod(outer.grid), np.int64)
            chosen[owners(some.cut, outer, 0, pick.size)] = pick
        return {"selector": chosen.astype(code_dtype(self._fmt.element.selector_bits))}

    def gathered(self) -> Codes:
        """The same of all groups."""
        assert isinstance(self._fmt.element, Choice)
        return {"selector": self._total.argmin(axis=0).astype(code_dtype(self._fmt.element.selector_bits))}


def _add(total: Array, errors: Array, owner: NDArray[np.int64], criterion: str) -> None:
    for row, each in zip(total, errors, strict=True):
        (np.add if criterion == "mse" else np.maximum).at(row, owner, each)


def choose(
    whole: Whole, chooser: Chooser, dtype: DTypeLike, best: Callable[[Blocks], tuple[Array, Array]]
) -> tuple[NDArray[np.uint8], Array, Codes]:
    """Before anything is written, of every block of an array: the number of its element, the scale, and the selector.

    best: of some blocks, the smallest errors and the scales that make them, [elements, blocks] each.  dtype: the
    scales are kept in it: of one element where groups fit into a slab, else of all until every error is known.
    """
    blocks, candidates = prod(whole.cut.grid), len(parts_of(whole.format)) if chooser.gathers else 1
    pick, kept = np.empty(blocks, np.uint8), np.empty((candidates, blocks), dtype)
    scale, selected = kept[0], []
    for some in whole.parts():
        errors, scales = best(some)
        if chooser.gathers:
            chooser.gather(some, errors)
            kept[:, some.numbers] = scales
        else:
            chosen = chooser.pick(some, errors)
            selected.append(chooser.selector(some, chosen))
            pick[some.numbers], scale[some.numbers] = chosen, scales[chosen, np.arange(chosen.size)]
    if not chooser.gathers:
        codes = [each["selector"].reshape(-1) for each in selected if each]
        return pick, scale, {"selector": np.concatenate(codes)} if codes else {}
    for some in whole.parts():
        chosen = chooser.picked(some)
        pick[some.numbers] = chosen
        scale[some.numbers] = kept[:, some.numbers][chosen, np.arange(chosen.size)]
    return pick, scale, chooser.gathered()
