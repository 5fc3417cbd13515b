"""And-inverter graphs: what abc reads. A literal is twice a variable, plus one where it is complemented; 0 is false."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwsim.rtl.boolean import Tree
from hwsim.rtl.levelise import Levelised
from hwsim.rtl.netlist import ONE, ZERO
from hwsim.rtl.ripple import ripple

FALSE = 0
TRUE = 1


class Graph:
    """Inputs first, then and-gates, each of two earlier literals; equal gates are one gate."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.gates: list[tuple[int, int]] = []
        self._known: dict[tuple[int, int], int] = {}

    def input(self, index: int) -> int:
        """Literal of input `index`."""
        return 2 * (index + 1)

    def both(self, a: int, b: int) -> int:
        """a and b."""
        a, b = max(a, b), min(a, b)
        if b == FALSE or a == b ^ 1:
            return FALSE
        if b == TRUE or a == b:
            return a
        if (a, b) not in self._known:
            self._known[a, b] = 2 * (self.inputs + len(self.gates) + 1)
            self.gates.append((a, b))
        return self._known[a, b]

    def either(self, a: int, b: int) -> int:
        """a or b."""
        return self.both(a ^ 1, b ^ 1) ^ 1

    def differ(self, a: int, b: int) -> int:
        """a exclusive-or b."""
        return self.either(self.both(a, b ^ 1), self.both(a ^ 1, b))

    def choose(self, condition: int, yes: int, no: int) -> int:
        """yes where the condition holds, else no."""
        return self.either(self.both(condition, yes), self.both(condition ^ 1, no))

    def add(self, a: Sequence[int], b: Sequence[int], carry: int = FALSE) -> list[int]:
        """Sum of two equally wide numbers, least significant bit first, modulo their width."""
        return ripple(self, a, b, carry)

    def copy(self, levelised: Levelised, literals: Mapping[int, int]) -> dict[int, int]:
        """Literals of all nets of a netlist, given those of its inputs and of its registers' states."""
        nets = {ZERO: FALSE, ONE: TRUE, **literals}
        for one in levelised.assignments:
            if one.net not in nets:  # a net that was given is cut loose from what drives it
                nets[one.net] = self.tree(one.tree, one.pins, nets)
        return nets

    def tree(self, tree: Tree, pins: Mapping[str, int], nets: Mapping[int, int]) -> int:
        """Literal of a boolean function."""
        if tree[0] == "pin":
            return nets[pins[str(tree[1])]]
        if tree[0] in "01":
            return TRUE if tree[0] == "1" else FALSE
        parts = [self.tree(part, pins, nets) for part in tree[1:] if isinstance(part, tuple)]
        if tree[0] == "not":
            return parts[0] ^ 1
        return {"and": self.both, "or": self.either, "xor": self.differ}[tree[0]](parts[0], parts[1])

    def aiger(self, outputs: Sequence[int]) -> bytes:
        """The graph in the binary AIGER format (Biere, "The AIGER And-Inverter Graph format", 2007)."""
        variables = self.inputs + len(self.gates)
        head = f"aig {variables} {self.inputs} 0 {len(outputs)} {len(self.gates)}\n"
        body = bytearray()
        for index, (a, b) in enumerate(self.gates):  # a > b, and the gate's own literal is above both
            gate = 2 * (self.inputs + index + 1)
            for delta in (gate - a, a - b):
                while delta >= 128:
                    body.append(delta & 127 | 128)
                    delta >>= 7
                body.append(delta)
        return head.encode() + "".join(f"{literal}\n" for literal in outputs).encode() + bytes(body)

    def evaluate(self, outputs: Sequence[int], values: Sequence[int]) -> list[int]:
        """Values of the outputs for one row of inputs."""
        bits = [0, *values]
        for a, b in self.gates:
            bits.append((bits[a >> 1] ^ a & 1) & (bits[b >> 1] ^ b & 1))
        return [bits[literal >> 1] ^ literal & 1 for literal in outputs]
