"""Error analysis beside emulation: what can be known of a sum or a product before it is computed, with its proof.

    import formats as nf
    nf.analysis.lmul_error(4, variant="integer_add")                           # exact worst, mean and bias of L-Mul
    nf.analysis.claims()                                                       # its published claims, metric by metric
    nf.analysis.stagnation(nf.FloatChain("bfloat16"), 1)                       # where a sum stops growing
    nf.analysis.overflow_terms("int8", "int8", nf.Integer(24))                 # products that certainly fit
    nf.analysis.a_priori_bound(4096, 1, nf.FloatChain("float32"))              # forward error of any such sum
    nf.analysis.overflow_free(weights, "uint8", nf.Integer(16))                # margin of each output, in bits
    nf.analysis.exact_width("e4m3fn", "e4m3fn", 4096)                          # the least exact accumulator

Everything is exact, in Fractions and integers, and slow; nothing here is needed to emulate. `python -m studies
accumulators` draws it.
"""

from formats.analysis.a_priori import a_priori_bound, additions_deep
from formats.analysis.error_bounds import Term, error_bound, rounding_error, terms_of
from formats.analysis.growth import ConstantSum, Stagnation, constant_sum, overflow_terms, stagnation
from formats.analysis.lmul import LMulError, lmul_error, lmul_errors_enumerated, lmul_limit
from formats.analysis.lmul_precision import (
    METRICS,
    Claim,
    claims,
    measured_error,
    offset_error,
    operand_error,
    paper_error,
)
from formats.analysis.overflow import SumRange, overflow_free, register_bits, sum_ranges
from formats.analysis.widths import ExactWidth, exact_width, published_widths
from formats.arithmetic.multipliers.lmul import published_offset

__all__ = [
    "METRICS",
    "Claim",
    "ConstantSum",
    "ExactWidth",
    "LMulError",
    "Stagnation",
    "SumRange",
    "Term",
    "a_priori_bound",
    "additions_deep",
    "claims",
    "constant_sum",
    "error_bound",
    "exact_width",
    "lmul_error",
    "lmul_errors_enumerated",
    "lmul_limit",
    "measured_error",
    "offset_error",
    "operand_error",
    "overflow_free",
    "overflow_terms",
    "paper_error",
    "published_offset",
    "published_widths",
    "register_bits",
    "rounding_error",
    "stagnation",
    "sum_ranges",
    "terms_of",
]
