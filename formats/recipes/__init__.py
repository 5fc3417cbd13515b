"""Encoders of their own, by the name of their rule: block formats whose scales no single statistic gives.

A recipe takes all blocks of an array at once and writes operation by operation what its source does.
"""

from formats.recipes import microexponents, nvfp4, powers
from formats.recipes.common import Recipe
from formats.rule_names import FOUR_OVER_SIX

RECIPES: dict[str, Recipe] = {
    "te_nvfp4_2d": nvfp4.transformer_engine_2d,
    **dict.fromkeys(FOUR_OVER_SIX, nvfp4.four_over_six),
    "torchao_nvfp4": nvfp4.torchao,
    "gguf_nvfp4": nvfp4.gguf,
    "nvint4": nvfp4.static_levels,
    "microexponents": microexponents.microexponents,
    "hif4": microexponents.hif4,
    "lqer": powers.lqer,
    "bfp": powers.clamped_floor,
    "llm_fp4": powers.shifted_exponents,
}
