"""Encoders of their own, by the name of their rule: block formats whose scales no single statistic gives.

A recipe takes all blocks of an array at once and writes operation by operation what its source does.
"""

from formats.recipes import gguf, microexponents, nvfp4, powers, q4_k, ternary
from formats.recipes.common import Recipe
from formats.rule_names import FOUR_OVER_SIX

RECIPES: dict[str, Recipe] = {
    "te_nvfp4_2d": nvfp4.transformer_engine_2d,
    **dict.fromkeys(FOUR_OVER_SIX, nvfp4.four_over_six),
    "torchao_nvfp4": nvfp4.torchao,
    "gguf_nvfp4": nvfp4.gguf,
    "gguf_signed_max": gguf.signed_max,
    "gguf_range": gguf.whole_range,
    "gguf_absmax": gguf.half_away_absmax,
    "gguf_mxfp4": gguf.mxfp4,
    "q4_k_search": q4_k.q4_k,
    "absmean": ternary.absmean,
    "bitnet_absmean": ternary.bitnet_absmean,
    "bitnet_absmedian": ternary.bitnet_absmedian,
    "nvint4": nvfp4.static_levels,
    "microexponents": microexponents.microexponents,
    "hif4": microexponents.hif4,
    "lqer": powers.lqer,
    "bfp": powers.clamped_floor,
    "llm_fp4": powers.shifted_exponents,
}
