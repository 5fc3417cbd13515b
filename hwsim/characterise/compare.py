"""Somebody's Verilog beside our unit of the same function: one flow for both, areas at equal delay.

    python -m hwsim.characterise.compare --verilog adder.v --top fp16_add --unit add_float16 --liberty sg13g2.lib.gz
        --connect a=x --connect b=y --connect sum=z --tie rounding=0

--connect OURS=THEIRS where a port has another name; --tie an input of theirs to a constant; outputs left over are
dropped. --strip makes wires of their registers, for a pipeline without feedback. Before areas count, both netlists are
simulated against the formats' reference: ours must agree, and where theirs does not, it is said how often and in what.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import formats as nf
from formats.exact import Dyadic, Special, Value
from hwsim.characterise.counterparts import Unit, names, unit
from hwsim.characterise.libraries import LIBRARIES
from hwsim.circuit import Module
from hwsim.liberty.cells import Library, read_library
from hwsim.liberty.models import functions
from hwsim.liberty.parse import LibertyError
from hwsim.liberty.timing import Conditions, static_timing
from hwsim.rtl.gates import GateSimulator
from hwsim.rtl.session import session, yosys_version
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import Liberty, Synthesis, synthesise

TOP = "compared"
VECTORS = 4096
POINTS = 6
RELAXED_PS = 1e6
_REGISTERS = "\n".join(
    f'(* techmap_celltype = "${kind}" *) module strip_{kind} (input CLK{pins}, input [WIDTH-1:0] D, '
    f"output [WIDTH-1:0] Q); parameter WIDTH = 1; {parameters} assign Q = D; endmodule"
    for kind, pins, parameters in (
        ("dff", "", "parameter CLK_POLARITY = 1;"),
        ("adff", ", ARST", "parameter CLK_POLARITY = 1; parameter ARST_POLARITY = 1; parameter ARST_VALUE = 0;"),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreign:
    """Verilog (or the SystemVerilog that yosys reads) and how its top module is used.

    connect: our port -> theirs; ports of the same name need none.  tie: their input -> a Verilog constant.
    strip: registers become wires.  files are read in order; includes only lie beside them.
    """

    files: tuple[Path, ...]
    top: str
    connect: Mapping[str, str] = field(default_factory=dict)
    tie: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    defines: Mapping[str, str] = field(default_factory=dict)
    includes: tuple[Path, ...] = ()
    strip: bool = False

    def __post_init__(self) -> None:
        for path in (*self.files, *self.includes):
            if not path.is_file():
                raise ValueError(f"there is no file {path}; give Verilog files that exist")
        twice = [name for name, n in Counter(path.name for path in (*self.files, *self.includes)).items() if n > 1]
        if twice:
            raise ValueError(f"files of one name, {', '.join(twice)}: they are read from one folder; rename one")


@dataclass(frozen=True, slots=True)
class Point:
    """Of an area-delay curve."""

    period_ps: float
    area_um2: float
    delay_ps: float


def wrapped(foreign: Foreign, module: Module) -> str:
    """Their unit as a module `compared` with our ports, elaborated: plain Verilog.

    Raises ValueError for ports that are not there, of other widths, or left open; YosysError for what yosys refuses.
    """
    ours = {wire.name: wire.width for wire in module.inputs} | {name: row.width for name, row in module.outputs}
    unknown = sorted(set(foreign.connect) - set(ours))
    if unknown:
        raise ValueError(f"our unit has no port {', '.join(unknown)}; it has {', '.join(ours)}")
    theirs = {name: foreign.connect.get(name, name) for name in ours}
    ports = [
        f"{'input' if any(w.name == n for w in module.inputs) else 'output'} [{b - 1}:0] {n}" for n, b in ours.items()
    ]
    pins = [f".{pin}({name})" for name, pin in theirs.items()] + [f".{pin}({x})" for pin, x in foreign.tie.items()]
    parameters = ", ".join(f".{name}({value})" for name, value in foreign.parameters.items())
    given = f" #({parameters})" if parameters else ""
    wrapper = f"module {TOP} ({', '.join(ports)}); {foreign.top}{given} theirs ({', '.join(pins)}); endmodule\n"
    files = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in foreign.files + foreign.includes}
    files |= {"bitcost_wrapper.v": wrapper, "bitcost_strip.v": _REGISTERS}
    defines = "".join(f" -D{name}={value}" for name, value in foreign.defines.items())
    script = [
        "logger -nowarn .*",  # others' style is not ours to refuse
        *(f"read_verilog -sv -I.{defines} {path.name}" for path in foreign.files),
        "read_verilog bitcost_wrapper.v",
        f"hierarchy -check -top {TOP}",
        "proc",
        "write_json ports.json",
    ]
    if foreign.strip:
        # No opt_dff: it takes a register whose clock is tied for a constant.
        script += ["flatten", "opt_expr", "dffunmap", "techmap -map bitcost_strip.v", "opt_expr", "opt_clean"]
    script += [f"hierarchy -top {TOP}", "write_verilog prepared.v"]
    job = session().run(script, files, library=None, seconds=300, about=f"module {foreign.top!r}")
    _check_ports(json.loads(job.files["ports.json"])["modules"], foreign, theirs, ours, module)
    return job.files["prepared.v"]


def _check_ports(
    modules: Mapping[str, Any], foreign: Foreign, theirs: Mapping[str, str], ours: Mapping[str, int], module: Module
) -> None:
    ports = modules[modules[TOP]["cells"]["theirs"]["type"]]["ports"]
    outputs = {name for name, _ in module.outputs}
    for name, pin in theirs.items():
        width, direction = len(ports[pin]["bits"]), ports[pin]["direction"]
        if width != ours[name] or direction != ("output" if name in outputs else "input"):
            raise ValueError(
                f"port {pin} of {foreign.top} is an {direction} of {width} bits; our {name} is an "
                f"{'output' if name in outputs else 'input'} of {ours[name]}: connect another, or set a parameter"
            )
    used = {*theirs.values(), *foreign.tie}
    left = [pin for pin, port in ports.items() if port["direction"] == "input" and pin not in used]
    if left:
        raise ValueError(f"inputs {', '.join(left)} of {foreign.top} are open; --connect or --tie them")


def curve(text: str, top: str, path: str, library: Library, periods: Sequence[float], how: Liberty) -> list[Point]:
    """Area and delay of a module for each period that abc maps for. how: driving cell and load."""
    conditions = Conditions(driving_cell=how.driving_cell, output_load_ff=how.load_ff)
    return [
        _point(synthesise(text, top, Liberty(path, period, how.driving_cell, how.load_ff)), library, conditions, period)
        for period in periods
    ]


def _point(made: Synthesis, library: Library, conditions: Conditions, period_ps: float) -> Point:
    delay = static_timing(made.netlist, library, conditions).delay_ps
    return Point(float(period_ps), made.statistics["area_um2"], delay)


def area_at(points: Sequence[Point], delay_ps: float) -> float | None:
    """The least area that meets a delay: between two points of the curve's lower edge on the line; None if none does.

    Slower than the smallest netlist, nothing is gained.
    """
    edge: list[Point] = []
    for point in sorted(points, key=lambda x: (x.delay_ps, x.area_um2)):
        if not edge or point.area_um2 < edge[-1].area_um2:
            edge.append(point)
    if delay_ps < edge[0].delay_ps:
        return None
    for fast, slow in pairwise(edge):
        if delay_ps <= slow.delay_ps:
            part = (delay_ps - fast.delay_ps) / (slow.delay_ps - fast.delay_ps)
            return fast.area_um2 + part * (slow.area_um2 - fast.area_um2)
    return edge[-1].area_um2


def ratios(ours: Sequence[Point], theirs: Sequence[Point]) -> list[dict[str, float]]:
    """Areas at every delay of either curve that both reach, fastest first; the last is where both are smallest."""
    first = max(min(point.delay_ps for point in points) for points in (ours, theirs))
    found = []
    for delay in sorted({first, *(point.delay_ps for point in (*ours, *theirs) if point.delay_ps >= first)}):
        a, b = area_at(ours, delay), area_at(theirs, delay)
        assert a is not None
        assert b is not None
        found.append({"delay_ps": delay, "ours_um2": a, "theirs_um2": b, "ratio": a / b})
    return found


def _area_delay(points: Sequence[Point]) -> float:
    """The least area times delay of a curve."""
    return min(point.area_um2 * point.delay_ps for point in points)


def differences(what: Unit, vectors: Mapping[str, list[int]], got: Sequence[int]) -> dict[str, int]:
    """How many outputs are not the reference's, by what is special about them; empty where all agree."""
    found: Counter[str] = Counter()
    for at, code in enumerate(got):
        row = {name: patterns[at] for name, patterns in vectors.items()}
        right = what.expected(**row)
        if code != right:
            found[_kind(what, row, right, code)] += 1
    return dict(sorted(found.items()))


