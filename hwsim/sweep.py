"""GEMMs in a setting as columns: cycles, traffic, stalls and action counts, of whole sweeps at once."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import formats as nf
from hwsim import traffic
from hwsim.accelerator import array_name
from hwsim.array import SystolicArray
from hwsim.array_cost import Counts, array_counts
from hwsim.array_wiring import Ints, mac_pe, wiring
from hwsim.cycles import gemm_cycles
from hwsim.settings import OUTPUT_BITS, Setting


def gemm_columns(
    m: ArrayLike,
    k: ArrayLike,
    n: ArrayLike,
    batch: ArrayLike,
    where: Setting,
    *,
    bits_a: Any = None,
    bits_b: Any = None,
    output_bits: Any = OUTPUT_BITS,
    a_elements: ArrayLike | None = None,
    b_elements: ArrayLike | None = None,
    mac_bits: ArrayLike | None = None,
) -> tuple[dict[str, NDArray[Any]], Counts]:
    """Columns and action counts of GEMMs given as one-dimensional arrays of one length (or scalars).

    bits_a, bits_b: stored bits per element, scales included; None takes `stored_bits` of the PE's formats.
    output_bits: of a result.
    a_elements, b_elements: distinct elements of the stored tensors, all products together, for DRAM bytes and null
    models; None for batch m k and batch k n. Words that the SRAM hands to the array do not depend on them.
    mac_bits: bits of an element of a times those of one of b, for the bits_x_bits null model; None takes the PE's.
    Each a number, or one per GEMM.
    Returns the columns of Report.columns and the counts its prices apply to.
    """
    if not isinstance(where, Setting):
        raise TypeError(f"gemm_columns: where must be a Setting, got {where!r}; say setting(array)")
    array, pe = where.array, mac_pe(where.array)
    for name, bits in (("bits_a", bits_a), ("bits_b", bits_b), ("output_bits", output_bits)):
        _check_bits(name, bits)
    sizes = [np.atleast_1d(np.asarray(size)) for size in (m, k, n, batch)]
    shape = np.broadcast_shapes(*(size.shape for size in sizes))
    cycles = _cycles(array, *sizes)  # checks that sizes are integers >= 1
    stored = (
        _row_bits(pe.a_format, sizes[1]) if bits_a is None else bits_a,
        _row_bits(pe.b_format, sizes[1]) if bits_b is None else bits_b,
        output_bits,
    )
    ms, ks, ns, batches = (np.broadcast_to(size, shape).astype(np.int64) for size in sizes)
    strips = _strip_bits(where, ms, ns, cycles)
    if where.sram is not None:
        _check_tile(where, ms, ks, ns, stored)
        splits = np.maximum(-(-strips // (_capacity(where) // 2)), 1)
        if splits.max(initial=1) > 1:
            cycles = _split_cycles(array, ms, ks, ns, batches, splits)
    counts = array_counts(array, where.tech, ms, ks, ns, batches, cycles)
    tensors = (_each("a_elements", a_elements, shape, np.int64), _each("b_elements", b_elements, shape, np.int64))
    moved = traffic.gemm_traffic(ms, ks, ns, batches, stored, _capacity(where), strips, _streams(array), tensors)
    limits = _memory_counts(where, cycles, moved, stored, counts)
    elements = _each("mac_bits", mac_bits, shape, np.float64)
    if elements is None:
        elements = float(nf.element_of(pe.a_format).bits * nf.element_of(pe.b_format).bits)
    macs = ms * ks * ns * batches
    compute = cycles["cycles"]
    total = np.maximum(compute, np.maximum(limits["dram"], limits["sram"]))
    fill = cycles["load_cycles"] + cycles["skew_cycles"] + cycles["drain_cycles"]
    busy = np.where(fill > cycles["stream_cycles"], "fill", "compute")
    memory = np.where(limits["dram"] >= limits["sram"], "dram", "sram")
    columns: dict[str, NDArray[Any]] = {
        "m": ms,
        "k": ks,
        "n": ns,
        "batch": batches,
        "macs": macs,
        "cycles": total,
        "compute_cycles": compute,
        "stall_cycles": total - compute,
        **{f"{part}_cycles": cycles[f"{part}_cycles"] for part in ("load", "skew", "stream", "drain")},
        "bytes": moved.dram_bytes if where.dram is not None else moved.once_bytes,
        "tensor_bytes": moved.once_bytes,
        "a_fetches": moved.a_fetches,
        "b_fetches": moved.b_fetches,
        "bound": np.where(total > compute, memory, busy),
        "utilization": macs / (total * float(array.peak_macs_per_cycle)),
        "bits_x_bits": macs * elements,
        "bytes_only_cycles": _dram_cycles(where, moved.once_bytes),
    }
    return columns, counts


def _check_bits(name: str, bits: Any) -> None:
    """Raise TypeError unless `bits` is None, a number or a sequence of numbers, ValueError for what is not finite."""
    entries = bits if np.ndim(bits) else [bits]
    wrong = [entry for entry in entries if entry is not None and not isinstance(entry, Real)]
    if wrong:
        hint = f"bits_per_element({wrong[0]!r}) of formats says it for a format" if isinstance(wrong[0], str) else ""
        raise TypeError(
            f"estimate: {name} must be a number of bits such as 16, got {wrong[0]!r}" + (hint and f"; {hint}")
        )
    endless = [entry for entry in entries if entry is not None and not isfinite(entry)]
    if endless:
        raise ValueError(f"estimate: {name} must be a finite number of bits such as 16, got {endless[0]!r}")


def _row_bits(fmt: nf.Format, k: Ints) -> Any:
    """Stored bits per element of rows of k: one exact number where every row ends with a whole block."""
    whole = nf.bits_per_element(fmt)
    bits = traffic.stored_bits(fmt, k)
    return whole if (bits == float(whole)).all() else bits


def _each(name: str, value: ArrayLike | None, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
    """An optional number or one per GEMM as an array of `shape`; None stays None."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind not in ("iu" if dtype is np.int64 else "iuf"):
        kind = "integers" if dtype is np.int64 else "numbers"
        raise TypeError(f"gemm_columns: {name} must be {kind}, one or one per GEMM, got {array.dtype} {value!r}")
    if array.shape not in ((), (1,), shape):
        raise ValueError(f"gemm_columns: {name} needs one value or shape {shape}, got {array.shape}")
    if (array < 0).any():
        raise ValueError(f"gemm_columns: {name} must be 0 or more, got {array.min()}")
    return np.broadcast_to(array, shape).astype(dtype)


