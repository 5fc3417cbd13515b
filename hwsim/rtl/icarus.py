"""Verilog in Icarus Verilog (iverilog, vvp): a simulator we did not write, for RTL and for netlists.

simulate(verilog, "mac", {"a": 8, "b": 8, "acc": 32}, {"a": a, "b": b}, clock="clk", preset={"acc": 0})["acc"]
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.rtl.boolean import Tree
from hwsim.rtl.levelise import levelise
from hwsim.rtl.models import YOSYS_CELLS, CellModel
from hwsim.rtl.netlist import ONE, ZERO, Netlist


class IcarusMissing(RuntimeError):
    """iverilog or vvp is not installed."""


def why_no_icarus() -> str | None:
    """Why `simulate` cannot run here; None where it can."""
    absent = [tool for tool in ("iverilog", "vvp") if shutil.which(tool) is None]
    return f"needs {' and '.join(absent)}: apt install iverilog (or your system's package)" if absent else None


def simulate(
    verilog: str,
    top: str,
    widths: Mapping[str, int],
    inputs: Mapping[str, Sequence[int] | NDArray[np.int64]],
    *,
    clock: str | None = None,
    preset: Mapping[str, int] | None = None,
    signed: Sequence[str] = (),
    seconds: int = 300,
) -> dict[str, NDArray[np.object_]]:
    """Outputs [n] as Python ints, None where a bit is x or z.

    widths: of every port but the clock. inputs: integers [n] a port, modulo 2**width; the other ports are outputs. With
    a clock, row i is cycle i: outputs are read after its inputs are there and before its rising edge. preset: registers
    of the top module (`u.acc` in an instance u) -> their values before the first cycle; without one they are x. signed:
    outputs to be read as two's complement. Raises IcarusMissing; ValueError with iverilog's message for Verilog that it
    refuses.
    """
    reason = why_no_icarus()
    if reason is not None:
        raise IcarusMissing(reason)
    counts = {len(values) for values in inputs.values()}
    if len(counts) != 1 or not set(inputs) <= set(widths):
        raise ValueError(
            f"inputs of lengths {sorted(counts)} for ports {sorted(inputs)}; widths names {sorted(widths)}"
        )
    rows = counts.pop()
    outputs = [name for name in widths if name not in inputs]
    with tempfile.TemporaryDirectory(prefix="bitcost-icarus-") as name:
        folder = Path(name)
        (folder / "design.v").write_text(verilog, encoding="utf-8")
        for port, values in inputs.items():
            mask = (1 << widths[port]) - 1
            (folder / f"{port}.hex").write_text(
                "\n".join(f"{int(value) & mask:x}" for value in values), encoding="ascii"
            )
        bench = _bench(top, widths, list(inputs), outputs, rows, clock, preset or {})
        (folder / "bench.v").write_text(bench, encoding="utf-8")
        _call(["iverilog", "-g2005", "-o", "bench.vvp", "-s", "bench", "bench.v", "design.v"], folder, seconds)
        _call(["vvp", "-n", "bench.vvp"], folder, seconds)
        lines = (folder / "outputs.txt").read_text(encoding="ascii").splitlines()
    if len(lines) != rows:
        raise ValueError(f"vvp wrote {len(lines)} of {rows} rows: {top!r} ends the simulation itself")
    results = {name: np.empty(rows, object) for name in outputs}
    for row, line in enumerate(lines):
        for port, text in zip(outputs, line.split(), strict=True):
            results[port][row] = _value(text, widths[port], port in signed)
    return results


def verilog_of(netlist: Netlist, models: Mapping[str, CellModel] = YOSYS_CELLS, *, initial: bool = True) -> str:
    """The netlist as Verilog of its cells' functions. initial: registers start at 0, else at x."""
    levelised = levelise(netlist, models)
    lines = [f"module {netlist.name} ({', '.join([*netlist.inputs, *netlist.outputs])});"]
    names = {ZERO: "1'b0", ONE: "1'b1"}
    for port, nets in netlist.inputs.items():
        lines.append(f"    input [{len(nets) - 1}:0] {port};")
        names |= {net: f"{port}[{bit}]" for bit, net in enumerate(nets)}
    for port, nets in netlist.outputs.items():
        lines.append(f"    output [{len(nets) - 1}:0] {port};")
    for one in levelised.assignments:
        names[one.net] = f"n{one.net}"
        lines.append(f"    wire n{one.net};")
    for register in levelised.registers:
        names[register.state] = f"q{register.state}"
        lines.append(f"    reg q{register.state};" + (f" initial q{register.state} = 0;" if initial else ""))
    for one in levelised.assignments:
        lines.append(f"    assign n{one.net} = {_expression(one.tree, one.pins, names)};")
    for register in levelised.registers:
        assert levelised.clock is not None
        following = _expression(register.next_state, register.pins, names)
        edge = "posedge" if levelised.rising else "negedge"
        lines.append(f"    always @({edge} {names[levelised.clock]}) q{register.state} <= {following};")
    for port, nets in netlist.outputs.items():
        lines.append(f"    assign {port} = {{{', '.join(names[net] for net in reversed(nets))}}};")
    return "\n".join([*lines, "endmodule", ""])


