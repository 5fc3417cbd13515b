"""Clock of a Verilog module placed and routed on an open FPGA family: yosys, then nextpnr.

    placed = place_and_route(text, "mac", family="ecp5")
    placed.clock_hz, placed.clocks_hz, placed.cells        # median over seeds, every seed, what it took

No AMD device has an open place and route; ECP5 (LUT4, 18x18 multipliers) and iCE40 (LUT4) stand for what wires do to
the order of designs, not for another family's megahertz. The module is framed by registers, so that every path counts.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any, Literal

from hwsim.rtl.session import session, yosys_version
from hwsim.rtl.yosys import elaborate

OpenFamily = Literal["ecp5", "ice40"]
_TARGET_MHZ = 400  # above what designs reach: the placer goes on trying


@dataclass(frozen=True, kw_only=True, slots=True)
class _Device:
    title: str
    no_dsp: str
    options: tuple[str, ...]

    def command(self, family: str, dsp: bool, top: str) -> str:
        return f"synth_{family} -top {top}{'' if dsp else self.no_dsp} -json mapped.json"


DEVICES: dict[OpenFamily, _Device] = {
    "ecp5": _Device(
        title="Lattice LFE5U-25F, CABGA381, speed 6",
        no_dsp=" -nodsp",
        options=("--25k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained"),
    ),
    "ice40": _Device(
        title="Lattice iCE40 HX8K, CT256 (no multipliers)",
        no_dsp="",
        options=("--hx8k", "--package", "ct256", "--pcf-allow-unconstrained"),
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """clocks_hz: one a seed. cells: used cells of the device by kind, the frame's registers among them
    (frame_flip_flops). critical_ns: the longest path between registers, of the median seed."""

    family: str
    device: str
    clocks_hz: tuple[float, ...]
    seeds: tuple[int, ...]
    critical_ns: float
    cells: tuple[tuple[str, int], ...]
    frame_flip_flops: int
    nextpnr_version: str
    yosys_version: str

    @property
    def clock_hz(self) -> float:
        """Median over the seeds."""
        return median_low(self.clocks_hz)


def place_and_route(
    verilog: str,
    top: str,
    *,
    family: OpenFamily = "ecp5",
    dsp: bool = True,
    seeds: tuple[int, ...] = (1, 2, 3),
    seconds: int = 300,
) -> Placed:
    """Largest clock after place and route; a few seconds a seed for a multiply-accumulate.

    The module has one clock named clk, or none. dsp=False builds multipliers of LUTs. Raises ImportError where nextpnr
    is missing, ValueError for another family, for Verilog yosys refuses and for a design that does not fit.
    """
    if family not in DEVICES:
        raise ValueError(f"place_and_route: family must be one of {', '.join(DEVICES)}; got {family!r}")
    if not seeds:
        raise ValueError("place_and_route: needs at least one seed, got none")
    runner = nextpnr(family)
    device = DEVICES[family]
    framed, frame_bits = frame(verilog, top)
    script = ["read_verilog -DFPGA design.v", device.command(family, dsp, "framed")]
    job = session().run(script, {"design.v": framed}, library=None, seconds=seconds, about=f"module {top!r}")
    reports = []
    with tempfile.TemporaryDirectory(prefix="bitcost-nextpnr-") as folder:
        (Path(folder) / "mapped.json").write_text(job.files["mapped.json"], encoding="utf-8")
        for seed in seeds:
            options = ["--json", "mapped.json", "--report", "report.json", "--seed", str(seed), "--quiet"]
            options += ["--freq", str(_TARGET_MHZ), "--timing-allow-fail", *device.options]
            _run([*runner, *options], folder, seconds, top)
            reports.append(json.loads((Path(folder) / "report.json").read_text(encoding="utf-8")))
        version = _run([*runner, "--version"], folder, seconds, top)
    return placed(family, reports, seeds, frame_bits, version.rpartition("Version ")[2].strip(") \n"))


def placed(
    family: OpenFamily, reports: list[dict[str, Any]], seeds: tuple[int, ...], frame_bits: int, version: str
) -> Placed:
    """What nextpnr's reports, one a seed, say. Raises ValueError for a report without a clock."""
    clocks = []
    for report in reports:
        if len(report["fmax"]) != 1:
            raise ValueError(
                f"place_and_route: the module must have one clock, nextpnr found {len(report['fmax'])} "
                f"({', '.join(report['fmax']) or 'no path between registers'})"
            )
        (clock,) = report["fmax"].values()
        clocks.append(1e6 * float(clock["achieved"]))
    middle = reports[clocks.index(median_low(clocks))]
    used = {kind: int(cells["used"]) for kind, cells in middle["utilization"].items() if cells["used"]}
    return Placed(
        family=family,
        device=DEVICES[family].title,
        clocks_hz=tuple(clocks),
        seeds=seeds,
        critical_ns=1e9 / median_low(clocks),
        cells=tuple(sorted(used.items())),
        frame_flip_flops=frame_bits,
        nextpnr_version=version,
        yosys_version=yosys_version(),
    )


def nextpnr(family: str) -> list[str]:
    """The command that runs nextpnr: the one on the path, else the package from PyPI. Raises ImportError without."""
    if (found := shutil.which(f"nextpnr-{family}")) is not None:
        return [found]
    package = f"yowasp_nextpnr_{family}"
    if importlib.util.find_spec(package) is None:
        raise ImportError(
            f"place_and_route: needs nextpnr for {family}, as nextpnr-{family} on the path or as a package: "
            f"pip install {'bitcost[fpga]' if family == 'ecp5' else package.replace('_', '-')}"
        )
    return [sys.executable, "-c", f"import sys, {package} as y; sys.exit(y.run_nextpnr_{family}(sys.argv[1:]))"]


def frame(verilog: str, top: str) -> tuple[str, int]:
    """The module inside one named `framed` that has a register at every data pin; and the frame's flip-flops."""
    ports = elaborate(verilog, top).netlist
    inputs = {name: len(nets) for name, nets in ports.inputs.items() if name != "clk"}
    outputs = {name: len(nets) for name, nets in ports.outputs.items()}
    clock = [".clk(clk)"] if "clk" in ports.inputs else []
    pins = [*clock, *(f".{name}({name}_held)" for name in inputs), *(f".{name}({name}_now)" for name in outputs)]
    lines = [
        "module framed (input wire clk, "
        + ", ".join(
            [f"input wire [{width - 1}:0] {name}" for name, width in inputs.items()]
            + [f"output reg [{width - 1}:0] {name}" for name, width in outputs.items()]
        )
        + ");",
        *(f"  reg [{width - 1}:0] {name}_held;" for name, width in inputs.items()),
        *(f"  wire [{width - 1}:0] {name}_now;" for name, width in outputs.items()),
        f"  {top} inside ({', '.join(pins)});",
        "  always @(posedge clk) begin",
        *(f"    {name}_held <= {name};" for name in inputs),
        *(f"    {name} <= {name}_now;" for name in outputs),
        "  end",
        "endmodule",
    ]
    return verilog + "\n" + "\n".join(lines) + "\n", sum(inputs.values()) + sum(outputs.values())


def _run(command: list[str], folder: str, seconds: int, top: str) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError(
            f"nextpnr did not finish module {top!r} in {seconds} s; pass a larger limit or a smaller design"
        ) from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-1:]
        raise ValueError(f"nextpnr refused module {top!r}: {'; '.join(errors)}")
    return done.stdout + done.stderr
