"""Verilog to gates by yosys (the pyosys package): synthesis for a target, and plain elaboration as its reference.

    synthesis = synthesise(verilog, "mac", CmosGates())
    synthesis.netlist.histogram(), synthesis.statistics["gate_equivalents"]

Every job runs in a fresh fork of one process that has yosys loaded, so a design's netlist does not depend on what was
synthesised before it, yosys' log reaches no terminal, and yosys ending its process on an error ends the job only.
"""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.rtl.netlist import Cell, Netlist
from hwsim.rtl.session import Job, YosysError, session, yosys_version

__all__ = ["CmosGates", "Elaboration", "Liberty", "Synthesis", "Target", "YosysError", "elaborate", "synthesise"]

_TRANSISTORS_PER_FLIP_FLOP = 16  # as `stat -tech cmos` counts them
_TRANSISTORS_PER_NAND2 = 4


@dataclass(frozen=True, slots=True)
class CmosGates:
    """No library: static CMOS gates, priced by their transistors."""


@dataclass(frozen=True, slots=True)
class Liberty:
    """A liberty file and the constraints abc maps under.

    path: .lib or .lib.gz. driving_cell: drives each input. load_ff: on each output. dont_use: cell names, * allowed.
    """

    path: Path | str
    period_ps: float
    driving_cell: str
    load_ff: float
    dont_use: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.period_ps > 0 and self.load_ff >= 0):
            raise ValueError(
                f"period_ps {self.period_ps}, load_ff {self.load_ff}: give a positive period and a load >= 0"
            )


Target = CmosGates | Liberty


@dataclass(frozen=True, slots=True, kw_only=True)
class Elaboration:
    """Gates that no logic optimiser has touched. signals: name in the Verilog (`u.acc` in an instance u) -> its nets.

    Registers carry the name of a signal bit they hold: `acc[3]`.
    """

    netlist: Netlist
    signals: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """netlist: the mapped gates, registers named as in `before`. before: the same design ahead of abc.

    statistics, for CmosGates: transistors and gate_equivalents (transistors / 4) of the combinational gates; for
    Liberty: area_um2, sequential_area_um2 and abc_delay_ps (abc's estimate; none without gates); for both: cells,
    flip_flops.
    script: yosys' commands. Digests are sha256; library_digest is of the uncompressed file.
    """

    netlist: Netlist
    before: Elaboration
    statistics: Mapping[str, float]
    yosys_version: str
    script: tuple[str, ...]
    script_digest: str
    log_digest: str
    library_digest: str | None


def synthesise(verilog: str, top: str, target: Target, *, booth: bool = True, seconds: int = 600) -> Synthesis:
    """The gates of a module, flattened, for a target.

    booth: multipliers are Booth encoded. seconds: the most it may take (TimeoutError). Raises ImportError without
    pyosys; YosysError (a ValueError) for Verilog that yosys refuses, with its message; ValueError for a library that is
    not there or lacks what the design needs.
    """
    # synth would run abc and opt itself; stopped before them, `before` is written with the names of all signals.
    script = [
        "read_verilog design.v",
        f"synth -flatten {'-booth ' if booth else ''}-nofsm -noabc -latches error -top {top}",
        *_write("before.json"),
        "abc",
        "opt -fast",
    ]
    files = {"design.v": verilog}
    staged, library_digest = None, None
    if isinstance(target, Liberty):
        text = _read_library(target)
        library_digest = hashlib.sha256(text).hexdigest()
        staged = session().stage(library_digest, text)
        unused = "".join(f" -dont_use {name}" for name in target.dont_use)
        files["constraints"] = f"set_driving_cell {target.driving_cell}\nset_load {target.load_ff:g}\n"
        script.append(f"dfflibmap -liberty library.lib{unused}")
        script.append(f"abc -liberty library.lib -constr constraints -D {target.period_ps:.10g}{unused}")
        statistics = "stat -liberty library.lib -json"
    else:
        # Enables and synchronous resets become gates, as they do with a library that has plain flip-flops only.
        script += ["dfflegalize -cell $_DFF_P_ 01", "abc -g cmos"]
        statistics = "stat -tech cmos -json"
    script += [*_write("after.json"), f"tee -q -o statistics.json {statistics}"]
    about = f"module {top!r}" + (f" with library {target.path}" if isinstance(target, Liberty) else "")
    try:
        job = session().run(script, files, library=staged, seconds=seconds, about=about)
    except YosysError as error:
        raise _explained(error, target) from None
    before, after = (_module(job, name, top) for name in ("before.json", "after.json"))
    names = _register_names(before)
    netlist = _named(Netlist.from_yosys_json({"modules": {top: after}}, top), names)
    _check_mapped(netlist, target)
    return Synthesis(
        netlist=netlist,
        before=_elaboration(before, top, names),
        statistics=_statistics(job, netlist, target),
        yosys_version=yosys_version(),
        script=tuple(script),
        script_digest=hashlib.sha256("\n".join([*script, files.get("constraints", "")]).encode()).hexdigest(),
        log_digest=hashlib.sha256(job.log.encode()).hexdigest(),
        library_digest=library_digest,
    )


