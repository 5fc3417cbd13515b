"""Block formats that choose a data type: BitMoD, RaZeR, ANT, LLM-FP4's exponent widths."""

from __future__ import annotations

from formats import families
from formats.block import WHOLE, Block, Field, Scaled
from formats.catalogue.entry import Entry
from formats.catalogue.minifloats import minifloat
from formats.codebook import Codebook
from formats.elements import Choice
from formats.families.magnitudes import E2M1
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat

ROW = Block(shape=(WHOLE,))
TENSOR = Block(shape=(WHOLE,), flat=True)
FLOAT32 = Field(format=minifloat(8, 23))
FLOAT16 = Field(format=minifloat(5, 10))

_BITMOD = "BitMoD (HPCA 2025), github.com/abdelfattah-lab/BitMoD-HPCA-25 auto_dtype.py"
_BITMOD_ORACLE = "search_group_dtype run in float32, 16,384 elements (values and scales equal), recorded"
_RAZER = "RaZeR (arXiv 2501.04052), github.com/yc2367/NVFP4-RaZeR 82ecc9a0 quantizer.py"
_ANT = "ANT (MICRO 2022), github.com/clevercool/ANT-Quantization bc840673 quant_modules.py"
_LLM_FP4 = "LLM-FP4 (EMNLP 2023), github.com/nbasyl/LLM-FP4 0598c95c fp_linear.py"


def unsigned(bits: int, trailing: int, specials: str = "none") -> Field:
    """A field of unsigned minifloats."""
    return Field(format=Minifloat(
        exponent_bits=bits, trailing_significand_bits=trailing, signed=False, specials=specials,  # type: ignore[arg-type]
    ))  # fmt: skip


def under(inner: Field, outer: Field, block: Block) -> Field:
    """Scales of two levels."""
    return Field(format=Scaled(element=inner.format, scale=outer, block=block))  # type: ignore[arg-type]


def bitmod(bits: int, scale: Field, group: int = 128) -> Scaled:
    """BitMoD of 3 or 4 bits: a group takes one of four tables, tried as er_pos, er_neg, ea_pos, ea_neg."""
    element = Choice(candidates=families.bitmod_candidates(bits))
    return Scaled(element=element, scale=scale, block=Block(shape=(group,)), rule="bitmod")


INT8_SCALES = under(Field(format=FixedPoint(bits=8, signed=False)), FLOAT16, ROW)


def razer_table(special: float) -> Codebook:
    """E2M1 as RaZeR's kernels read it: nibble 0 is the special value, nibble 8 zero."""
    label = f"razer_kernel_{'p' if special > 0 else 'n'}{abs(special):g}"
    entries = (special, *E2M1[1:], 0.0, *(-value for value in E2M1[1:]))
    return Codebook(label=label, bits=4, entries=entries, ties="lower")


RAZER_WEIGHTS = Scaled(
    element=Choice(candidates=tuple(map(razer_table, (5.0, 8.0, -5.0, -8.0)))),
    scale=under(unsigned(3, 3), FLOAT32, TENSOR), block=Block(shape=(16,)), rule="razer",
)  # fmt: skip
RAZER_ACTIVATIONS = Scaled(
    element=Choice(candidates=(families.razer(-5.0), families.razer(5.0))),
    scale=under(unsigned(4, 3, "fn"), FLOAT32, TENSOR), block=Block(shape=(16,)), rule="razer_activations",
)  # fmt: skip


def ant(bits: int, block: Block = ROW) -> Scaled:
    """ANT's four types of 4 bits: one a tensor, under a scale for each row (weights) or one (activations)."""
    types = (families.ant_int(bits), families.flint(bits), families.pot(bits), families.ant_float(bits))
    shared = None if block == TENSOR else TENSOR
    return Scaled(element=Choice(candidates=types, block=shared), scale=FLOAT32, block=block, rule="ant")


def exponent_widths(rule: str) -> Scaled:
    """LLM-FP4's 4-bit weights: E3M0, E2M1 or E1M2 for the tensor, a real exponent bias a row."""
    e3m0 = Minifloat(exponent_bits=3, trailing_significand_bits=0, specials="none", ties="up")
    types = (e3m0, minifloat(2, 1, "none"), minifloat(1, 2, "none"))
    return Scaled(element=Choice(candidates=types, block=TENSOR), scale=FLOAT32, block=ROW, rule=rule)


ENTRIES: tuple[Entry, ...] = (
    *(
        Entry(
            name=f"bitmod{bits}", format=bitmod(bits, INT8_SCALES), tier="derived", source=_BITMOD,
            oracle=_BITMOD_ORACLE.replace("values and scales", "tables and scales before 8 bits"),
            note="groups of 128; 8-bit group scales under one float16 a row, stored after the elements were rounded; "
            "the source sums errors in float16",
        )
        for bits in (3, 4)
    ),
    *(
        Entry(
            name=f"bitmod{bits}_fp32", format=bitmod(bits, FLOAT32), tier="proved", source=_BITMOD,
            oracle=_BITMOD_ORACLE, note="groups of 128, scales not quantised; the source runs the same in float16",
        )
        for bits in (3, 4)
    ),
    Entry(
        name="razer_weights", format=RAZER_WEIGHTS, tier="derived", source=_RAZER,
        oracle="quant_nvfp4_razer_e3m3, 16,384 elements: equal where no candidate's scale is below 1/4, recorded",
        note="scale byte = scale | selector << 6 (recipes.choices.razer_bytes): bit 6 is 8 for 5, bit 7 a negative "
        "special; the source's own scales below 1/4 are finer than its six bits hold",
    ),
    Entry(
        name="razer_activations", format=RAZER_ACTIVATIONS, tier="derived", source=_RAZER,
        oracle="quant_nvfp4_razer_e4m3, 16,384 elements, equal as bfloat16, recorded",
        note="chosen as published, by sum((element - scale)**2), which is no error of the block; E2M1 saturates at 6",
    ),
    Entry(
        name="ant4", format=ant(4), tier="derived", source=_ANT,
        oracle="TensorQuantizer with its CUDA kernel transcribed: same types, values within float32 rounding",
        note="one type a tensor, a scale a row; ties to the upper value; its float type is its pot at 4 bits",
    ),
    Entry(name="ant4_tensor", format=ant(4, TENSOR), tier="derived", source=_ANT, note="activations: one scale"),
    Entry(
        name="llm_fp4_w4", format=exponent_widths("absmax"), tier="derived", source=_LLM_FP4,
        note="its real bias is a float32 scale, rounded once, without its search; E3M0 ties at its smallest go up",
    ),
    Entry(
        name="llm_fp4_w4_search", format=exponent_widths("llm_fp4_search"), tier="derived", source=_LLM_FP4,
        note="compares weights, the source layer outputs over three rounds; gamma multiplies the bias, as there",
    ),
)  # fmt: skip
