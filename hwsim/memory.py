"""Memory levels: capacity, bandwidth, energy per bit, area and leakage; LPDDR5-class DRAM and SRAM from a cited table.

lpddr5(), sram(512), sram(512, "ihp130")
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, log, sqrt
from numbers import Integral, Real
from operator import index
from typing import SupportsIndex, cast

from hwsim.cost import Cost, Scaling, about
from hwsim.technology import Technology, technology

CACTI_NODE = "28nm CACTI"


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """One level.

    capacity_bits: None for as much as a model needs.  bandwidth_bits_per_s or bits_per_cycle: at most one; with neither
        the level is as wide as the array asks for and never stalls it.  Reads and writes have a port each, of this
        width.
    read_pj_per_bit, write_pj_per_bit: Costs in pJ/bit.  area_um2, leakage_mw: None where unknown (listed as unpriced).
    assumptions: what a report that uses this level must say.
    """

    name: str
    capacity_bits: int | None
    read_pj_per_bit: Cost
    write_pj_per_bit: Cost
    bandwidth_bits_per_s: float | None = None
    bits_per_cycle: float | None = None
    area_um2: Cost | None = None
    leakage_mw: Cost | None = None
    assumptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.capacity_bits, Integral | None):
            raise TypeError(f"Memory {self.name!r}: capacity_bits must be an integer, got {self.capacity_bits!r}")
        if self.capacity_bits is not None and self.capacity_bits < 1:
            raise ValueError(
                f"Memory {self.name!r}: capacity_bits must be at least 1 or None, got {self.capacity_bits}"
            )
        if self.bandwidth_bits_per_s is not None and self.bits_per_cycle is not None:
            raise ValueError(f"Memory {self.name!r}: give bandwidth_bits_per_s or bits_per_cycle, not both")
        for name in ("bandwidth_bits_per_s", "bits_per_cycle"):
            value = getattr(self, name)
            if not isinstance(getattr(self, name), Real | None):
                raise TypeError(f"Memory {self.name!r}: {name} must be a number, got {value!r}")
            if value is not None and not 0 < value < inf:
                raise ValueError(f"Memory {self.name!r}: {name} must be positive, got {value!r}")
        units = {"read_pj_per_bit": "pJ/bit", "write_pj_per_bit": "pJ/bit", "area_um2": "um2", "leakage_mw": "mW"}
        for name, unit in units.items():
            cost = getattr(self, name)
            if not isinstance(cost, Cost) and (cost is not None or unit == "pJ/bit"):
                raise TypeError(f"Memory {self.name!r}: {name} must be a Cost in {unit}, got {cost!r}")
            if cost is not None and cost.unit != unit:
                raise ValueError(f"Memory {self.name!r}: {name} must be in {unit}, got {cost.unit}")

    def bits_each_cycle(self, clock_hz: float) -> float:
        """Bits a port moves in one clock cycle; infinite where the level sets no limit."""
        if self.bits_per_cycle is not None:
            return self.bits_per_cycle
        return inf if self.bandwidth_bits_per_s is None else self.bandwidth_bits_per_s / clock_hz

    def scaled(self, scaling: Scaling) -> Memory:
        """This level at another node. What the scaling has no factor for (leakage) becomes unknown."""
        units = dict(scaling.factors)

        def carry(cost: Cost | None) -> Cost | None:
            return scaling.apply(cost) if cost is not None and cost.unit in units else None

        return replace(
            self,
            read_pj_per_bit=scaling.apply(self.read_pj_per_bit),
            write_pj_per_bit=scaling.apply(self.write_pj_per_bit),
            area_um2=carry(self.area_um2),
            leakage_mw=carry(self.leakage_mw),
            assumptions=(*self.assumptions, f"{self.name} scaled to {scaling.target_node}: {scaling}"),
        )


def lpddr5() -> Memory:
    """LPDDR5-class DRAM: 51.2 GB/s (64 bits at 6400 MT/s) and 4 pJ/bit, both assumed; energy 3.5..6 pJ/bit."""
    energy = Cost(
        value=4.0,
        low=3.5,
        high=6.0,
        unit="pJ/bit",
        source="assumed (LPDDR5 3.5-4.5, LPDDR4 4-6 pJ/bit, papers use 0.6 to 18.75)",
        status="estimated",
    )
    return Memory(
        name="LPDDR5",
        capacity_bits=None,
        read_pj_per_bit=energy,
        write_pj_per_bit=energy,
        bandwidth_bits_per_s=51.2e9 * 8,
        assumptions=("assumed: LPDDR5-class DRAM, 51.2 GB/s at full efficiency, 4 pJ/bit for reads and writes",),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Macro:
    """A CACTI result: one SRAM with an access of 512 bits (64 B). None: not published."""

    kib: int
    read_pj: float
    write_pj: float | None
    leakage_mw: float | None
    area_mm2: float


# 28 nm, itrs-hp, 360 K, conservative wires. The first two: CACTI sweep of the ANT simulator
# (clevercool/ANT-Quantization@2c0f3cc, bitfusion/sram/cacti_sweep.csv), leakage = bank + gate. The third: 8 banks, as
# the BitMoD simulator's configuration gives in CACTI 7; its 512 bits a read are inferred from that configuration (32
# rows of 16 bits).
_TABLE = (
    _Macro(kib=4, read_pj=16.8924, write_pj=20.3422, leakage_mw=2.96594 + 0.146044, area_mm2=0.04606650594),
    _Macro(kib=8, read_pj=17.7688, write_pj=24.8866, leakage_mw=5.4983 + 0.255044, area_mm2=0.05558371808),
    _Macro(kib=512, read_pj=92.79, write_pj=None, leakage_mw=None, area_mm2=1.602),
)
_ACCESS_BITS = 512
_AT_POINT, _BETWEEN = 1.5, 2.0  # assumed: CACTI against silicon; and a power law between the points on top
_MOST_KIB = 256 * 1024  # 512 macros of 1.602 mm2 take 820 mm2; the largest die, one reticle, is 26 mm x 33 mm = 858 mm2


def sram(kib: int, tech: str | Technology | None = None, *, bits_per_cycle: float | None = None) -> Memory:
    """On-chip SRAM of `kib` KiB with 64 B accesses, at 28 nm, or scaled to a technology by `sram_scaling`.

    kib: 4..262144 (256 MiB). Cited at 4, 8 and 512 KiB; a power law in the capacity between them. Above 512 KiB nothing
        is cited: macros of 512 KiB, whose areas and leakages add; an access takes what the power law from 8 to 512 KiB,
        continued, says, since the wires to more macros are longer, and its interval begins at one macro alone.
    bits_per_cycle: port width; None for as wide as the array asks for.

    Raises TypeError for a kib that is no integer, ValueError for one outside of this range.
    """
    kib = _kib(kib)
    whole = _TABLE[-1]
    macros = max(kib / whole.kib, 1.0)
    size = min(kib, whole.kib)
    cited = kib in (macro.kib for macro in _TABLE)
    spread = _AT_POINT if cited else _BETWEEN
    last = _TABLE[1]  # the largest macro with every figure
    write_over_read = (last.write_pj or 0.0) / last.read_pj
    leakage_per_kib = (last.leakage_mw or 0.0) / last.kib
    read = _power_law(size, "read_pj")
    write = _power_law(size, "write_pj") if size <= last.kib else read * write_over_read
    leakage = _power_law(size, "leakage_mw") if size <= last.kib else leakage_per_kib * size
    longer = macros ** (log(whole.read_pj / last.read_pj) / log(whole.kib / last.kib))  # an access, by its wires
    how = f"{CACTI_NODE}, {size} KiB, 64 B accesses, " + (
        "cited" if size in (macro.kib for macro in _TABLE) else "power law between 4, 8 and 512 KiB"
    )
    if macros > 1:
        how += f", {macros:g} macros of 512 KiB"
    beyond = ", an access extrapolated by the power law from 8 to 512 KiB" if macros > 1 else ""

    def cost(value: float, unit: str, factor: float, remark: str = "") -> Cost:
        return about(value, factor, unit=unit, source=how + remark, node=CACTI_NODE)

    def access(pj: float, factor: float, remark: str = "") -> Cost:
        one = cost(pj / _ACCESS_BITS, "pJ/bit", factor, beyond + remark)
        return replace(one, value=one.value * longer, high=one.high * longer)

    rough = size > last.kib
    memory = Memory(
        name=f"SRAM {kib} KiB",
        capacity_bits=kib * 8192,
        bits_per_cycle=bits_per_cycle,
        read_pj_per_bit=access(read, spread),
        write_pj_per_bit=access(
            write, _BETWEEN if rough else spread, ", write / read of 8 KiB assumed" if rough else ""
        ),
        area_um2=cost(_power_law(size, "area_mm2") * 1e6 * macros, "um2", spread),
        leakage_mw=cost(
            leakage * macros,
            "mW",
            2 * _BETWEEN if rough else spread,
            ", leakage per bit of 8 KiB assumed" if rough else "",
        ),
        assumptions=(f"SRAM {kib} KiB: {how}{beyond}",)
        + (
            ()
            if bits_per_cycle
            else (f"assumed: SRAM {kib} KiB has ports as wide as the array asks for and never stalls it",)
        ),
    )
    return memory if tech is None else memory.scaled(sram_scaling(technology(tech)))


def _kib(kib: object) -> int:
    """The capacity asked for, checked."""
    if isinstance(kib, bool) or not hasattr(kib, "__index__"):
        raise TypeError(f"sram: kib must be an integer number of KiB such as 512, got {kib!r}")
    size = index(cast(SupportsIndex, kib))
    if size < _TABLE[0].kib:
        raise ValueError(f"sram: the table starts at {_TABLE[0].kib} KiB, got {size} KiB; use registers below")
    if size > _MOST_KIB:
        raise ValueError(
            f"sram: {size} KiB do not fit a die at 28 nm, where the figures are of; use at most {_MOST_KIB} KiB, or "
            "describe the level as hw.Memory(...)"
        )
    return size


def _power_law(kib: float, name: str) -> float:
    """The figure at `kib`: straight lines between the table's points in log-log; None entries are left out."""
    points = [(macro.kib, getattr(macro, name)) for macro in _TABLE if getattr(macro, name) is not None]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= kib <= x1:
            if kib in (x0, x1):
                return float(y0 if kib == x0 else y1)
            return float(y0 * (kib / x0) ** (log(y1 / y0) / log(x1 / x0)))
    raise ValueError(f"sram: {name} is tabulated from {points[0][0]} to {points[-1][0]} KiB, got {kib}")


