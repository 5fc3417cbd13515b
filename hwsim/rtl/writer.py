"""Module -> Verilog-2005: one Verilog module a description, every signal by its name, nothing inlined.

print(verilog(pe.module()))
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from hwsim.circuit import Bits, Module
from hwsim.circuit.bits import Constant, Part, Slice
from hwsim.primitives import Leaf


def verilog(module: Module) -> str:
    """The module, all below it and every leaf it uses, leaves first."""
    leaves = sorted({leaf.module_name: leaf for leaf in module.leaves()}.items())
    texts = [_leaf(leaf) for _, leaf in leaves]
    texts += [_module(part) for part in module.modules()]
    return "\n".join(texts)


def _leaf(leaf: Leaf) -> str:
    clock = ["input wire clk"] if leaf.kind == "register" else []
    ports = [
        *clock,
        *(f"input wire {_range(width)}{name}" for name, width in leaf.inputs().items()),
        *(f"output wire {_range(width)}{name}" for name, width in leaf.outputs().items()),
    ]
    return f"module {leaf.module_name} ({', '.join(ports)});\n{leaf.verilog()}\nendmodule\n"


def _module(module: Module) -> str:
    ports = [
        *(["input wire clk"] if module.clocked else []),
        *(f"input wire {_range(wire.width)}{wire.name}" for wire in module.inputs),
        *(f"output wire {_range(row.width)}{name}" for name, row in module.outputs),
    ]
    lines = [f"module {module.name} (", ",\n".join(f"  {port}" for port in ports), ");"]
    for part in module.instances:
        lines += [f"  wire {_range(wire.width)}{wire.name};" for _, wire in part.outputs]
    for part in module.instances:
        clocked = part.of.clocked if isinstance(part.of, Module) else part.of.kind == "register"
        name = part.of.name if isinstance(part.of, Module) else part.of.module_name
        pins = [
            *(["  .clk(clk)"] if clocked else []),
            *(f"  .{port}({expression(row)})" for port, row in part.inputs),
            *(f"  .{port}({wire.name})" for port, wire in part.outputs),
        ]
        lines.append(f"  {name} {part.name} (" + ",".join(pins).replace("  .", " .").strip() + ");")
    lines += [f"  assign {name} = {expression(row)};" for name, row in module.outputs]
    return "\n".join([*lines, "endmodule", ""])


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def expression(row: Bits) -> str:
    """A row of wires in Verilog."""
    parts = [_repeated(text, len(list(same))) for text, same in groupby(_texts(row))]
    return parts[0] if len(parts) == 1 else "{" + ", ".join(parts) + "}"


def _texts(row: Bits) -> Iterator[str]:
    """The parts, highest first."""
    for part in reversed(row.parts):
        yield _part(part)


def _repeated(text: str, count: int) -> str:
    return text if count == 1 else f"{{{count}{{{text}}}}}"


def _part(part: Part) -> str:
    if isinstance(part, Constant):
        return f"{part.width}'b{part.value:b}" if part.width <= 4 else f"{part.width}'h{part.value:x}"
    assert isinstance(part, Slice)
    if part.width == part.wire.width:
        return part.wire.name
    if part.width == 1:
        return f"{part.wire.name}[{part.low}]"
    return f"{part.wire.name}[{part.low + part.width - 1}:{part.low}]"
