"""Closed forms of a systolic array: cycles, their parts, and SRAM accesses of whole sweeps at once, in exact integers.

    gemm_cycles(m=[9, 512], k=[20, 4096], n=[7, 4096], rows=32, columns=32)["cycles"]

One fold is one residency of the array. Folds do not overlap and a partial fold takes as long as a full one.

| dataflow          | rows | columns | streamed, T | load | skew        | stream | drain                      |
|-------------------|------|---------|-------------|------|-------------|--------|----------------------------|
| weight_stationary | K    | N       | M           | R    | R - 1       | T      | C - 1                      |
| input_stationary  | K    | M       | N           | R    | R - 1       | T      | C - 1                      |
| output_stationary | M    | N       | K           | 0    | R - 1 + C - 1 | T    | R, or 0 with `drain=False` |

The four parts of a fold sum to its cycles: 2R + C + T - 2, or R + C + T - 2 for output_stationary with `drain=False`.
`lanes` consecutive k share a PE (a dot product of that length), so K counts ceil(K / lanes) rows or stream steps.
simulator.py steps the registers and counts the same cycles; tests compare them.
Source: the registers themselves (simulator.py); SCALE-Sim 3.0.0 reports folds * (2R + C + T - 2) - 1 for ws and is and
folds * (R + C + T - 2) - 1 for os, the index of its last cycle.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Dataflow = Literal["weight_stationary", "output_stationary", "input_stationary"]
DATAFLOWS: tuple[Dataflow, ...] = get_args(Dataflow)

_LIMIT = 2**63 - 1

_Ints = NDArray[np.int64]


def gemm_cycles(
    m: ArrayLike,
    k: ArrayLike,
    n: ArrayLike,
    batch: ArrayLike = 1,
    rows: ArrayLike = 1,
    columns: ArrayLike = 1,
    lanes: ArrayLike = 1,
    dataflow: Dataflow = "weight_stationary",
    drain: bool = True,
) -> dict[str, NDArray[Any]]:
    """Cycles and SRAM accesses of `batch` independent products (m x k) @ (k x n) on rows x columns PEs of `lanes` MACs.

    Every argument but the last two is an integer or an array of integers >= 1; they broadcast, and every column
    returned has the broadcast shape (it may be read-only). drain: whether output_stationary results are shifted out
    through the rows after the last MAC; without effect on the other dataflows, whose results leave through the columns.

    Columns, int64: `macs`; `folds`; `cycles` = `load_cycles` + `skew_cycles` + `stream_cycles` + `drain_cycles`;
    words of SRAM: `a_read_words` and `b_read_words` (operands, padding is never read), `output_write_words`,
    and the partial sums of the K folds in the accumulator buffer, `partial_write_words` and `partial_read_words`.
    Columns, float64 in 0..1: `mapping_efficiency` (multipliers holding work while operands stream) and
    `utilization` = macs / (cycles * rows * columns * lanes).

    Raises TypeError for what is no integer, ValueError for integers below 1, shapes that do not broadcast and unknown
    dataflows, OverflowError where a count leaves int64.
    """
    check_dataflow(dataflow)
    arguments = {"m": m, "k": k, "n": n, "batch": batch, "rows": rows, "columns": columns, "lanes": lanes}
    sizes = {name: _positive(name, value) for name, value in arguments.items()}
    try:
        shape = np.broadcast_shapes(*(size.shape for size in sizes.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {size.shape}" for name, size in sizes.items() if size.ndim)
        raise ValueError(f"gemm_cycles: shapes must broadcast together, got {shapes}") from None
    _check_range(sizes, shape)
    if dataflow == "output_stationary":
        counts = _output_stationary(**sizes, drain=drain)
    elif dataflow == "weight_stationary":
        counts = _stationary(**sizes)
    else:
        counts = _transposed(_stationary(**{**sizes, "m": sizes["n"], "n": sizes["m"]}))
    return {
        name: column if column.shape == shape else np.broadcast_to(column, shape) for name, column in counts.items()
    }


def check_dataflow(dataflow: str) -> None:
    """Raise ValueError naming the three dataflows unless `dataflow` is one of them."""
    if dataflow not in DATAFLOWS:
        raise ValueError(f"dataflow must be one of {', '.join(DATAFLOWS)}, got {dataflow!r}")


def _stationary(
    m: _Ints, k: _Ints, n: _Ints, batch: _Ints, rows: _Ints, columns: _Ints, lanes: _Ints
) -> dict[str, NDArray[Any]]:
    """B stays (K down the rows, N along the columns) while A streams. is is this with A and B exchanged."""
    k_folds, n_folds = -(-k // (rows * lanes)), -(-n // columns)
    folds = k_folds * n_folds * batch
    outputs = m * n * batch
    parts = {"load": folds * rows, "skew": folds * (rows - 1), "stream": folds * m, "drain": folds * (columns - 1)}
    reads = {"a": m * k * n_folds * batch, "b": k * n * batch}
    available = folds * (rows * columns * lanes) * m
    return _counts(outputs * k, folds, parts, reads, outputs, outputs * (k_folds - 1), available)


def _output_stationary(
    m: _Ints, k: _Ints, n: _Ints, batch: _Ints, rows: _Ints, columns: _Ints, lanes: _Ints, drain: bool
) -> dict[str, NDArray[Any]]:
    """Sums stay (M down the rows, N along the columns) while A enters from the left and B from the top."""
    m_folds, n_folds, steps = -(-m // rows), -(-n // columns), -(-k // lanes)
    folds = m_folds * n_folds * batch
    outputs = m * n * batch
    zero = np.zeros_like(folds)
    parts = {
        "load": zero,
        "skew": folds * (rows + columns - 2),
        "stream": folds * steps,
        "drain": folds * rows if drain else zero,
    }
    reads = {"a": m * k * n_folds * batch, "b": k * n * m_folds * batch}
    available = folds * (rows * columns * lanes) * steps
    return _counts(outputs * k, folds, parts, reads, outputs, np.zeros_like(outputs), available)


def _counts(
    macs: _Ints,
    folds: _Ints,
    parts: dict[str, _Ints],
    reads: dict[str, _Ints],
    outputs: _Ints,
    partials: _Ints,
    available: _Ints,
) -> dict[str, NDArray[Any]]:
    """The columns from their parts. available: multiplier-cycles of the streaming phase."""
    cycles = parts["load"] + parts["skew"] + parts["stream"] + parts["drain"]
    mapping_efficiency = macs / available
    return {
        "macs": macs,
        "folds": folds,
        "cycles": cycles,
        **{f"{part}_cycles": value for part, value in parts.items()},
        "a_read_words": reads["a"],
        "b_read_words": reads["b"],
        "output_write_words": outputs,
        "partial_write_words": partials,
        "partial_read_words": partials,
        "mapping_efficiency": mapping_efficiency,
        "utilization": mapping_efficiency * (parts["stream"] / cycles),
    }


def _transposed(counts: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {**counts, "a_read_words": counts["b_read_words"], "b_read_words": counts["a_read_words"]}


def _positive(name: str, value: ArrayLike) -> _Ints:
    """`value` as int64, every entry >= 1."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"gemm_cycles: {name} must be an integer or an array of integers, got {array.dtype} {value!r}")
    if array.size and array.min() < 1:
        first = np.unravel_index(int(np.argmax(array < 1)), array.shape)
        where = f" at index {tuple(int(i) for i in first)}" if array.ndim else ""
        raise ValueError(f"gemm_cycles: {name} must be at least 1, got {array[first]}{where}")
    if array.dtype == np.uint64 and array.size and int(array.max()) > _LIMIT:
        raise OverflowError(f"gemm_cycles: {name} reaches {int(array.max())}, beyond int64")
    return array.astype(np.int64, copy=False)


