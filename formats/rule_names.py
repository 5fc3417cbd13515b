"""The names of the scale rules: what each means, what scales it writes, where it comes from. No arithmetic here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One way an encoder chooses a block's scale.

    kind: "power_of_two" (from the bits of the largest magnitude, stored as E8M0), "statistic" (a number of the block
        over a constant of the element, rounded to the scale's format), or "recipe" (an encoder of its own).
    means: one sentence.  source: where it is defined.
    """

    kind: Literal["power_of_two", "statistic", "recipe"]
    means: str
    source: str


RULES: dict[str, Rule] = {
    "floor": Rule(kind="power_of_two", means="exponent of amax less the element's", source="OCP MX v1.0 section 6.3"),
    "ceil": Rule(
        kind="power_of_two", means="floor, and one more unless amax is a power of two", source="torchao mx_tensor.py"
    ),
    "even": Rule(
        kind="power_of_two",
        means="floor of amax rounded to the element's significand, halves up",
        source="torchao mx_tensor.py",
    ),
    "rceil": Rule(
        kind="power_of_two",
        means="exponent of float32(amax / largest element), rounded up",
        source="cuBLAS, as torchao mx_tensor.py has it",
    ),
    "absmax": Rule(
        kind="statistic", means="amax over the largest element; with a zero point, range over range", source="common"
    ),
    "te_nvfp4": Rule(
        kind="recipe",
        means="two levels of scales in float32",
        source="TransformerEngine reference_nvfp4.py, core_nvfp4.cuh",
    ),
}


POWER_OF_TWO_RULES = ("floor", "ceil", "even", "rceil")  # those whose scale is the exponent of something


def is_power_of_two(rule: str) -> bool:
    """Whether the rule writes E8M0 scales from the bits of the largest magnitude."""
    return RULES[rule].kind == "power_of_two"
