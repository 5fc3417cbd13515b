"""Estimates by closed form: cycles, traffic, energy and area of GEMMs on an array or an accelerator.

    report = estimate(Gemm(m=256, k=4096, n=4096), array)                 # cycles, PE energy, area
    report = estimate(Gemm(m=256, k=4096, n=4096), accelerator)           # and SRAM, DRAM, stalls
    columns = estimate_many(m, k, n, accelerator)                         # arrays in, arrays out

`gemm_report` is the vectorised core: many GEMMs with names in, one Report out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim import traffic
from hwsim.accelerator import Accelerator
from hwsim.array import Gemm, SystolicArray
from hwsim.array_cost import array_leakage
from hwsim.report import Report
from hwsim.settings import OUTPUT_BITS, Setting, assumptions, setting, setting_area, setting_prices, unpriced
from hwsim.sweep import gemm_columns
from hwsim.technology import Technology


def estimate(
    gemm: Gemm,
    target: SystolicArray | Accelerator,
    *,
    technology: str | Technology | None = None,
    output_bits: traffic.Bits = OUTPUT_BITS,
) -> Report:
    """One GEMM. technology: of an array alone (default ihp130).  output_bits: per result written to memory.

    An array alone: cycles, energy of the array, area. An accelerator: also SRAM and DRAM traffic and stalls.
    Raises ValueError where the SRAM is smaller than a tile, naming both sizes.
    """
    if not isinstance(gemm, Gemm):
        raise TypeError(f"estimate: needs a Gemm, got {gemm!r}; say Gemm(m=256, k=512, n=512)")
    return gemm_report(
        (f"{gemm.m}x{gemm.k}x{gemm.n}" + (f" x{gemm.batch}" if gemm.batch > 1 else ""),),
        [gemm.m],
        [gemm.k],
        [gemm.n],
        setting(target, technology),
        batch=[gemm.batch],
        output_bits=output_bits,
    )


def estimate_many(
    m: ArrayLike,
    k: ArrayLike,
    n: ArrayLike,
    target: SystolicArray | Accelerator,
    *,
    batch: ArrayLike = 1,
    technology: str | Technology | None = None,
    output_bits: traffic.Bits = OUTPUT_BITS,
) -> dict[str, NDArray[Any]]:
    """Many GEMMs at once: m, k, n and batch broadcast; every column has their shape.

    Columns: those of `Report.columns`, `latency_s`, and where there are energy figures `energy_pj`, `energy_low_pj`,
    `energy_high_pj` (dynamic: leakage is left to Report).
    """
    sizes = [np.asarray(size) for size in (m, k, n, batch)]
    try:
        # [] has no integer type of its own
        shapes = np.broadcast_arrays(*(size if size.size else size.astype(np.int64) for size in sizes))
    except ValueError:
        got = ", ".join(f"{name} {size.shape}" for name, size in zip(("m", "k", "n", "batch"), sizes, strict=True))
        raise ValueError(f"estimate_many: shapes must broadcast together, got {got}") from None
    where = setting(target, technology)
    rows, depth, width, copies = (size.reshape(-1) for size in shapes)
    columns, counts = gemm_columns(rows, depth, width, copies, where, output_bits=output_bits)
    columns["latency_s"] = columns["cycles"] / where.clock_hz
    prices = setting_prices(where)
    if "pe" in prices:
        for name, end in (("energy_pj", "value"), ("energy_low_pj", "low"), ("energy_high_pj", "high")):
            columns[name] = sum(
                (counts[action] * float(getattr(price, end)) for action, price in prices.items() if action in counts),
                np.zeros(shapes[0].size),
            )
    return {name: column.reshape(shapes[0].shape) for name, column in columns.items()}


def gemm_report(
    names: Sequence[str],
    m: ArrayLike,
    k: ArrayLike,
    n: ArrayLike,
    where: Setting,
    *,
    batch: ArrayLike = 1,
    bits_a: Any = None,
    bits_b: Any = None,
    output_bits: Any = OUTPUT_BITS,
    a_elements: ArrayLike | None = None,
    b_elements: ArrayLike | None = None,
    mac_bits: ArrayLike | None = None,
) -> Report:
    """Many GEMMs in one setting as one Report, a row each. Arguments as in `gemm_columns`; names: one a row."""
    columns, counts = gemm_columns(
        m,
        k,
        n,
        batch,
        where,
        bits_a=bits_a,
        bits_b=bits_b,
        output_bits=output_bits,
        a_elements=a_elements,
        b_elements=b_elements,
        mac_bits=mac_bits,
    )
    prices = setting_prices(where)
    mark = _mark(where)
    return Report(
        accelerator=where.label,
        clock_hz=where.clock_hz,
        rows=tuple(names),
        columns=columns,
        counts={mark(name): count for name, count in counts.items()},
        prices={mark(name): price for name, price in prices.items() if name in counts},
        area=dict(setting_area(where)),
        leakage=where.chip.leakage if where.chip is not None else array_leakage(where.array, where.tech),
        peak_macs_per_cycle=where.chip.peak_macs_per_cycle
        if where.chip is not None
        else where.array.peak_macs_per_cycle,
        dram_pj_per_byte=8 * where.dram.read_pj_per_bit.value if where.dram is not None else None,
        assumptions=assumptions(where),
        unpriced=unpriced(where),
    )


def _mark(where: Setting) -> Callable[[str], str]:
    """Names of an accelerator's further arrays' actions get their index, as in `Accelerator.area`: "pe 1"."""
    index = where.chip.arrays.index(where.array) if where.chip is not None else 0
    return lambda name: name if name.startswith(("SRAM", "DRAM")) or not index else f"{name} {index}"
