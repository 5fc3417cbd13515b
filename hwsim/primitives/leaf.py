"""Leaf: a primitive of datapaths, described once: its ports, its Verilog, its integer meaning, its gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

Ints = Any  # an array of unsigned integers: int64 where every width is at most 62, of Python integers beyond
Widths = Mapping[str, int]


class Leaf:
    """What every primitive says of itself; a frozen dataclass of integer parameters derives from it.

    kind: its name in trees and in Verilog. Ports are unsigned bit vectors; a leaf that reads one as two's complement
    says so. `model` takes and gives arrays of the ports' bit patterns.
    """

    kind: ClassVar[str]

    def inputs(self) -> Widths:
        """Input ports and their widths, in order."""
        raise NotImplementedError

    def outputs(self) -> Widths:
        """Output ports and their widths, in order."""
        raise NotImplementedError

    def verilog(self) -> str:
        """The body of the module: everything between its port list and endmodule."""
        raise NotImplementedError

    def model(self, **ports: Ints) -> dict[str, Ints]:
        """The outputs of these inputs."""
        raise NotImplementedError

    def gates(self, g: Any, **ports: list[int]) -> dict[str, list[int]]:
        """The outputs as literals of a network (circuit/gates.py), from literals of the inputs, the lowest first."""
        raise NotImplementedError

    @property
    def parameters(self) -> dict[str, int]:
        """Parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    @property
    def module_name(self) -> str:
        """One Verilog module a kind and parameters: "adder_width32"."""
        parts = [f"{name}{_short(value)}" for name, value in self.parameters.items() if value or name not in _OPTIONAL]
        return "_".join([self.kind, *parts])


_OPTIONAL = ("signed_a", "signed_b", "contents")


def _short(value: int) -> str:
    """Large constants (tables) by a digest, so that names stay readable."""
    if value < 2**31:
        return str(value)
    import hashlib

    return hashlib.sha256(hex(value).encode()).hexdigest()[:8]


def log2_ceil(count: int) -> int:
    """Smallest s with 2**s >= count; 0 for counts below 2."""
    return max(count - 1, 0).bit_length()


def low(x: Ints, width: int) -> Ints:
    """The `width` low bits."""
    return x & ((1 << width) - 1)


def signed(x: Ints, width: int) -> Ints:
    """A bit pattern read as two's complement."""
    return x - ((x >> (width - 1)) << width) if width else x


def shifted_left(x: Ints, amount: Ints, width: int) -> Ints:
    """x * 2**amount, its `width` low bits; amounts of any size."""
    reach = np.minimum(amount, width)
    return np.where(amount >= width, x * 0, low(x << (reach - (reach == width)), width))


def shifted_right(x: Ints, amount: Ints, width: int) -> Ints:
    """x // 2**amount of a pattern of `width` bits; amounts of any size."""
    return x >> np.minimum(amount, width)
