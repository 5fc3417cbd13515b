"""Module: a wired tree of leaves. One description gives its Verilog, its integer meaning and its price.

m = Build("scaled_sum")
a, b = m.input("a", 8), m.input("b", 8)
total = m.leaf("add", "adder", width=9, a=a.zero_extend(9), b=b.zero_extend(9))
m.output("total", total)
unit = m.done()
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hwsim.circuit.bits import Bits, Constant, Slice, Wire, bits
from hwsim.primitives import Leaf, primitive

Ports = tuple[tuple[str, int], ...]  # names and widths
_set = object.__setattr__  # how a frozen description gets its fields
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WORDS = frozenset(
    {"always", "and", "assign", "begin", "buf", "case", "default", "edge", "else", "end", "endcase", "endmodule", "for"}
    | {"if", "initial", "inout", "input", "integer", "module", "nand", "negedge", "nor", "not", "or", "output"}
    | {"parameter", "posedge", "reg", "signed", "table", "wire", "while", "xnor", "xor"}
)


@dataclass(frozen=True, slots=True, init=False)
class Instance:
    """One copy of a leaf or a module: a row of wires for every input port, a wire of its own for every output port."""

    name: str
    of: Leaf | Module
    inputs: tuple[tuple[str, Bits], ...]
    outputs: tuple[tuple[str, Wire], ...]

    def __init__(
        self,
        name: str,
        of: Leaf | Module,
        inputs: tuple[tuple[str, Bits], ...],
        outputs: tuple[tuple[str, Wire], ...],
    ) -> None:
        _set(self, "name", name)
        _set(self, "of", of)
        _set(self, "inputs", inputs)
        _set(self, "outputs", outputs)


@dataclass(frozen=True, slots=True)
class Module:
    """Ports, instances, and which wires the outputs are. Made by Build; equal modules have equal Verilog.

    clocked: whether a register is in it, or below; it then has an input clk besides `inputs`.
    """

    name: str
    inputs: tuple[Wire, ...]
    outputs: tuple[tuple[str, Bits], ...]
    instances: tuple[Instance, ...]
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        # Two modules of one name and as many parts are told apart where they meet: there are few.
        _set(self, "_hash", hash((self.name, len(self.instances))))

    def __hash__(self) -> int:
        """Made once: modules are keys wherever something is read off their tree."""
        return self._hash

    @property
    def clocked(self) -> bool:
        """Whether there is a register in it."""
        return any(
            part.of.clocked if isinstance(part.of, Module) else part.of.kind == "register" for part in self.instances
        )

    def output_widths(self) -> dict[str, int]:
        """Output ports and their widths."""
        return {name: row.width for name, row in self.outputs}

    def leaves(self) -> Counter[Leaf]:
        """How many of each leaf the whole tree holds."""
        found: Counter[Leaf] = Counter()
        for part in self.instances:
            found.update(part.of.leaves() if isinstance(part.of, Module) else [part.of])
        return found

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each description once, those below first."""
        seen: set[str] = set()
        for part in self.instances:
            if isinstance(part.of, Module):
                for below in part.of.modules():
                    if below.name not in seen:
                        seen.add(below.name)
                        yield below
        yield self


