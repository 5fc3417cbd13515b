"""Packing schemes by name.

int8x2: two INT8 products that share an operand, in fields of 18 bits; int4x4: four INT4 with 3 bits of padding;
overpacked-d: fields that overlap by d bits; restored-d: the same with the overlapped bits put right.
Sources: hwsim/fpga/packing.py.
"""

from __future__ import annotations

from dataclasses import replace

from hwsim.fpga.packing import Lane, Packing, grid

_WP486, _WP521 = "AMD WP486/WP487", "AMD WP521"
_FPL22 = "Sommer et al., FPL 2022"
INT8X2 = Packing(
    name="int8x2",
    wide=(Lane(bits=8), Lane(bits=8, offset=18)),
    narrow=(Lane(bits=8),),
    correction="full",
    source=_WP486,
)
PACKINGS: dict[str, Packing] = {
    scheme.name: scheme
    for scheme in (
        INT8X2,
        replace(
            INT8X2,
            name="int8x2_symmetric",
            wide=(Lane(bits=8, symmetric=True), Lane(bits=8, offset=18, symmetric=True)),
            narrow=(Lane(bits=8, symmetric=True),),
        ),
        replace(INT8X2, name="int8x2_unsigned", narrow=(Lane(bits=8, signed=False),)),
        grid("int4x4", (4, 4), (4, 4), 3, _WP521),
        grid("int4x4_full", (4, 4), (4, 4), 3, _FPL22, correction="full"),
        grid("int4x4_approximate", (4, 4), (4, 4), 3, _FPL22, correction="approximate"),
        *(grid(f"overpacked{-d}", (4, 4), (4, 4), -d, _FPL22) for d in (1, 2, 3)),
        *(grid(f"restored{-d}", (4, 4), (4, 4), -d, _FPL22, correction="restore") for d in (1, 2, 3)),
        *(grid(f"overpacked{-d}_full", (4, 4), (4, 4), -d, "ours", correction="full") for d in (1, 2, 3)),
        # Of these two the paper's widths are assumed from their count and its densities .88 and 1.13.
        grid("intn_6", (3, 3), (4, 4, 4), 0, f"{_FPL22}; widths assumed"),
        grid("restored-2_6", (5, 5), (4, 4, 4), -2, f"{_FPL22}; widths assumed", correction="restore"),
        grid("restored-2_int6", (6, 6), (6, 6), -2, _FPL22, correction="restore"),
    )
}