def _expression(tree: Tree, pins: Mapping[str, int], names: Mapping[int, str]) -> str:
    if tree[0] == "pin":
        return names[pins[str(tree[1])]]
    if tree[0] in "01":
        return f"1'b{tree[0]}"
    parts = [_expression(part, pins, names) for part in tree[1:] if isinstance(part, tuple)]
    return (
        f"~{parts[0]}"
        if tree[0] == "not"
        else f"({parts[0]} {dict(zip(('and', 'or', 'xor'), '&|^', strict=True))[tree[0]]} {parts[1]})"
    )


def _bench(
    top: str,
    widths: Mapping[str, int],
    inputs: Sequence[str],
    outputs: Sequence[str],
    rows: int,
    clock: str | None,
    preset: Mapping[str, int],
) -> str:
    """A testbench that applies row after row and writes the outputs in hexadecimal."""
    lines = ["`timescale 1ns/1ns", "module bench;", "    integer row, file;"]
    for port in inputs:
        lines.append(f"    reg [{widths[port] - 1}:0] {port}, rows_{port} [0:{rows - 1}];")
    for port in outputs:
        lines.append(f"    wire [{widths[port] - 1}:0] {port};")
    ports = [*inputs, *outputs]
    if clock is not None:
        lines.append(f"    reg {clock};")
        ports.append(clock)
    lines.append(f"    {top} dut ({', '.join(f'.{port}({port})' for port in ports)});")
    lines.append("    initial begin")
    for port in inputs:
        lines.append(f'        $readmemh("{port}.hex", rows_{port});')
    lines.append('        file = $fopen("outputs.txt", "w");')
    if clock is not None:
        lines.append(f"        {clock} = 0; #1;")
    lines += [f"        dut.{register} = {value};" for register, value in preset.items()]
    lines.append(f"        for (row = 0; row < {rows}; row = row + 1) begin")
    lines += [f"            {port} = rows_{port}[row];" for port in inputs]
    lines.append("            #1;")
    lines.append(
        f'            $fdisplay(file, "{" ".join("%h" for _ in outputs)}"{"".join(f", {o}" for o in outputs)});'
    )
    if clock is not None:
        lines.append(f"            {clock} = 1; #1; {clock} = 0; #1;")
    lines += ["        end", "        $fclose(file);", "        $finish;", "    end", "endmodule", ""]
    return "\n".join(lines)


def _call(command: Sequence[str], folder: Path, seconds: int) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        said = "; ".join((done.stderr or done.stdout).strip().splitlines()[:3])
        raise ValueError(f"{command[0]} refused the Verilog: {said}")


def _value(text: str, width: int, signed: bool) -> int | None:
    try:
        value = int(text, 16)
    except ValueError:  # an x or z digit
        return None
    return value - (1 << width) if signed and value >> (width - 1) else value
