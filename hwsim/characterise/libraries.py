"""Standard-cell libraries by the name their files carry, and the constraints their tables are made under.

Constraints move areas by some per cent, so a table says them; they are those of this project's first measurements.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraints:
    """table: the technology's name here.  period_ps: what abc maps for; tight, so that most PEs miss it.

    driving_cell: drives every input.  load_ff: on every output bit.
    """

    table: str
    period_ps: float
    driving_cell: str
    load_ff: float


LIBRARIES = {
    "sky130_fd_sc_hd__tt_025C_1v80": Constraints(
        table="sky130hd", period_ps=3000, driving_cell="sky130_fd_sc_hd__buf_1", load_ff=5.0
    ),
    "sg13g2_stdcell_typ_1p20V_25C": Constraints(
        table="ihp130", period_ps=2500, driving_cell="sg13g2_buf_4", load_ff=6.0
    ),
    "gt2_6t_w31_lvt_tt_0p7v25c": Constraints(
        table="gt2n", period_ps=250, driving_cell="gt2_6t_buf_x2_w31_lvt", load_ff=1.0
    ),
}