@dataclass(slots=True)
class Build:
    """A module in the making. Names are lower case, unique in it, and no words of Verilog."""

    name: str
    _inputs: list[Wire] = field(default_factory=list)
    _outputs: list[tuple[str, Bits]] = field(default_factory=list)
    _instances: list[Instance] = field(default_factory=list)
    _open: dict[str, tuple[int, Wire]] = field(default_factory=dict)  # registers whose d is not driven yet
    _names: set[str] = field(default_factory=lambda: {"clk"})

    def input(self, name: str, width: int) -> Bits:
        """A new input port."""
        self._inputs.append(Wire(self._own(name), width))
        return bits(self._inputs[-1])

    def output(self, name: str, row: Bits) -> None:
        """A new output port that is these wires."""
        self._outputs.append((self._own(name), row))

    def leaf(self, name: str, kind: str, **ports_and_parameters: Any) -> Any:
        """A leaf; Bits are its input ports, integers its parameters. Returns its output, or a dict of several.

        A leaf without wires to give (a shifter by nothing) is not made where its caller leaves it out; widths must fit.
        """
        rows: dict[str, Bits] = {}
        parameters: dict[str, Any] = {}
        for key, value in ports_and_parameters.items():
            (rows if isinstance(value, Bits) else parameters)[key] = value
        if kind == "register":
            raise ValueError("Build: a register is made by `register` and driven by `drive`")
        return self._instance(name, kind, *_leaf(kind, **parameters), rows)

    def module(self, name: str, what: Module, **rows: Bits) -> Any:
        """A module inside this one. Returns its output, or a dict of several."""
        return self._instance(name, what.name, what, what.inputs, tuple(what.output_widths().items()), rows)

    def register(self, name: str, width: int) -> Bits:
        """A register's output; `drive` says what it takes at the clock."""
        wire = Wire(self._own(name), width)
        self._open[name] = (len(self._instances), wire)
        what, _, _ = _leaf("register", width=width)
        self._instances.append(Instance(f"{name}_register", what, (), (("q", wire),)))
        self._names.add(f"{name}_register")
        return bits(wire)

    def drive(self, name: str, row: Bits) -> None:
        """What the register takes at the clock's rising edge."""
        place, wire = self._open.pop(name)
        if row.width != wire.width:
            raise ValueError(f"Build {self.name!r}: register {name!r} has {wire.width} wires, got {row.width}")
        made = self._instances[place]
        self._instances[place] = Instance(made.name, made.of, (("d", row),), made.outputs)

    def done(self) -> Module:
        """The module."""
        if self._open:
            raise ValueError(f"Build {self.name!r}: registers {', '.join(self._open)} are not driven")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"Build: a module's name is lower case letters, digits and _, got {self.name!r}")
        return Module(self.name, tuple(self._inputs), tuple(self._outputs), tuple(self._instances))

    def _own(self, name: str) -> str:
        if not _is_name(name):
            raise ValueError(
                f"Build {self.name!r}: a name is lower case letters, digits and _, no word of Verilog, got {name!r}"
            )
        if name in self._names:
            raise ValueError(f"Build {self.name!r}: there is a {name!r} already")
        self._names.add(name)
        return name

    def _instance(
        self, name: str, kind: str, what: Leaf | Module, wanted: Ports, given: Ports, rows: dict[str, Bits]
    ) -> Any:
        inputs = []
        for port, width in wanted:
            row = rows.get(port)
            if row is None or row.width != width:
                raise self._misfit(name, kind, wanted, rows)
            inputs.append((port, row))
        if len(rows) != len(wanted):
            raise self._misfit(name, kind, wanted, rows)
        self._own(name)
        if len(given) == 1:
            ((port, width),) = given
            wire = Wire(name + "_out", width)
            self._names.add(wire.name)
            self._instances.append(Instance(name, what, tuple(inputs), ((port, wire),)))
            return bits(wire)
        wires = tuple([(port, Wire(f"{name}_{port}", width)) for port, width in given])
        self._names.update([wire.name for _, wire in wires])
        self._instances.append(Instance(name, what, tuple(inputs), wires))
        return {port: bits(wire) for port, wire in wires}

    def _misfit(self, name: str, kind: str, wanted: Ports, rows: dict[str, Bits]) -> ValueError:
        """What is wrong with the rows given for ports."""
        if set(rows) != {port for port, _ in wanted}:
            ports = ", ".join(port for port, _ in wanted)
            return ValueError(f"Build {self.name!r}: {name!r} ({kind}) takes {ports}, got {', '.join(rows)}")
        port, width = next((port, width) for port, width in wanted if rows[port].width != width)
        return ValueError(
            f"Build {self.name!r}: {name!r} ({kind}) takes {width} wires at {port}, got {rows[port].width}"
        )


@lru_cache(maxsize=65536, typed=True)
def _leaf(kind: str, **parameters: int) -> tuple[Leaf, Ports, Ports]:
    """The leaf and its ports: one object each, however many modules have it."""
    what = primitive(kind, parameters)
    return what, tuple(what.inputs().items()), tuple(what.outputs().items())


@lru_cache(maxsize=65536)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in _WORDS


def sources(row: Bits) -> Iterator[Wire]:
    """The bundles a row reads."""
    for part in row.parts:
        if isinstance(part, Slice):
            yield part.wire
        else:
            assert isinstance(part, Constant)