def _kind(what: Unit, row: Mapping[str, int], right: int, code: int) -> str:
    if not isinstance(what.result, nf.Minifloat):
        return "another integer"
    wanted, found = what.result.value(right), what.result.value(code)
    operands = [(port.fmt, port.value(x)) for name, port in what.ports.items() for x in port.codes(row[name])]
    if wanted is Special.NAN and found is Special.NAN:
        return "another code of NaN"
    if isinstance(wanted, Dyadic) and isinstance(found, Dyadic) and wanted.fraction == found.fraction:
        return "sign of zero"
    if any(isinstance(value, Special) for _, value in operands):
        return "infinite or NaN operand"
    if any(_subnormal(fmt, value) for fmt, value in (*operands, (what.result, wanted))):
        return "subnormal"
    return "overflow" if isinstance(wanted, Special) or isinstance(found, Special) else "another number"


def _subnormal(fmt: nf.Scalar | int, value: Value) -> bool:
    return isinstance(fmt, nf.Minifloat) and isinstance(value, Dyadic) and 0 < abs(value.fraction) < 2**fmt.min_exponent


def compare(
    foreign: Foreign, name: str, path: str, how: Liberty | None = None, *, points: int = POINTS, vectors: int = VECTORS
) -> dict[str, Any]:
    """Both curves, the ratio at equal delay and what theirs does otherwise; see the module.

    how: driving cell and load, for a library that is not known here. points: periods. Raises ValueError saying what is
    wrong with the unit's name, the Verilog or the library; ArithmeticError where our own netlist is wrong.
    """
    what = unit(name)
    library = read_library(path)
    if how is None:
        if library.name not in LIBRARIES:
            raise ValueError(f"library {library.name} is not one of {', '.join(LIBRARIES)}: say driving cell and load")
        known = LIBRARIES[library.name]
        how = Liberty(path, known.period_ps, known.driving_cell, known.load_ff)
    module = what.build()
    texts = {"ours": (verilog(module), module.name), "theirs": (wrapped(foreign, module), TOP)}
    drawn = what.vectors(vectors)
    stimuli = {port: np.array(patterns, dtype=object) for port, patterns in drawn.items()}
    (output,) = (name for name, _ in module.outputs)
    conditions = Conditions(driving_cell=how.driving_cell, output_load_ff=how.load_ff)
    relaxed, different = {}, {}
    for side, (text, top) in texts.items():
        made = synthesise(text, top, Liberty(path, RELAXED_PS, how.driving_cell, how.load_ff))
        got = GateSimulator(made.netlist, functions(library)).evaluate(stimuli)[output]
        different[side] = differences(what, drawn, [int(code) for code in got])
        relaxed[side] = _point(made, library, conditions, RELAXED_PS)
        if not relaxed[side].delay_ps:
            raise ValueError(f"no output of {top} depends on an input: its ports are tied or connected wrongly")
    if different["ours"]:
        raise ArithmeticError(f"our {name} is not what the formats say: {different['ours']}")
    slowest = [point.delay_ps for point in relaxed.values()]
    periods = np.geomspace(max(slowest), 0.4 * min(slowest), points - 1).tolist()
    curves = {
        side: [relaxed[side], *curve(text, top, path, library, periods, how)] for side, (text, top) in texts.items()
    }
    equal = ratios(curves["ours"], curves["theirs"])
    return {
        "unit": name,
        "top": foreign.top,
        "library": library.name,
        "sha256": library.sha256,
        "tool": f"yosys {yosys_version()} (pyosys)",
        "vectors": len(next(iter(drawn.values()))),
        "differences": different["theirs"],
        **{
            side: [
                {"period_ps": round(p.period_ps), "area_um2": round(p.area_um2, 2), "delay_ps": round(p.delay_ps, 1)}
                for p in points_
            ]
            for side, points_ in curves.items()
        },
        "equal_delay": [{key: round(x, 4) for key, x in row.items()} for row in equal],
        "fastest_ps": {side: round(min(p.delay_ps for p in points_), 1) for side, points_ in curves.items()},
        "area_delay_ratio": round(_area_delay(curves["ours"]) / _area_delay(curves["theirs"]), 4),
        "ratio_fastest": round(equal[0]["ratio"], 4),
        "ratio_smallest": round(equal[-1]["ratio"], 4),
        "ratio_worst": round(max(row["ratio"] for row in equal), 4),
    }


