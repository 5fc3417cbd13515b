"""Which accumulator made a matrix product: its tree, its widths, and then every record that could still be it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formats.arithmetic import records
from formats.arithmetic.accumulators import Accumulator, Aligned, Exact, FloatChain, Promotion, SplitK, result_format
from formats.arithmetic.matmul import matmul as emulate
from formats.arithmetic.multipliers.base import ExactProduct, Multiplier, RoundedProduct
from formats.arithmetic.orders import Order, Pairwise, Sequential, Tree
from formats.arithmetic.probe.distinguish import probed_format, unequal
from formats.arithmetic.probe.inputs import DISTRIBUTIONS, draw
from formats.arithmetic.probe.parameters import depth, diagonal, float_format, weights
from formats.arithmetic.probe.shapes import tree_of
from formats.arithmetic.probe.tree import Dots, Node, canonical, leaves, nested, spine, sum_tree
from formats.cast import DETERMINISTIC
from formats.catalogue import get
from formats.codec import quantize
from formats.scalar import Scalar

Matmul = Callable[[NDArray[Any], NDArray[Any]], Any]


@dataclass(frozen=True, slots=True)
class Record:
    """An accumulator, its order and its product: all that `matmul` needs besides the formats."""

    accumulator: Accumulator
    order: Order = Sequential()  # noqa: RUF009  # frozen
    multiplier: Multiplier = ExactProduct()  # noqa: RUF009
    output: str | None = None

    def matmul(self, a: Any, b: Any, a_format: Any, b_format: Any, **more: Any) -> Any:
        """The product, emulated."""
        return emulate(
            a, b, a_format=a_format, b_format=b_format, accumulator=self.accumulator, order=self.order,
            multiplier=self.multiplier, output=self.output, **more,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Counterexample:
    """One dot product [K] that no candidate explains: what was given, what came back, what the nearest record makes."""

    a: NDArray[Any]
    b: NDArray[Any]
    observed: float
    emulated: float


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """What `identify` found.

    record: the accumulator that agrees with every probe; where none does, the one that agrees with most.
    alternatives: other records that agree with every probe as well: no probe told them apart, and for these formats
        and lengths perhaps nothing can.
    agreed, probes: outputs that the record makes bit for bit, and outputs compared.
    counterexample: None where they all agree.
    """

    record: Record
    alternatives: tuple[Record, ...]
    a_format: str
    b_format: str
    terms: int
    agreed: int
    probes: int
    counterexample: Counterexample | None

    @property
    def found(self) -> bool:
        """Whether the record explains everything seen."""
        return self.counterexample is None

    def matmul(self, a: Any, b: Any, **more: Any) -> Any:
        """The product as the record makes it: an emulator of what was identified."""
        return self.record.matmul(a, b, self.a_format, self.b_format, **more)

    def to_json(self) -> str:
        """The record and how it was found, as JSON that `from_json` and other machines read."""
        import json

        data = {
            "a_format": self.a_format,
            "b_format": self.b_format,
            "terms": self.terms,
            "agreed": self.agreed,
            "probes": self.probes,
            "accumulator": records.to_data(self.record.accumulator),
            "order": records.to_data(self.record.order),
            "multiplier": records.to_data(self.record.multiplier),
            "output": self.record.output,
        }
        return json.dumps(data, indent=1) + "\n"

    def __str__(self) -> str:
        head = "agrees with" if self.found else "is the nearest, but agrees with only"
        lines = [
            f"{self.record.accumulator!r}",
            f"order {self.record.order!r}, product {self.record.multiplier!r}, "
            f"output {self.record.output or 'as accumulated'}",
            f"{head} {self.agreed} of {self.probes} outputs of {self.a_format} x {self.b_format}, K = {self.terms}",
        ]
        if self.alternatives:
            other = self.alternatives[0].accumulator
            lines.append(f"{len(self.alternatives)} other records agree as well, e.g. {other!r}")
        if self.counterexample is not None:
            c = self.counterexample
            lines.append(f"counterexample: observed {c.observed!r}, emulated {c.emulated!r}")
            lines.append(f"a = {c.a.tolist()}, b = {c.b.tolist()}")
        return "\n".join(lines)


def record_from_json(text: str) -> Record:
    """The record of `Identification.to_json`."""
    import json

    data = json.loads(text)
    parts = (records.from_data(data[key]) for key in ("accumulator", "order", "multiplier"))
    accumulator, order, multiplier = parts
    return Record(accumulator, order, multiplier, data.get("output"))


def identify(
    matmul: Matmul,
    *,
    a_format: str | Scalar,
    b_format: str | Scalar,
    terms: int = 64,
    columns: int = 64,
    rounds: int = 3,
    seed: int = 0,
) -> Identification:
    """Find the accumulator behind a matrix product by asking it: terms per step, fraction bits, roundings, order.

    matmul: takes a [columns, terms] and b [terms, columns], float32 arrays of values of the formats, and returns their
        product [columns, columns] as an array; it is called some hundred times. Libraries choose their kernels by
        shape: what is found holds for this one.
    terms: K. A promotion or a split shows only where K is longer than its run.
    rounds: how often each of the nine distributions is drawn in the comparison.

    1. The tree of the sum, by what large terms swallow (tree.py). 2. Its widths, by cancellation (parameters.py).
    3. All records of that tree and those widths run beside it on inputs that tell accumulators apart, until one, or
    only ones that nothing separates, agree. Returns an Identification, with a counterexample where none does.
    Raises ValueError for formats with scales or without negative values, and for results that are no
        [columns, columns] of numbers.
    """
    fa, fb = (probed_format(fmt, "identify") for fmt in (a_format, b_format))
    matmul = _checked(matmul, terms=terms, columns=columns, rounds=rounds)
    dots = diagonal(matmul, columns)
    shape, rng = (columns, terms, columns), np.random.default_rng(seed)
    seen = _seen(matmul, "mid", fa, fb, shape, rng)[2]
    outputs = [name for name in ("e4m3fn", "e5m2", "bfloat16", "float16", None) if name is None or _held(seen, name)]
    guesses = [
        replace(record, output=output)
        for record in _guesses(dots, terms, fa, fb)
        for output in outputs
        if output is None or output != getattr(result_format(record.accumulator), "name", None)
    ]
    return _sift(matmul, guesses, fa, fb, shape, rounds, rng)


def _checked(matmul: Any, **counts: Any) -> Matmul:
    """The product, its results looked at before they are believed."""
    if not callable(matmul):
        raise TypeError(f"identify: matmul must be a callable of a and b, got {matmul!r}; for example numpy.matmul")
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
            raise ValueError(f"identify: {name} must be a whole number from 1, got {count!r}")

    def asked(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        result = np.asarray(matmul(a, b))
        wanted = (a.shape[0], b.shape[1])
        if result.shape != wanted or result.dtype.kind not in "iuf":
            raise ValueError(
                f"identify: matmul of {a.shape} and {b.shape} must return an array of numbers {wanted}, got "
                f"{result.dtype} {result.shape}"
            )
        return result

    return asked


def _held(seen: NDArray[Any], name: str) -> bool:
    """Whether a format holds every result, so that results may have been rounded to it."""
    return seen.dtype.kind == "f" and bool((quantize(seen, name) == seen).all())


def _guesses(dots: Dots, terms: int, a: Scalar, b: Scalar) -> Iterator[Record]:
    """Every record whose tree and widths are those seen."""
    known = weights(dots, terms, a, b) if terms > 2 else None
    if known is None:
        yield Record(Exact())
        yield from (Record(FloatChain(fmt)) for fmt in ("float32", "float16", "bfloat16"))
        return
    tree = sum_tree(dots, terms, known)
    look = _Look(dots, terms, a, b, int(np.frexp(known.large[0] * known.large[1])[1]) - 1)
    for how, order in _shapes(tree, terms):
        for multiplier in _multipliers(how, a, b):
            for filled in _filled(how, tree, look):
                yield Record(filled, order, multiplier)
                if isinstance(filled, FloatChain) and isinstance(order, Sequential):
                    # A sum that zero is added to at the end: the same but for -0.
                    yield Record(Promotion(filled, terms, FloatChain(filled.format)), order, multiplier)


@dataclass(frozen=True, slots=True)
class _Look:
    """What widths are read with: single dot products, their length, their formats, the exponent of a large term."""

    dots: Dots
    terms: int
    a: Scalar
    b: Scalar
    exponent: int

    def depth(self, places: tuple[int, int, int] | None) -> int:
        """See parameters.depth; 0 where there is no such place."""
        return 0 if places is None else depth(self.dots, self.terms, places, self.a, self.b, self.exponent)


def _shapes(tree: Any, terms: int) -> list[tuple[Accumulator, Order]]:
    """Accumulators and orders, widths still open, that have this tree: the simplest kind of them."""
    step, runs = _step(tree), _runs(tree)
    lanes = _lanes(tree, step)
    bases: list[Any] = [FloatChain()] if step == 1 else [Aligned(step, 25, lanes=lanes)]
    runs = [size for size in runs if size in _joined_sizes(tree) or size == max(_joined_sizes(tree), default=0)]
    promoted = [Promotion(base, every) for base in bases for every in runs]
    split = [
        SplitK(inner, -(-terms // size), size) for inner in [*bases, *promoted] for size in runs if _longer(size, inner)
    ]
    kinds: list[list[tuple[Accumulator, Order]]] = [
        [(base, Sequential()) for base in bases],
        [(FloatChain(), Pairwise(size)) for size in (1, 2, 4, 8, 16, 32, 64, 128) if step == 1],
        [(how, Sequential()) for how in promoted],
        [(how, Sequential()) for how in split],
    ]
    seen = canonical(tree)
    for kind in kinds:
        fitting = [(how, order) for how, order in kind if canonical(tree_of(how, order, terms)) == seen]
        if fitting:
            return fitting[:1]  # of two lengths with one tree the shorter: the longer one only cuts a remainder
    written = nested(tree)
    return [(FloatChain(), Tree(written))] if isinstance(written, tuple) else []


def _longer(size: int, inner: Any) -> bool:
    return not isinstance(inner, Promotion) or (size > inner.every and size % inner.every == 0)


def _nodes(tree: Any) -> Iterator[Node]:
    """All parts that are sums."""
    while isinstance(tree, Node):
        yield tree
        for part in tree.parts[1:]:
            yield from _nodes(part)
        tree = tree.parts[0]


def _step(tree: Any) -> int:
    """Products added at once: the leaves of the first fused part."""
    fused = [node for node in _nodes(tree) if node.fused]
    return max((sum(not isinstance(part, Node) for part in node.parts) for node in fused), default=1)


def _lanes(tree: Any, step: int) -> tuple[int, ...]:
    """The order in which k meets the steps of the part that holds k = 0, over the shortest run of k that it fills."""
    first, levels = spine(tree)
    order = [first]
    for number, (_, joined) in enumerate(levels):
        own = [int(part) for part in joined if not isinstance(part, Node)]
        order = sorted([*order, *own]) if number == 0 else [*order, *sorted(own)]
    for size in range(step, len(order) + 1, step):
        if sorted(order[:size]) == list(range(size)):
            return () if order[:size] == list(range(size)) else tuple(order[:size])
    return ()


def _runs(tree: Any) -> list[int]:
    """Lengths of the parts that hold k = 0, which are where runs could end."""
    total, sizes = 1, []
    for _, joined in spine(tree)[1]:
        sizes.append(total)
        total += sum(len(leaves(part)) for part in joined)
    return sorted({size for size in sizes if size > 1})


def _joined_sizes(tree: Any) -> set[int]:
    """Lengths of the parts that join the one of k = 0: a run is as long as one of them."""
    return {len(leaves(part)) for _, joined in spine(tree)[1] for part in joined}


def _multipliers(how: Accumulator, a: Scalar, b: Scalar) -> list[Multiplier]:
    """Products kept whole, or rounded to float32 where formats are wide enough for that to matter."""
    from formats.arithmetic.multipliers.base import significant_bits

    wide = significant_bits(a) + significant_bits(b) > 24
    return [ExactProduct(), RoundedProduct("float32")] if wide and isinstance(how, FloatChain) else [ExactProduct()]


def _formats(seen: int) -> list[Any]:
    """Float formats of a register in which a term `seen` binades below another is still there, likeliest first."""
    widths = sorted({w for w in (seen - 1, seen, seen + 1) if 1 <= w <= 23} or {23}, key=lambda w: abs(w - seen))
    found = [float_format(w, 8) for w in widths]
    return [*found, get("float16")] if 9 <= seen <= 11 else found


def _filled(how: Accumulator, tree: Any, look: _Look) -> Iterator[Accumulator]:
    """A shape with every width and rounding that could be, widths read where they show."""
    if isinstance(how, Promotion | SplitK):
        size = how.every if isinstance(how, Promotion) else how.run_length(look.terms)
        third = 2 * size if 2 * size < look.terms else look.terms - 1
        outers = _formats(look.depth((0, size, third))) if third > size else [get("float32")]
        if get("float32") not in outers:
            outers.append(get("float32"))
        for outer in outers:
            for inner in _filled(how.inner, _within(tree, size), look):
                yield replace(how, inner=inner, outer=FloatChain(outer))  # type: ignore[arg-type]
        return
    across = look.depth(_apart(tree))
    if isinstance(how, FloatChain):
        yield from (FloatChain(fmt, rounding) for fmt in _formats(across) for rounding in DETERMINISTIC)
    elif isinstance(how, Aligned):
        within = look.depth(_meeting(tree))
        # Where a register loses no more than the alignment does, it may be wider than could be seen.
        wider = [get("float32")] if within and across >= within else []
        for fmt in dict.fromkeys([*_formats(across), *wider]):
            yield from _aligned(how, fmt, within)


def _within(tree: Any, size: int) -> Any:
    """The part of so many leaves that holds k = 0."""
    path, sizes = tree, [1, *_runs(tree), size + 1]
    for _ in range(sum(total > size for total in sizes)):
        if isinstance(path, Node) and len(leaves(path)) > size:
            path = path.parts[0]
    return path


def _aligned(how: Aligned, fmt: Any, within: int) -> Iterator[Accumulator]:
    """Steps of this size; `within`: how far below a term another of the same step is seen."""
    low, read = fmt.min_exponent - 7, within or fmt.trailing_significand_bits + 2
    bits = [n for n in (read, read + 1, read - 1) if 1 <= n <= 50]
    for rounding, n, floor, aligned, normalized, truncation in product(
        ("toward_zero", "ties_to_even"),
        bits,
        (low, None, low + 1, low + 2, low - 1),
        (True, False),
        (False, True),
        ("toward_zero", "down"),
    ):
        yield Aligned(how.terms, n, fmt, rounding, floor, aligned, how.lanes, normalized, truncation)


def _meeting(tree: Any) -> tuple[int, int, int] | None:
    """Three leaves of one fused part."""
    for node in _nodes(tree):
        own = [part for part in node.parts if not isinstance(part, Node)]
        if node.fused and len(own) >= 3:
            return own[0], own[1], own[2]
    return None


def _apart(tree: Any) -> tuple[int, int, int] | None:
    """Three leaves of which the first two meet before the third: their sum is held in a register between."""
    first, levels = spine(tree)
    if len(levels) < 2:
        return None
    return first, leaves(levels[0][1][-1])[0], leaves(levels[-1][1][-1])[0]


def _sift(
    matmul: Matmul,
    guesses: list[Record],
    a: Scalar,
    b: Scalar,
    shape: tuple[int, int, int],
    rounds: int,
    rng: np.random.Generator,
) -> Identification:
    """Drop the guesses that disagree with what is seen; keep count of the best of them."""
    alive, probes = list(dict.fromkeys(guesses)), 0
    agreed = dict.fromkeys(alive, 0)
    first_bad: dict[Record, Counterexample] = {}
    for number in range(rounds * len(DISTRIBUTIONS)):
        x, y, seen = _seen(matmul, DISTRIBUTIONS[number % len(DISTRIBUTIONS)], a, b, shape, rng)
        probes += seen.size
        corner = min(8, *seen.shape)
        likely = [r for r in alive if not _bad(r, x[:corner], y[:, :corner], seen[:corner, :corner], a, b).any()]
        survivors = []
        for record in likely or alive[:40]:
            bad = _bad(record, x, y, seen, a, b)
            agreed[record] += int(bad.size - bad.sum())
            if bad.any():
                i, j = (int(v) for v in np.argwhere(bad)[0])
                made = record.matmul(x[i : i + 1], y[:, j : j + 1], a, b)
                first_bad.setdefault(record, Counterexample(x[i], y[:, j], seen[i, j].item(), made[0, 0].item()))
            else:
                survivors.append(record)
        alive = survivors or sorted(alive, key=lambda r: -agreed[r])[:1]
    best = max(alive, key=lambda r: agreed[r])
    others = tuple(record for record in alive if record is not best and record not in first_bad)
    return Identification(best, others, a.name, b.name, shape[1], agreed[best], probes, first_bad.get(best))


def _seen(
    matmul: Matmul, name: str, a: Scalar, b: Scalar, shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Operands of one distribution and what the product makes of them; smaller ones where that overflows."""
    largest = np.inf
    while True:
        x, y = draw(name, a, b, shape, rng, largest=largest)
        with np.errstate(all="ignore"):
            seen = np.asarray(matmul(x.astype(np.float32), y.astype(np.float32)))
        if np.isfinite(seen).all() or largest < 1 or name == "ends":
            return x, y, seen
        finite = np.abs(seen[np.isfinite(seen)])
        largest = float(finite.max()) if finite.size and 0 < finite.max() < largest else min(largest, 2.0**30) / 16


def _bad(
    record: Record, x: NDArray[Any], y: NDArray[Any], seen: NDArray[Any], a: Scalar, b: Scalar
) -> NDArray[np.bool_]:
    """Where the record makes something else."""
    made = np.asarray(record.matmul(x, y, a, b))
    with np.errstate(invalid="ignore", over="ignore"):
        return unequal(made.astype(seen.dtype, copy=False), seen)
