"""A library's cells as the gate simulator wants them: functions(library) -> kind -> CellModel."""

from __future__ import annotations

from hwsim.liberty.cells import Library
from hwsim.rtl.models import CellModel, FlipFlop


def functions(library: Library) -> dict[str, CellModel]:
    """A model of every usable cell that has an output function; latches, three-state and the like are left out."""
    return {kind: model for kind in library if (model := _model(library, kind)) is not None}


def _model(library: Library, kind: str) -> CellModel | None:
    group = library.groups[kind]
    outputs = {
        name: pin.simple["function"]
        for pin in group.of("pin")
        for name in pin.arguments
        if pin.simple.get("direction") == "output" and "function" in pin.simple
    }
    if not outputs or library.unusable(kind):
        return None
    flip_flops = list(group.of("ff"))
    if not flip_flops:
        return CellModel(outputs=outputs)
    ff = flip_flops[0]
    return CellModel(
        outputs=outputs,
        flip_flop=FlipFlop(
            clocked_on=ff.simple["clocked_on"],
            next_state=ff.simple["next_state"],
            state=ff.arguments[0],
            inverse=ff.arguments[1],
            clear=ff.simple.get("clear", "0"),
            preset=ff.simple.get("preset", "0"),
        ),
    )
