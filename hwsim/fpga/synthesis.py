"""LUTs, flip-flops, DSPs and carries of a Verilog module on AMD families, by yosys' synth_xilinx.

    synth_xilinx(text, "mac", family="xcup")           # FpgaCounts(luts=32, flip_flops=32, dsps=1, carries=8, ...)
    synth_xilinx(text, "mac", family="xcup", dsp=False)

yosys packs registers and additions into the DSP48E1 of xc7 but only the multiplier into the DSP48E2 of xcup: there a
product's accumulator stays in LUTs unless the Verilog instantiates the slice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hwsim.rtl.session import session, yosys_version

Family = Literal["xc7", "xcup"]
FAMILIES = {"xc7": "7 series: LUT6, DSP48E1 (25x18)", "xcup": "UltraScale+: LUT6, DSP48E2 (27x18)"}

_KINDS = {
    "luts": re.compile(
        r"LUT[1-6]|INV|SRL16E|SRLC32E"
    ),  # an inverter is a LUT1; a shift register is a LUT in memory mode
    "flip_flops": re.compile(r"FD[RSCP]E(_1)?"),
    "dsps": re.compile(r"DSP48E[12]"),
    "carries": re.compile(r"CARRY[48]"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FpgaCounts:
    """Cells of a flattened module without pins and clock buffers.

    luts: LUT1 to LUT6 one each (a device may put two small ones into one LUT6). carries: CARRY4 or CARRY8 blocks.
    cells: every kind with its count; what is none of the four, wide multiplexers for one, is only there.
    """

    family: str
    luts: int
    flip_flops: int
    dsps: int
    carries: int
    cells: tuple[tuple[str, int], ...]
    yosys_version: str
    source_digest: str


def synth_xilinx(
    verilog: str, top: str, *, family: Family = "xcup", dsp: bool = True, seconds: int = 300
) -> FpgaCounts:
    """Counts after synthesis, before packing and placement (about 10 s a design, most of it yosys' own start).

    family: "xc7" or "xcup". dsp=False builds multipliers of LUTs. Raises ValueError for another family and for Verilog
    yosys refuses (YosysError), ImportError without pyosys, TimeoutError after `seconds`.
    """
    if family not in FAMILIES:
        known = ", ".join(f"{name} ({what})" for name, what in FAMILIES.items())
        raise ValueError(f"synth_xilinx: family must be one of {known}; got {family!r}")
    options = "" if dsp else " -nodsp"
    script = [
        "read_verilog design.v",
        f"synth_xilinx -family {family} -top {top} -flatten -noiopad -noclkbuf{options}",
        "tee -q -o statistics.json stat -json",
    ]
    job = session().run(script, {"design.v": verilog}, library=None, seconds=seconds, about=f"module {top!r}")
    cells = json.loads(job.files["statistics.json"])["design"]["num_cells_by_type"]
    return _counts(family, cells, verilog)


def _counts(family: str, cells: Mapping[str, int], verilog: str) -> FpgaCounts:
    cells = {kind: n for kind, n in cells.items() if kind != "$scopeinfo"}  # a note of yosys', no hardware
    unmapped = sorted(kind for kind in cells if kind.startswith("$"))
    if unmapped:
        raise ValueError(
            f"synth_xilinx: {', '.join(unmapped)} found no cell of {family}; is it a latch or a tri-state?"
        )
    sums = {name: sum(n for kind, n in cells.items() if of.fullmatch(kind)) for name, of in _KINDS.items()}
    return FpgaCounts(
        family=family,
        **sums,
        cells=tuple(sorted(cells.items())),
        yosys_version=yosys_version(),
        source_digest=hashlib.sha256(verilog.encode()).hexdigest(),
    )