_SKY130_OVER_28NM = (
    10.75  # area of the public BitMoD PE: sky130hd by yosys over TSMC 28 nm by DC; its 8 blocks give 9.2..12.3
)
_CACTI_VOLTAGE_V = 0.9  # assumed: ITRS high performance at 28 nm


def _logic_um2(tech: Technology) -> float:
    """Area of the int8 MAC that stands for logic's density; estimated where a table of one's own leaves it out."""
    mac = "mac_int8_int8_fixed32"
    if mac in tech.rows:
        return tech.rows[mac].area_um2
    from hwsim.pe import MacPE

    return MacPE("int8", "int8").area_um2(tech).value


def sram_scaling(tech: Technology) -> Scaling:
    """28 nm to a technology: area by measured logic density, energy ~ C V^2 with C ~ the square root of that area.

    Node names are no lengths (ideal 130/28 squared is 21.6; logic measures 10.75), so the density of synthesised logic
    stands for the length. SRAM does not shrink like logic in recent nodes: the spread is a factor 3, assumed. Leakage
    is not scaled.
    """
    area = _SKY130_OVER_28NM * _logic_um2(tech) / _logic_um2(technology("sky130hd"))
    return Scaling(
        name="SRAM by logic density, energy ~ C V^2",
        source_node=CACTI_NODE,
        target_node=tech.name,
        factors=(("um2", area), ("pJ/bit", sqrt(area) * (tech.voltage_v / _CACTI_VOLTAGE_V) ** 2)),
        spread=3.0,
        source="assumed, density from one PE synthesised at both nodes",
    )
