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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hwsim.fpga.cells import plain
from hwsim.rtl.session import session, yosys_version
from hwsim.rtl.yosys import Elaboration, Synthesis

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapped:
    """counts, and the netlist in plain gates: synthesis.before is the design ahead of its LUTs, for a proof."""

    counts: FpgaCounts
    synthesis: Synthesis


def synth_xilinx(
    verilog: str, top: str, *, family: Family = "xcup", dsp: bool = True, seconds: int = 300
) -> FpgaCounts:
    """Counts after synthesis, before packing and placement (some 10 s a design, 4 of them yosys' own start).

    family: "xc7" or "xcup". dsp=False builds multipliers of LUTs. Raises ValueError for another family and for Verilog
    yosys refuses (YosysError), ImportError without pyosys, TimeoutError after `seconds`.
    """
    ((found, _, _, _),) = _run(verilog, top, ((family, dsp),), seconds)
    return found


def mapped(
    verilog: str, top: str, builds: Sequence[tuple[Family, bool]] = (("xcup", False),), *, seconds: int = 300
) -> tuple[Mapped, ...]:
    """The design built for each (family, dsp), its cells as plain gates. Raises what synth_xilinx does, and ValueError
    for a cell that has no model (see hwsim.fpga.cells)."""
    found = []
    for counts, script, before, after in _run(verilog, top, builds, seconds):
        netlist, _ = plain(after, top)
        first, signals = plain(before, top)
        synthesis = Synthesis(
            netlist=netlist,
            before=Elaboration(netlist=first, signals={name: tuple(nets) for name, nets in signals.items()}),
            statistics={},
            yosys_version=counts.yosys_version,
            script=script,
            script_digest=hashlib.sha256("\n".join(script).encode()).hexdigest(),
            log_digest="",
            library_digest=None,
        )
        found.append(Mapped(counts=counts, synthesis=synthesis))
    return tuple(found)


def script(top: str, family: Family, dsp: bool) -> tuple[str, ...]:
    """Yosys' commands from the Verilog read on, the last of them from ahead of the LUTs on.

    Block memories are left out: a module's tables are logic, and looking for them takes a quarter of the time.
    """
    options = f"-family {family} -top {top} -flatten -noiopad -noclkbuf{'' if dsp else ' -nodsp'}"
    stages = ("prepare:map_memory", "map_ffram:map_luts", "map_luts:")
    return tuple(f"synth_xilinx {options} -run {stage}" for stage in stages)


_Run = tuple[FpgaCounts, tuple[str, ...], dict[str, Any], dict[str, Any]]


def _run(verilog: str, top: str, builds: Sequence[tuple[Family, bool]], seconds: int) -> list[_Run]:
    """Counts, script, and the modules ahead of the LUTs and at the end, of every build; libraries are read once.

    Each is built twice and the one of fewer LUTs taken. Which of an adder's operands enters its carry chain, and so
    whether the gate before it costs a LUT of its own, hangs on the order in which yosys has met their names, and that
    is another the second time: 200 and 166 LUTs for a multiply-accumulate of two int8 that starts anew at a signal.
    """
    for family, _ in builds:
        if family not in FAMILIES:
            known = ", ".join(f"{name} ({what})" for name, what in FAMILIES.items())
            raise ValueError(f"synth_xilinx: family must be one of {known}; got {family!r}")
    commands = ["read_verilog -DFPGA design.v", f"synth_xilinx -top {top} -run begin:prepare", "design -save begin"]
    every = [(build, order) for order in range(2) for build in range(len(builds))]
    for build, order in every:
        *first, last = script(top, *builds[build])
        commands += ["design -load begin", *first, *_write(top, f"before{build}{order}.json"), last]
        commands += [*_write(top, f"after{build}{order}.json"), f"tee -q -o statistics{build}{order}.json stat -json"]
    job = session().run(commands, {"design.v": verilog}, library=None, seconds=seconds, about=f"module {top!r}")
    found: dict[int, _Run] = {}
    for build, order in every:
        cells = json.loads(job.files[f"statistics{build}{order}.json"])["design"]["num_cells_by_type"]
        counts = _counts(builds[build][0], cells, verilog)
        if build not in found or counts.luts < found[build][0].luts:
            before, after = (
                json.loads(job.files[f"{name}{build}{order}.json"])["modules"][top] for name in ("before", "after")
            )
            found[build] = (counts, script(top, *builds[build]), before, after)
    return [found[build] for build in range(len(builds))]


def _write(top: str, file: str) -> list[str]:
    """A copy of the design without undefined bits is written; the design stays as it is."""
    return ["design -push-copy", f"select {top}", "setundef -zero", "opt_clean", f"write_json -selected {file}",
            "design -pop"]  # fmt: skip


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
