"""Tables with a sign bit: E2M1 and its relatives, whose idle minus zero may stand for one more value.

Codes are sign and magnitude, the sign in the top bit; `special` is the value of the code of minus zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from formats.codebook import Codebook, Ties

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def sign_magnitude(
    label: str,
    magnitudes: Sequence[float],
    *,
    special: float = -0.0,
    ties: Ties = "lower",
    cuts: tuple[float, ...] | None = None,
) -> Codebook:
    """A codebook of 2 * len(magnitudes) codes: the magnitudes, then their negatives.

    magnitudes: one a code, a power of two of them, the first 0.
    special: value of the code of minus zero. Left as -0.0 that code decodes to zero and is never written.
    """
    count = len(magnitudes)
    if count < 2 or count & (count - 1) or magnitudes[0] != 0:
        raise ValueError(f"{label}: magnitudes must start with 0 and number 2, 4, 8, ..., got {tuple(magnitudes)}")
    entries = (*magnitudes, special, *(-m for m in magnitudes[1:]))
    return Codebook(label=label, bits=count.bit_length(), entries=entries, ties=ties, cuts=cuts)


def e2m1(label: str, *, special: float = -0.0, smallest: float = 0.5) -> Codebook:
    """E2M1 with the code of minus zero given to one more value, or with another value for its subnormal.

    special: 8 is super-range, 5 super-precision (units of E2M1, whose largest value is 6).
    smallest: the value of codes 1 and 9; 0.75 is what is left of E2M1 without subnormals, 0.0625 Intel's fp4_e2m1.
    Source: llm-datatypes (ICML 2024), github.com/cornell-zhang/llm-datatypes weight_only.py: FP4_RANGE, FP4_PREC1,
    FP4_PREC2, FP4_NO_SUB, FP4_E2M1. Ties go to the lower value there. Codes: sign and magnitude, as E2M1 has them.
    """
    return sign_magnitude(label, (0.0, smallest, *E2M1[2:]), special=special)


def bitmod(bits: int, special: float | None = None) -> Codebook:
    """BitMoD's FP3 or FP4 with one more value in the code of minus zero.

    bits: 3 (magnitudes 0, 1, 2, 4) or 4 (0, 1, 2, 3, 4, 6, 8, 12: E2M1 in half units).
    special: extra resolution +-3 or +-10, extra asymmetry +-6 or +-16; None for the table without.
    Source: BitMoD (HPCA 2025), github.com/abdelfattah-lab/BitMoD-HPCA-25 auto_dtype.py; ties to the lower value.
    """
    if bits not in (3, 4):
        raise ValueError(f"bitmod: bits must be 3 or 4, got {bits}")
    magnitudes = (0.0, 1.0, 2.0, 4.0) if bits == 3 else tuple(2 * m for m in E2M1)
    kinds = {3: {3: "er", 6: "ea"}, 4: {10: "er", 16: "ea"}}[bits]
    if special is None:
        return sign_magnitude(f"bitmod_fp{bits}", magnitudes)
    kind = kinds.get(int(abs(special)), f"{abs(special):g}")
    sign = "pos" if special > 0 else "neg"
    return sign_magnitude(f"bitmod_fp{bits}_{kind}_{sign}", magnitudes, special=special)


def bitmod_candidates(bits: int) -> tuple[Codebook, ...]:
    """The four tables of a BitMoD group, in the order they are tried: er_pos, er_neg, ea_pos, ea_neg."""
    resolution, asymmetry = (3.0, 6.0) if bits == 3 else (10.0, 16.0)
    return tuple(bitmod(bits, special) for special in (resolution, -resolution, asymmetry, -asymmetry))


def razer(special: float) -> Codebook:
    """E2M1 with the code of minus zero given to `special`, in units of E2M1.

    Source: RaZeR (arXiv 2501.04052), github.com/yc2367/NVFP4-RaZeR quantizer.py: +-5 and +-8; ties to the lower value.
    Its inference export gives code 0 to the special value and code 8 to zero; here zero keeps code 0.
    """
    return e2m1(f"razer_{'p' if special > 0 else 'n'}{abs(special):g}".replace(".", "_"), special=special)


def razer_candidates() -> tuple[Codebook, ...]:
    """The four tables of a RaZeR weight block in the order they are tried: +5, -5, +8, -8."""
    return tuple(razer(special) for special in (5.0, -5.0, 8.0, -8.0))
