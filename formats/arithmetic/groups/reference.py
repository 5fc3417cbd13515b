"""What one output of a group means, in Fractions and Python integers: slow, exact, obvious."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from formats.arithmetic.accumulators import Accumulator, Exact, FloatChain, Integer
from formats.arithmetic.exact_values import dyadic, round_to
from formats.arithmetic.groups.lookup import ROW, LookupTable
from formats.arithmetic.groups.popcount import PopcountPlanes
from formats.arithmetic.groups.t_mac import ALPHAS, TMac
from formats.arithmetic.groups.weights import Weights
from formats.arithmetic.reference import register as integer_register
from formats.cast import Cast
from formats.catalogue import get
from formats.exact import Dyadic, floor_log2
from formats.minifloat import Minifloat

NEAREST = Cast(overflow="overflow")


def to_format(x: Fraction, fmt: Minifloat, cast: Cast = NEAREST) -> Fraction:
    """x rounded once. Raises OverflowError where the format has no such number."""
    value = round_to(fmt, rounded_to_odd(x), cast)
    if not isinstance(value, Dyadic):
        raise OverflowError(f"{float(x)} leaves {fmt.name}")
    return value.fraction


def rounded_to_odd(x: Fraction) -> Dyadic:
    """x as a Dyadic, of 100 bits and the last one odd where it has more, or never ends: quotients by 127 do not."""
    if x.denominator & (x.denominator - 1) == 0:
        return dyadic(x)
    unit = Fraction(2) ** (floor_log2(abs(x)) - 100)
    return dyadic(((abs(x) // unit) | 1) * unit * (-1 if x < 0 else 1))


def nearest_integer(x: Fraction, limit: int) -> int:
    """To nearest, ties to even (Python's round is), at most limit in magnitude."""
    return max(-limit, min(limit, round(x)))


@lru_cache(maxsize=256)  # every column of weights looks up the same
def group_entries(a: tuple[Fraction, ...], group: LookupTable) -> list[Fraction]:
    """One table: entry i for all i."""
    entries, states = [Fraction(0)], (-1, 1) if group.states == "signs" else (0, 1)
    for x in a:  # each further bit doubles the table
        entries = [entry + state * x for state in states for entry in entries]
        if group.entry is not None and group.additions != "once":
            entries = [to_format(entry, group.entry) for entry in entries]
    if group.entry is not None and group.additions == "once":
        entries = [to_format(entry, group.entry) for entry in entries]
    return entries


def add_up(terms: Sequence[Fraction], how: Exact | Integer | FloatChain, unit: Fraction) -> Fraction:
    """A register that starts from zero."""
    if isinstance(how, Exact):
        return sum(terms, Fraction(0))
    if isinstance(how, Integer):
        return integer_register([int(term / unit) for term in terms], 0, how) * unit
    total = Fraction(0)
    for term in terms:
        total = to_format(total + term, how.format, how.cast)
    return total


def accumulate(terms: Sequence[Fraction], start: Fraction, how: Accumulator) -> Fraction:
    """The segments' results in matmul's accumulator: Exact is not rounded here."""
    if isinstance(how, FloatChain):
        total = start
        for term in terms:
            total = to_format(total + to_format(term, how.format), how.format, how.cast)
        return total
    return start + sum(terms, Fraction(0))


def cuts(terms: int, *sizes: int) -> list[tuple[int, int]]:
    """Segments: runs of K that no size cuts."""
    starts = [k for k in range(terms) if any(k % size == 0 for size in sizes) or k == 0]
    return list(zip(starts, [*starts[1:], terms], strict=True))


def _fractions(values: Any) -> list[Fraction]:
    return [Fraction(float(v)) for v in values]


def lookup(
    group: LookupTable, a: Sequence[Fraction], weights: Weights, column: int, *,
    ulp: Fraction = Fraction(1), accumulator: Accumulator = Exact(), start: Fraction = Fraction(0),  # noqa: B008
    a_scales: Sequence[Fraction] = (), a_size: int = 0,
) -> Fraction:  # fmt: skip
    """One output of a LookupTable. ulp: of the activations; a_scales: of every a_size of them."""
    run = len(a) if group.scale_run == ROW else group.scale_run or len(a)
    results = []
    for begin, end in cuts(len(a), weights.size, run, a_size if a_scales else len(a)):
        groups = []
        for k in range(begin, end, group.group):
            few = list(a[k : min(k + group.group, end)])
            groups.append(few + [Fraction(0)] * (group.group - len(few)))
        tables = [group_entries(tuple(few), group) for few in groups]
        whole = sum((table[-1] for table in tables), Fraction(0))
        scale, unit = Fraction(1), ulp
        if group.entry is not None:
            unit = Fraction(2) ** group.entry.ulp_exponent
        if group.table is not None:
            limit = 2 ** (group.table.bits - 1) - 1
            largest = max(abs(entry) for table in tables for entry in table)
            scale, unit = to_format(largest / limit, group.table_scale), Fraction(1)
            tables = [
                [Fraction(nearest_integer(entry / scale, limit) if scale else 0) for entry in table] for table in tables
            ]
        sums = []
        for plane in weights.bits:
            picked = []
            for number, table in enumerate(tables):
                bits = plane[begin + number * group.group : min(begin + (number + 1) * group.group, end), column]
                picked.append(table[sum(int(bit) << j for j, bit in enumerate(bits))])
            sums.append(add_up(picked, group.register, unit))
        factor = scale_at(a_scales, begin, a_size)
        zero = (
            Fraction(0) if weights.zero is None else scale_at(_fractions(weights.zero[:, column]), begin, weights.size)
        )
        of = [scale_at(_fractions(scales[:, column]), begin, weights.size) for scales in weights.scales]
        if weights.apart:
            for total, alpha in zip(sums, of, strict=True):
                results.append(scale * add_up([total], group.register, unit) * alpha * factor)
        else:
            joined = add_up([s * w for s, w in zip(sums, weights.worth, strict=True)], group.register, unit)
            results.append((scale * joined - zero * whole) * of[0] * factor)
    return accumulate(results, start, accumulator)


def scale_at(scales: Sequence[Fraction], k: int, size: int) -> Fraction:
    """The scale of the block that k is in."""
    return scales[min(k // size, len(scales) - 1)] if len(scales) else Fraction(1)


def popcounts(
    group: PopcountPlanes, a: Weights, row: int, b: Weights, column: int, *,
    accumulator: Accumulator = Exact(), a_scales: Sequence[Fraction] = (), a_size: int = 0,  # noqa: B008
) -> Fraction:  # fmt: skip
    """One output of PopcountPlanes. a: the activations' planes [K, M], under one scale."""
    results, terms = [], a.shape[0]
    for begin, end in cuts(terms, b.size, a_size if a_scales else terms):
        pairs = []
        for worth_a, plane_a in zip(a.worth, a.bits, strict=True):
            for worth_b, plane_b in zip(b.worth, b.bits, strict=True):
                counts = []
                for word in range(begin, end, group.word):
                    ks = range(word, min(word + group.word, end))
                    if group.operation == "and":
                        counts.append(Fraction(sum(int(plane_a[k, row] and plane_b[k, column]) for k in ks)))
                    else:
                        counts.append(Fraction(sum(int(plane_a[k, row] != plane_b[k, column]) for k in ks)))
                count = add_up(counts, group.register, Fraction(1))
                if group.operation == "xnor":
                    count = (end - begin) - 2 * count
                pairs.append(count * worth_a * worth_b)
        total = add_up(pairs, group.register, Fraction(1)) * Fraction(float(a.scales[0][0, row]))
        total *= scale_at(_fractions(b.scales[0][:, column]), begin, b.size)
        results.append(total * scale_at(a_scales, begin, a_size))
    return accumulate(results, Fraction(0), accumulator)


def t_mac(group: TMac, a: Sequence[Fraction], weights: Weights, column: int) -> Fraction:
    """One output of T-MAC: every operation exact, then rounded to float32."""
    fmt = get("float32")
    assert isinstance(fmt, Minifloat)
    assert weights.zero is not None

    def f(x: Fraction) -> Fraction:
        return to_format(x, fmt)

    groups = [list(a[k : k + 4]) for k in range(0, len(a), 4)]
    tables = []
    for b in groups:
        odd = {i: b[0] for i in range(1, 16, 2)}
        for i in odd:
            for j in (1, 2, 3):
                odd[i] = f(odd[i] + (b[j] if i >> j & 1 else -b[j]))
        tables.append([odd[i] if i % 2 else -odd[15 - i] for i in range(16)])
    per = group.act_group // 4
    scales, biases = [], []
    for first in range(0, len(groups), per):
        sizes = [[abs(x) for x in b] for b in groups[first : first + per]]
        scales.append(max(f(f(f(x[0] + x[1]) + f(x[2] + x[3])) / 127) for x in sizes))
        bias = Fraction(0)
        for chunk in range(first, first + per, 8):
            lane = [tables[chunk + i][0] for i in range(8)]
            four = [f(lane[i + 4] + lane[i]) for i in range(4)]
            bias = f(bias + f(f(four[0] + four[2]) + f(four[1] + four[3])))
        biases.append(bias)
    inverses = [f(1 / s) if s else Fraction(0) for s in scales]
    integers = [
        [max(-128, min(127, round(f(entry * inverses[g // per])))) for entry in table] for g, table in enumerate(tables)
    ]
    planes = [Fraction(0)] * len(weights.worth)
    for begin in range(0, len(groups), group.lookups):
        scale = scale_at([2 * s for s in _fractions(weights.scales[0][:, column])], 4 * begin, weights.size)
        zero = f((scale_at(_fractions(weights.zero[:, column]), 4 * begin, weights.size) - 1) / 2 * scale)
        for p, plane in enumerate(weights.bits):
            total, bias = None, Fraction(0)
            for act in range(begin // per, (begin + group.lookups) // per):
                count = 0
                for g in range(act * per, (act + 1) * per):
                    count += integers[g][sum(int(bit) << j for j, bit in enumerate(plane[4 * g : 4 * g + 4, column]))]
                part = f(count * scales[act] + (biases[act] if p == 0 else 0))
                total = part if total is None else f(total + part)
                bias = f(bias + biases[act])
            assert total is not None
            planes[p] = f(total * scale + planes[p])
            if p == 0 and zero:
                planes[p] = f(zero * f(2 * bias) + planes[p])
    out = f(planes[0] * Fraction(ALPHAS[0]))
    for p in range(1, len(planes)):
        out = f(out + f(planes[p] * Fraction(ALPHAS[p])))
    return out