def elaborate(verilog: str, top: str, *, seconds: int = 600) -> Elaboration:
    """The Verilog as plain gates: operators expanded one by one (array multipliers), nothing shared or optimised.

    Raises as `synthesise` does.
    """
    script = ["read_verilog design.v", f"hierarchy -check -top {top}", "proc", "flatten", "opt_clean", "memory_map",
              "techmap", "simplemap", *_write("before.json")]  # fmt: skip
    job = session().run(script, {"design.v": verilog}, library=None, seconds=seconds, about=f"module {top!r}")
    module = _module(job, "before.json", top)
    return _elaboration(module, top, _register_names(module))


def _write(file: str) -> list[str]:
    """Undefined bits become 0, unused gates go, the netlist is written."""
    return ["setundef -zero", "opt_clean", f"write_json {file}"]


def _module(job: Job, file: str, top: str) -> dict[str, Any]:
    module: dict[str, Any] = json.loads(job.files[file])["modules"][top]
    return module


def _elaboration(module: Mapping[str, Any], top: str, names: Mapping[str, str]) -> Elaboration:
    netlist = _named(Netlist.from_yosys_json({"modules": {top: module}}, top), names)
    constants = {"0": 0, "1": 1}
    # A wire that nothing reads or drives has bits that are x: no nets, so no signal.
    signals = {
        name: tuple(constants.get(bit, bit) for bit in wire["bits"])
        for name, wire in module["netnames"].items()
        if not wire["hide_name"] and not {"x", "z"} & set(wire["bits"])
    }
    return Elaboration(netlist=netlist, signals=signals)


def _register_names(module: Mapping[str, Any]) -> dict[str, str]:
    """Instance of a flip-flop -> the shortest name of a signal bit that is its output; the instance where none is."""
    bits: dict[int, list[str]] = {}
    for name, wire in module["netnames"].items():
        if not wire["hide_name"]:
            for index, bit in enumerate(wire["bits"]):
                bits.setdefault(bit, []).append(f"{name}[{index}]" if len(wire["bits"]) > 1 else name)
    names = {}
    for name, cell in module["cells"].items():
        if cell["type"].startswith("$_") and "Q" in cell["connections"]:
            names[name] = min(bits.get(cell["connections"]["Q"][0], [name]), key=lambda text: (len(text), text))
    return names


def _named(netlist: Netlist, names: Mapping[str, str]) -> Netlist:
    cells = tuple(Cell(names.get(cell.name, cell.name), cell.kind, cell.pins) for cell in netlist.cells)
    return Netlist(netlist.name, netlist.inputs, netlist.outputs, cells)


def _explained(error: YosysError, target: Target) -> YosysError:
    """The error with what to do, where yosys' words do not say it."""
    text = str(error)
    if "async set or reset" in text:
        return YosysError(
            f"{text}; registers have synchronous resets only: leave the reset out of the sensitivity list"
        )
    if "cannot be legalized" in text and isinstance(target, Liberty):
        return YosysError(
            f"library {target.path} has no usable flip-flop; give a library with rising-edge D flip-flops (ff groups), "
            f"or fewer dont_use ({text})"
        )
    return error


def _check_mapped(netlist: Netlist, target: Target) -> None:
    """What a library has no cell for is left as yosys' own gate."""
    left = [kind for kind in netlist.histogram() if kind.startswith("$_")]
    if isinstance(target, Liberty) and left:
        raise YosysError(f"library {target.path} has no cells for {', '.join(left)} of {netlist.name!r}")


def _statistics(job: Job, netlist: Netlist, target: Target) -> dict[str, float]:
    found = json.loads(job.files["statistics.json"])["design"]
    cells = len(netlist.cells)
    flip_flops = sum(count for kind, count in netlist.histogram().items() if kind.startswith("$_DFF_"))
    if isinstance(target, CmosGates):
        transistors = int(str(found["estimated_num_transistors"]).rstrip("+")) - _TRANSISTORS_PER_FLIP_FLOP * flip_flops
        return {
            "transistors": transistors,
            "gate_equivalents": transistors / _TRANSISTORS_PER_NAND2,
            "cells": cells,
            "flip_flops": flip_flops,
        }
    registers = re.findall(r"mapped (\d+) \$_\w+_ cells to", job.log)
    delays = re.findall(r"^ABC: WireLoad .*Delay =\s*([\d.]+) ps", job.log, re.MULTILINE)
    return {
        "area_um2": float(found.get("area", 0.0)),
        "sequential_area_um2": float(found.get("sequential_area", 0.0)),
        "cells": cells,
        "flip_flops": sum(map(int, registers)),
        **({"abc_delay_ps": float(delays[-1])} if delays else {}),
    }


def _read_library(target: Liberty) -> bytes:
    """The bytes of a liberty file. Raises ValueError saying what is wrong with it."""
    path = Path(target.path)
    if not path.is_file():
        raise ValueError(f"there is no liberty file {path}; give the path of a .lib or .lib.gz")
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"liberty file {path} does not decompress ({error}); fetch it again") from error
    cells = {name.decode() for name in re.findall(rb'\bcell\s*\(\s*"?([^\s")]+)', data)}
    if not re.search(rb"^\s*library\s*\(", data, re.MULTILINE) or not cells:
        raise ValueError(f"{path} is no liberty file with cells: it needs a library (...) group with cell (...) groups")
    if target.driving_cell not in cells:  # abc would only mention it and go on without
        near = difflib.get_close_matches(target.driving_cell, sorted(cells), n=3, cutoff=0.0)
        raise ValueError(f"driving_cell {target.driving_cell!r} is not in {path}; near it are {', '.join(near)}")
    return data