def report(found: Mapping[str, Any]) -> str:
    """The comparison for a terminal."""
    lines = [f"{found['top']} beside our {found['unit']}, {found['library']}"]
    different = ", ".join(f"{n} {kind}" for kind, n in found["differences"].items()) or "none"
    lines.append(f"differences from the reference in {found['vectors']} vectors: {different}")
    for side in ("ours", "theirs"):
        points = sorted(found[side], key=lambda point: point["delay_ps"])
        lines.append(f"{side:7}" + "  ".join(f"{p['area_um2']:.0f} um2 at {p['delay_ps']:.0f} ps" for p in points))
    for row in found["equal_delay"]:
        areas = f"{row['ours_um2']:.0f} against {row['theirs_um2']:.0f} um2"
        lines.append(f"at {row['delay_ps']:.0f} ps: {areas}, x {row['ratio']:.3f}")
    lines.append(f"area times delay: x {found['area_delay_ratio']:.3f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Compare, and print; 2 for bad input."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        foreign = Foreign(
            files=tuple(asked.verilog),
            includes=tuple(asked.include),
            top=asked.top,
            strip=asked.strip,
            **{name: _pairs(name, getattr(asked, name)) for name in ("connect", "tie", "parameters", "defines")},
        )
        how = None
        if asked.driving_cell is not None:
            how = Liberty(asked.liberty, RELAXED_PS, asked.driving_cell, asked.load_ff)
        if asked.points < 2 or asked.vectors < 1:
            raise ValueError(f"points {asked.points}, vectors {asked.vectors}: give at least 2 and 1")
        found = compare(foreign, asked.unit, asked.liberty, how, points=asked.points, vectors=asked.vectors)
    except (OSError, ValueError, LibertyError) as error:
        parser.error(str(error))
    print(json.dumps(found, indent=1) if asked.json else report(found))
    return 0


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE, as often as it is given."""
    pairs = [text.partition("=") for text in given]
    wrong = [text for text, (_, equals, value) in zip(given, pairs, strict=True) if not (equals and value)]
    if wrong:
        raise ValueError(f"--{option.removesuffix('s')} {wrong[0]}: give NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hwsim.characterise.compare", description=__doc__.split("\n")[0])
    parser.add_argument("--verilog", action="append", type=Path, required=True, metavar="FILE", help="in order")
    parser.add_argument("--include", action="append", type=Path, default=[], metavar="FILE", help="what they include")
    parser.add_argument("--top", required=True, help="their module")
    parser.add_argument("--unit", required=True, help=f"ours: {', '.join(names())}, or others of these kinds")
    parser.add_argument("--liberty", required=True, metavar="PATH", help="a .lib or .lib.gz")
    parser.add_argument("--connect", action="append", default=[], metavar="OURS=THEIRS")
    parser.add_argument("--tie", action="append", default=[], metavar="THEIRS=CONSTANT")
    parser.add_argument("--parameter", action="append", default=[], dest="parameters", metavar="NAME=VALUE")
    parser.add_argument("--define", action="append", default=[], dest="defines", metavar="NAME=VALUE")
    parser.add_argument("--strip", action="store_true", help="make wires of their registers")
    parser.add_argument("--driving-cell", help="drives each input, for a library that is not known here")
    parser.add_argument("--load-ff", type=float, default=0.0, help="on each output, likewise")
    parser.add_argument("--points", type=int, default=POINTS, help="of each curve")
    parser.add_argument("--vectors", type=int, default=VECTORS, help="of the check")
    parser.add_argument("--json", action="store_true", help="print all as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
