"""Families of table formats: functions that build a Codebook from a few numbers.

    import formats as nf
    from formats import families
    table = families.student(3, 4)                    # StudentFloat of 3 degrees of freedom
    nf.register("sf4_nu3", table); nf.get("sf4_nu3:b64")

The catalogue names the common ones. Entries that are no short binary fractions are rounded once to float32, as the
published codes hold them, and cuts to 48 bits (rounding.py says why); the table is then the format.
"""

from formats.families.ant import abfloat, ant_float, ant_int, flint, flint_magnitude
from formats.families.companders import cvxq, power, tangent
from formats.families.dynamic import dynamic_exponent, linear_without_zero
from formats.families.integers import binary, bipolar, ternary
from formats.families.logarithms import adalog, adalog_tables, log2, log_sqrt2
from formats.families.magnitudes import bitmod, bitmod_candidates, e2m1, razer, razer_candidates, sign_magnitude
from formats.families.powers_of_two import apot, pot, pot_log, pot_scale
from formats.families.quantiles import normal, student

__all__ = [
    "abfloat",
    "adalog",
    "adalog_tables",
    "ant_float",
    "ant_int",
    "apot",
    "binary",
    "bipolar",
    "bitmod",
    "bitmod_candidates",
    "cvxq",
    "dynamic_exponent",
    "e2m1",
    "flint",
    "flint_magnitude",
    "linear_without_zero",
    "log2",
    "log_sqrt2",
    "normal",
    "pot",
    "pot_log",
    "pot_scale",
    "power",
    "razer",
    "razer_candidates",
    "sign_magnitude",
    "student",
    "tangent",
    "ternary",
]
