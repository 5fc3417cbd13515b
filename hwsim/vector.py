"""Work that is no matrix product (softmax, norms, gathers), priced by the vector unit and by bandwidth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.accelerator import Accelerator
from hwsim.report import Report, Unpriced
from hwsim.settings import assumptions, chip_unpriced, setting, setting_area


def vector_report(
    names: Sequence[str],
    operations: ArrayLike,
    read_bytes: ArrayLike,
    write_bytes: ArrayLike,
    chip: Accelerator,
) -> Report:
    """One row per name. operations: scalar operations of the row; read_bytes, write_bytes: to and from DRAM.

    A row takes the longer of operations / lanes and its bytes at DRAM bandwidth. Every byte passes the SRAM once each
    way. Operations cost what the vector unit says; without a figure they are unpriced, with the rows' bytes.
    """
    if not isinstance(chip, Accelerator):
        raise TypeError(f"vector_report: needs an Accelerator, whose vector unit does the work, got {chip!r}")
    unit, sram, dram = chip.levels
    work = _column("operations", operations, len(names))
    reads = _column("read_bytes", read_bytes, len(names)).astype(np.int64)
    writes = _column("write_bytes", write_bytes, len(names)).astype(np.int64)
    moved = reads + writes
    compute = np.ceil(work / unit.lanes).astype(np.int64)
    memory = np.ceil(moved * (8.0 / dram.bits_each_cycle(chip.clock))).astype(np.int64)
    cycles = np.maximum(compute, memory)
    zero = np.zeros(len(names), dtype=np.int64)
    prices = {
        "SRAM reads": sram.read_pj_per_bit,
        "SRAM writes": sram.write_pj_per_bit,
        "DRAM reads": dram.read_pj_per_bit,
        "DRAM writes": dram.write_pj_per_bit,
    }
    unpriced = chip_unpriced(chip)
    if unit.energy_pj_per_operation is None:
        unpriced.append(
            Unpriced(name="vector operations", reason="the vector unit has no energy figure", bytes=float(moved.sum()))
        )
    else:
        prices["vector operations"] = unit.energy_pj_per_operation
    where = setting(chip)
    return Report(
        accelerator=where.label,
        clock_hz=where.clock_hz,
        rows=tuple(names),
        columns={
            "macs": zero,
            "cycles": cycles,
            "compute_cycles": compute,
            "stall_cycles": cycles - compute,
            "bytes": moved,
            "tensor_bytes": moved,
            "bits_x_bits": zero.astype(np.float64),
            "bytes_only_cycles": memory,
            "utilization": zero.astype(np.float64),
            "bound": np.where(memory > compute, "dram", "vector"),
        },
        counts={
            "SRAM reads": moved * 8.0,
            "SRAM writes": moved * 8.0,
            "DRAM reads": reads * 8.0,
            "DRAM writes": writes * 8.0,
            "vector operations": work,
        },
        prices=prices,
        area=dict(setting_area(where)),
        leakage=chip.leakage,
        peak_macs_per_cycle=chip.peak_macs_per_cycle,
        dram_pj_per_byte=8 * dram.read_pj_per_bit.value,
        assumptions=assumptions(where),
        unpriced=tuple(unpriced),
    )


def _column(what: str, values: ArrayLike, rows: int) -> NDArray[np.float64]:
    """One value, or one a row, as a row each. float64 holds bytes to 2**53."""
    column = np.asarray(values, dtype=np.float64)
    if column.shape not in ((), (1,), (rows,)):
        raise ValueError(f"vector_report: {what} needs one value or one for each of {rows} names, got {column.shape}")
    if not np.isfinite(column).all() or (column < 0).any():
        raise ValueError("vector_report: operations and bytes must be 0 or more, and finite")
    return np.broadcast_to(column, (rows,))
