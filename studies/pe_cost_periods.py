"""Area and delay of a few PEs for several periods that abc maps for; every netlist checked before its figures count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hwsim.characterise.libraries import LIBRARIES, Constraints
from hwsim.liberty.cells import Library, read_library
from hwsim.liberty.models import functions
from hwsim.liberty.timing import Conditions, static_timing
from hwsim.pe.catalogue import Listed, catalogue
from hwsim.pe.units.unit import MultiplyAccumulate
from hwsim.rtl.writer import verilog
from hwsim.rtl.yosys import Liberty, Synthesis, synthesise
from studies.common import Row
from studies.pe_cost_curves import PES

RELAXED_PS = 1e5  # slower than all of them
# Of the delay under no constraint: abc's sizing moves it by some per cent, and then has nothing left to gain.
SHARES = (0.98, 0.96, 0.93, 0.9, 0.5)
STAGES = (1, 2)  # ranks of registers before the accumulation, at the two extreme periods


def rows(
    path: str,
    names: Sequence[str] = tuple(PES),
    shares: Sequence[float] = SHARES,
    stages: Sequence[int] = STAGES,
) -> Iterator[Row]:
    """A row a netlist, the relaxed one of each PE first.

    path: a liberty file of a library that hwsim.characterise knows. Raises ValueError for another, ArithmeticError for
    a netlist that does not do what its PE must.
    """
    library, how = known(path)
    for name in names:
        for ranks in (0, *stages):
            listed = cut(catalogue()[name], ranks)
            relaxed = _row(name, listed, ranks, path, library, how, RELAXED_PS)
            yield relaxed
            for share in shares if not ranks else shares[-1:]:
                period_ps = float(round(share * float(str(relaxed["delay_ps"]))))
                yield _row(name, listed, ranks, path, library, how, period_ps)


def known(path: str) -> tuple[Library, Constraints]:
    """The library and what it is mapped under. Raises ValueError for one that hwsim.characterise does not know."""
    library = read_library(path)
    if library.name not in LIBRARIES:
        raise ValueError(f"library {library.name} is not one of {', '.join(LIBRARIES)}: give one of these")
    return library, LIBRARIES[library.name]


def cut(listed: Listed, ranks: int) -> Listed:
    """The multiply-accumulate with that many ranks of registers."""
    assert isinstance(listed.what, MultiplyAccumulate)
    return replace(listed, what=MultiplyAccumulate(what=replace(listed.what.what, stages=ranks)))


def _row(name: str, listed: Listed, ranks: int, path: str, library: Library, how: Constraints, period_ps: float) -> Row:
    module = listed.module()
    made = synthesise(verilog(module), module.name, Liberty(path, period_ps, how.driving_cell, how.load_ff))
    status, vectors = checked(name, listed, made, library)
    conditions = Conditions(driving_cell=how.driving_cell, output_load_ff=how.load_ff)
    return {
        "pe": name,
        "stages": ranks,
        "technology": how.table,
        "period_ps": period_ps,
        "area_um2": round(made.statistics["area_um2"], 2),
        "delay_ps": round(static_timing(made.netlist, library, conditions).delay_ps, 1),
        "status": status,
        "vectors": vectors,
        "tool": f"yosys {made.yosys_version} (pyosys)",
        "library_sha256": library.sha256,
    }


def checked(name: str, listed: Listed, made: Synthesis, library: Library) -> tuple[str, int]:
    """ "proved" or "tested", and vectors simulated. Raises ArithmeticError for a netlist that is wrong."""
    proof = listed.check(made, functions(library))
    if proof.status not in ("proved", "tested"):
        raise ArithmeticError(f"pe_cost: {name} is {proof.status}: {proof.counterexample}")
    return proof.status, proof.vectors
