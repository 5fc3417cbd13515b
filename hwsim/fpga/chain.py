"""Slices in a column: A, B, P, the carry and the product's sign go from each to the next on wires of their own.

column = Chain(slices=(Dsp48e2(), Dsp48e2()))
states = column.reset()
outs, states = column.step(states, (Inputs(a=1, b=2), Inputs(a=3, b=4, opmode=MULTIPLY | Z_PCIN)))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hwsim.fpga.dsp48e2 import Dsp48e2, Inputs, Outputs, State


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """Slices from the bottom of the column up; the first takes its cascade inputs from its own `Inputs`."""

    slices: tuple[Dsp48e2, ...]

    def __post_init__(self) -> None:
        if not self.slices:
            raise ValueError("Chain: needs at least one slice, got none")

    def reset(self, shape: tuple[int, ...] = ()) -> tuple[State, ...]:
        """All registers of all slices zero."""
        return tuple(part.reset(shape) for part in self.slices)

    def step(self, states: Sequence[State], inputs: Sequence[Inputs]) -> tuple[tuple[Outputs, ...], tuple[State, ...]]:
        """One clock cycle of the column; inputs: one per slice, whose cascade pins are overridden above the first.

        Raises ValueError where states or inputs are not one per slice, and what Dsp48e2.step raises.
        """
        if not len(states) == len(inputs) == len(self.slices):
            raise ValueError(
                f"Chain: has {len(self.slices)} slices and needs as many states and inputs, "
                f"got {len(states)} and {len(inputs)}"
            )
        outs: list[Outputs] = []
        after: list[State] = []
        for part, state, pins in zip(self.slices, states, inputs, strict=True):
            if outs:
                below = outs[-1]
                pins = replace(
                    pins,
                    acin=below.acout,
                    bcin=below.bcout,
                    pcin=below.pcout,
                    carrycascin=below.carrycascout,
                    multsignin=below.multsignout,
                )
            out, new = part.step(state, pins)
            outs.append(out)
            after.append(new)
        return tuple(outs), tuple(after)