def _cycles(array: SystolicArray, m: Any, k: Any, n: Any, batch: Any) -> dict[str, NDArray[Any]]:
    return gemm_cycles(m, k, n, batch, array.rows, array.columns, array.lanes, array.dataflow, array.drain)


def _split_cycles(
    array: SystolicArray, m: Ints, k: Ints, n: Ints, batch: Ints, splits: Ints
) -> dict[str, NDArray[Any]]:
    """Cycles where the streamed rows run in `splits` equal passes, because partial sums of all of them do not fit."""
    if _streams(array) == "a":
        return _cycles(array, -(-m // splits), k, n, batch * splits)
    return _cycles(array, m, k, -(-n // splits), batch * splits)


def _memory_counts(
    where: Setting, cycles: Mapping[str, Any], moved: traffic.Traffic, stored: tuple[Any, Any, Any], counts: Counts
) -> dict[str, NDArray[np.int64]]:
    """Add SRAM and DRAM bits to `counts`; cycles each level needs, rounded up."""
    zero = np.zeros_like(moved.a_bytes)
    if where.sram is None or where.dram is None:
        return {"sram": zero, "dram": zero}
    width = float(wiring(where.array).result_bits)
    a_bits, b_bits = (np.array(_floats(bits)) for bits in stored[:2])
    outputs = moved.output_bytes * 8.0
    reads = (
        cycles["a_read_words"] * a_bits
        + cycles["b_read_words"] * b_bits
        + cycles["partial_read_words"] * width
        + outputs
    )
    writes = moved.dram_read_bytes * 8.0 + cycles["partial_write_words"] * width + outputs
    counts |= {
        "SRAM reads": np.asarray(reads, dtype=np.float64),
        "SRAM writes": np.asarray(writes, dtype=np.float64),
        "DRAM reads": np.asarray(moved.dram_read_bytes * 8.0, dtype=np.float64),
        "DRAM writes": np.asarray(outputs, dtype=np.float64),
    }
    per_cycle = where.sram.bits_each_cycle(where.clock_hz)
    needed = np.ceil(np.maximum(reads, writes) / per_cycle).astype(np.int64) if per_cycle < inf else zero
    return {"sram": needed, "dram": _dram_cycles(where, moved.dram_bytes)}


def _dram_cycles(where: Setting, size_bytes: Ints) -> NDArray[np.int64]:
    """Cycles the DRAM needs for that many bytes at full bandwidth, rounded up; 0 without one."""
    if where.dram is None:
        return np.zeros_like(size_bytes)
    per_cycle = where.dram.bits_each_cycle(where.clock_hz)
    cycles: NDArray[np.int64] = np.ceil(size_bytes * (8.0 / per_cycle)).astype(np.int64)
    return cycles


def _floats(bits: Any) -> Any:
    return [float(value) for value in bits] if np.ndim(bits) else float(bits)


def _capacity(where: Setting) -> int:
    """SRAM bits; without one (or one without bound) enough for every tensor."""
    if where.sram is None or where.sram.capacity_bits is None:
        return 2**62
    return where.sram.capacity_bits


def _streams(array: SystolicArray) -> str:
    """The operand that streams past the held one; "" where both stream and sums stay."""
    return {"weight_stationary": "a", "input_stationary": "b", "output_stationary": ""}[array.dataflow]


def _strip_bits(where: Setting, m: Ints, n: Ints, cycles: Mapping[str, Any]) -> Ints:
    """Partial sums alive at once: one strip of columns, all streamed rows; 0 where k takes a single fold."""
    streamed = {"a": m, "b": n, "": np.zeros_like(m)}[_streams(where.array)]
    bits = streamed * where.array.columns * wiring(where.array).result_bits
    return np.where(cycles["partial_read_words"] > 0, bits, 0)


def _check_tile(where: Setting, m: Ints, k: Ints, n: Ints, stored: tuple[Any, Any, Any]) -> None:
    """Raise ValueError naming a GEMM whose smallest double-buffered tile does not fit half the SRAM."""
    array = where.array
    depth = np.minimum(k, array.rows * array.lanes)
    a_bits, b_bits = (np.array(_floats(bits)) for bits in stored[:2])
    if array.dataflow == "weight_stationary":
        tile = depth * np.minimum(n, array.columns) * b_bits + depth * a_bits
    elif array.dataflow == "input_stationary":
        tile = depth * np.minimum(m, array.columns) * a_bits + depth * b_bits
    else:
        tile = np.minimum(m, array.rows) * array.lanes * a_bits + np.minimum(n, array.columns) * array.lanes * b_bits
    sums = float(array.columns * wiring(array).result_bits)
    needed = np.ceil(np.maximum(2 * tile, sums) / 8)
    half = _capacity(where) // 16
    if (needed > half).any():
        index = int(np.argmax(needed > half))
        raise ValueError(
            f"estimate: GEMM {m[index]}x{k[index]}x{n[index]} on {array_name(array)}: a double-buffered tile takes "
            f"{int(needed[index])} bytes of half the SRAM, which has {2 * half} bytes in all; "
            f"use an SRAM of at least {2 * int(needed[index])} bytes or a smaller array"
        )