def _check_range(sizes: dict[str, _Ints], shape: tuple[int, ...]) -> None:
    """Raise OverflowError naming the worst entry where a count could leave int64.

    Cheap first, on the largest of each argument in exact Python integers; only where that fails entry by entry, in
    float64 with a factor two to spare, so that rounding never hides an overflow.
    """
    if 0 in shape:
        return
    if _bound(**{name: int(size.max()) for name, size in sizes.items()}) <= _LIMIT:
        return
    bounds = np.broadcast_to(_bound(**{name: size.astype(np.float64) for name, size in sizes.items()}), shape)
    if (bounds > _LIMIT / 2).any():
        at = np.unravel_index(int(np.argmax(bounds)), shape)
        entry = ", ".join(f"{name}={int(np.broadcast_to(size, shape)[at])}" for name, size in sizes.items())
        raise OverflowError(f"gemm_cycles: counts of {entry} can reach {bounds[at]:.3g}, beyond int64; split the GEMM")


def _bound(m: Any, k: Any, n: Any, batch: Any, rows: Any, columns: Any, lanes: Any) -> Any:
    """At least every count, and every product formed on the way.

    Padding to whole folds adds less than one fold to each dimension, so folds * rows * columns * lanes * T, the largest
    of the multiplier counts, is at most the padded volume; cycles, folds * (2R + C + T - 2), at most four times it.
    """
    return 4 * batch * (m + rows + columns) * (k + rows * lanes) * (n + rows + columns)
