"""The names of the scale rules: what each means, what scales it writes, where it comes from. No arithmetic here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One way an encoder chooses a block's scale.

    kind: "power_of_two" (from the bits of the largest magnitude, stored as E8M0), "statistic" (a number of the block
        over a constant of the element, rounded to the scale's format), or "recipe" (an encoder of its own).
    scales: what it writes: "any" one level or more, "e8m0", or "two_level", minifloats under one float32 a tensor.
    means: one sentence.  source: where it is defined.
    """

    kind: Literal["power_of_two", "statistic", "recipe"]
    means: str
    source: str
    scales: Literal["any", "e8m0", "two_level"] = "any"


RULES: dict[str, Rule] = {
    "floor": Rule(
        kind="power_of_two",
        scales="e8m0",
        means="exponent of amax less the element's",
        source="OCP MX v1.0 section 6.3",
    ),
    "ceil": Rule(
        kind="power_of_two",
        scales="e8m0",
        means="floor, and one more unless amax is a power of two",
        source="torchao mx_tensor.py",
    ),
    "even": Rule(
        kind="power_of_two",
        scales="e8m0",
        means="floor of amax rounded to the element's significand, halves up",
        source="torchao mx_tensor.py",
    ),
    "rceil": Rule(
        kind="power_of_two",
        scales="e8m0",
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
        scales="two_level",
    ),
    "te_nvfp4_2d": Rule(
        kind="recipe",
        means="te_nvfp4 with the amax of 16 x 16 tiles, stored for each of the tile's rows",
        source="TransformerEngine quantize_transpose_nvfp4.cuh",
        scales="two_level",
    ),
    "torchao_nvfp4": Rule(
        kind="recipe",
        means="amax / 6 over the tensor scale, no smaller than 2**-6, in float32",
        source="torchao nvfp4_tensor.py",
    ),
    "gguf_nvfp4": Rule(
        kind="recipe",
        means="amax / 6 rounded half up to UE4M3; elements by smallest error",
        source="ggml quantize_row_nvfp4_ref",
    ),
    "gguf_signed_max": Rule(
        kind="recipe",
        means="the first element of largest magnitude becomes the lowest code; halves up",
        source="gguf 0.19.0 quants.py: Q4_0, Q5_0",
    ),
    "gguf_range": Rule(
        kind="recipe",
        means="range over the largest code, the smallest element as shift; halves up",
        source="gguf 0.19.0 quants.py: Q4_1, Q5_1",
    ),
    "gguf_absmax": Rule(
        kind="recipe",
        means="amax / 127, or amax of trits, in float32; halves away from zero",
        source="gguf 0.19.0 quants.py: Q8_0, TQ1_0, TQ2_0",
    ),
    "gguf_mxfp4": Rule(
        kind="recipe",
        means="floor of the float32 log2 of amax, less 2; elements by smallest error",
        source="gguf 0.19.0 quants.py: MXFP4",
    ),
    "q4_k_search": Rule(
        kind="recipe",
        means="weighted least squares over 22 steps for 32 elements, scales and shifts in 6 bits",
        source="this project, after ggml make_qkx2_quants",
    ),
    "absmean": Rule(
        kind="recipe",
        means="mean magnitude, summed exactly and rounded once",
        source="binary codes: XNOR-Net, ShiftAddLLM bcq.py",
    ),
    "bitnet_absmean": Rule(
        kind="recipe",
        means="mean magnitude, summed exactly, no smaller than 1e-5; trits, halves to zero",
        source="BitNet b1.58: microsoft/BitNet convert_checkpoint.py",
    ),
    "bitnet_absmedian": Rule(
        kind="recipe",
        means="lower median of the magnitudes, no smaller than 1e-5; trits, halves to zero",
        source="BitNet b1.58 Reloaded: schneiderkamplab/bitlinear",
    ),
    "nvint4": Rule(
        kind="recipe",
        means="amax / 7 under a tensor scale that puts the largest at 448, in float32",
        source="fouroversix reference.py",
        scales="two_level",
    ),
    "microexponents": Rule(
        kind="recipe",
        means="one exponent for 16 elements, one bit for each pair that halves it",
        source="arXiv 2302.08007, AMD Quark",
    ),
    "hif4": Rule(
        kind="recipe",
        means="E6M2 for 64 elements, bits for each 8 and 4 that double it",
        source="arXiv 2602.11287, HiFloat4 CUDA reference",
    ),
    "bfp": Rule(
        kind="recipe",
        means="floor, clamped to a scale format of any exponent width",
        source="block floating point in general",
    ),
    "lqer": Rule(
        kind="recipe",
        means="2**ceil(log2 amax); blocks of zeros borrow the smallest other scale",
        source="LQER block_fp.py",
        scales="e8m0",
    ),
    "llm_fp4": Rule(
        kind="recipe",
        means="one real exponent bias a tensor and an integer a channel",
        source="LLM-FP4 fp_linear.py",
    ),
    "absmax_magnitude": Rule(
        kind="recipe", means="amax over the element's largest magnitude, of either sign", source="common"
    ),
    "mse": Rule(
        kind="recipe",
        means="of amax times 1.00, 0.99, ... 0.21 over the largest element the scale of the smallest squared error",
        source="GPTQ quant.py has the grid, with |error|**2.4",
    ),
    "p2vit": Rule(
        kind="recipe",
        means="of four powers of two about amax over half the steps that of the smallest squared error",
        source="P2-ViT minmax.py",
    ),
    "ptf": Rule(
        kind="recipe",
        means="1, 2, 4 or 8 times one scale of the tensor, by squared error",
        source="P2-ViT ptf.py; FQ-ViT",
    ),
    "llm_fp4_search": Rule(
        kind="recipe",
        means="of 100 multiples of the exponent bias of absmax that of the smallest squared error",
        source="LLM-FP4 fp_linear.py",
    ),
    "bitmod": Rule(
        kind="recipe",
        means="amax over the largest magnitude in float32 for each candidate; the scale is stored after the elements",
        source="BitMoD auto_dtype.py, quant_weight_double.py",
    ),
    "razer": Rule(
        kind="recipe",
        means="four special values tried under six-bit scales, 2**-5 to 28",
        source="NVFP4-RaZeR quantizer.py",
    ),
    "razer_activations": Rule(
        kind="recipe",
        means="NVFP4 scales, two special values, chosen as published: not by the element's error",
        source="NVFP4-RaZeR quantizer.py",
    ),
    "ant": Rule(
        kind="recipe",
        means="every type at amax times 0.75 to 1.49 over its largest element, by squared error",
        source="ANT quant_modules.py",
    ),
    "olive": Rule(
        kind="recipe",
        means="mean and three sigma times 0.75 to 2.49 over the largest ordinary element, by squared error",
        source="OliVe quant_modules.py",
    ),
    "qserve": Rule(
        kind="recipe",
        means="a row's scale puts 119 or 120 at its largest, groups are 4 bits times 8-bit integers",
        source="deepcompressor quantizer/impl, QServe",
    ),
    "dgq": Rule(
        kind="recipe",
        means="group ranges, then a row's scale of 8-bit group scales, each searched by squared error",
        source="DGQ quantizer_helper.py",
    ),
    "double": Rule(
        kind="recipe",
        means="amax, stored less its mean as 8-bit codes in blocks",
        source="bitsandbytes functional.py",
    ),
    "zeroquant_m2": Rule(
        kind="recipe",
        means="the largest scale over 2**k, k = ceil(log2(largest / own))",
        source="ZeroQuant-FP, from memory",
    ),
    "amxfp4": Rule(
        kind="recipe",
        means="the largest positive and the largest negative element over the format's largest",
        source="MX-QLLM mx.cuh",
    ),
    "mxplus": Rule(
        kind="recipe",
        means="floor; the largest element, found by its index, in a format of its own",
        source="MX+ (arXiv 2510.14557)",
        scales="e8m0",
    ),
    "cvxq": Rule(
        kind="recipe",
        means="root mean square about the median, which is the shift",
        source="CVXQ quantizer.py",
    ),
    "shift_log": Rule(
        kind="recipe",
        means="one of three quantiles of x less its smallest, which is the shift",
        source="ADFQ-ViT quant_layer.py",
    ),
}


FOUR_OVER_SIX = tuple(
    f"te_nvfp4_4over6{top}{error}{tiles}" for top in ("", "_448") for error in ("", "_mse") for tiles in ("", "_2d")
)
RULES |= {
    name: Rule(
        kind="recipe",
        means="te_nvfp4 with each block"
        + (" of 16 x 16" if name.endswith("_2d") else "")
        + " at amax / 6 or amax / 4, by "
        + ("squared" if "_mse" in name else "absolute")
        + " error, block scales up to "
        + ("448" if "_448" in name else "256"),
        source="TransformerEngine quantize_4over6_nvfp4.cuh",
        scales="two_level",
    )
    for name in FOUR_OVER_SIX
}

POWER_OF_TWO_RULES = ("floor", "ceil", "even", "rceil")  # those whose scale is the exponent of something


def is_power_of_two(rule: str) -> bool:
    """Whether the rule writes E8M0 scales from the bits of the largest magnitude."""
    return RULES[rule].kind == "power_of_two"
