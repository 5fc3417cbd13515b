"""Area against delay from the table of netlists that pe_cost_periods made: curves, their lower edge, equal delays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.characterise.compare import Point, area_at
from studies.common import Row

PES = {
    "mac_int8_int8_fixed32": "int8, 32 bits",
    "mac_int4_int4_fixed32": "int4, 32 bits",
    "mac_e4m3fn_e4m3fn_fixed45": "e4m3fn, exact",
    "mac_e4m3fn_e4m3fn_float32": "e4m3fn, float32",
    "mac_e2m1fn_e2m1fn_fixed17": "e2m1fn, exact",
    "mac_bfloat16_bfloat16_float32": "bfloat16, float32",
}


def curves(found: Sequence[Row]) -> dict[str, list[Point]]:
    """The points of each PE, by delay."""
    by_name: dict[str, list[Point]] = {}
    for row in found:
        period, area, delay = (float(str(row[key])) for key in ("period_ps", "area_um2", "delay_ps"))
        by_name.setdefault(str(row["pe"]), []).append(Point(period, area, delay))
    return {name: sorted(points, key=lambda point: point.delay_ps) for name, points in by_name.items()}


def at_equal_delay(points: Sequence[Point], baseline: Sequence[Point]) -> float:
    """Area over the baseline's at the delay of the slower one's fastest netlist."""
    delay = max(min(point.delay_ps for point in curve) for curve in (points, baseline))
    ours, theirs = area_at(points, delay), area_at(baseline, delay)
    assert ours is not None
    assert theirs is not None
    return ours / theirs


def edge(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Delays (ns) and areas (um2) of the netlists that no other beats in both."""
    best, least = [], np.inf
    for point in sorted(points, key=lambda one: (one.delay_ps, one.area_um2)):
        if point.area_um2 < least:
            best.append(point)
            least = point.area_um2
    return [point.delay_ps * 1e-3 for point in best], [point.area_um2 for point in best]
