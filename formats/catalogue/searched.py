"""Block formats whose scale, factor or table position is searched for: P2-ViT, CVXQ, ADFQ-ViT."""

from __future__ import annotations

from formats import families
from formats.block import WHOLE, Block, Field, Scaled
from formats.catalogue.entry import Entry
from formats.catalogue.minifloats import E8M0, minifloat
from formats.codebook import Codebook
from formats.fixed_point import FixedPoint
from formats.scalar import Scalar

ROW = Block(shape=(WHOLE,))
TENSOR = Block(shape=(WHOLE,), flat=True)
FLOAT32, FLOAT16 = Field(format=minifloat(8, 23)), Field(format=minifloat(5, 10))
FACTORS = Codebook(label="factors_1_2_4_8", bits=2, entries=(1.0, 2.0, 4.0, 8.0))

_P2VIT = "P2-ViT, github.com/shihuihong214/P2-ViT c891f6e7"


def powers_of_two(bits: int, block: Block) -> Scaled:
    """P2-ViT's symmetric integers, -2**(bits - 1) included, under a searched power of two."""
    return Scaled(element=FixedPoint(bits=bits), scale=Field(format=E8M0), block=block, rule="p2vit")


def factored(bits: int = 8) -> Scaled:
    """PTF: a factor a channel under one float32 scale. A channel is a row along the encoder's axis."""
    factors = Scaled(element=FACTORS, scale=FLOAT32, block=TENSOR)
    return Scaled(element=FixedPoint(bits=bits), scale=Field(format=factors), block=ROW, rule="ptf")


def companded(bits: int, block: int = 128) -> Scaled:
    """CVXQ of that many bits: groups with a median and a deviation of their own."""
    return Scaled(element=families.cvxq(bits), scale=FLOAT16, shift=FLOAT16, block=Block(shape=(block,)), rule="cvxq")


def companded_or_median(bits: int, block: int) -> Scaled | Scalar:
    """What formats.mixed_widths.encode_widths asks for: CVXQ of 1 to 8 bits, or the format of medians for 0."""
    return companded(bits, block) if bits else minifloat(5, 10)


def shift_log(bits: int) -> Scaled:
    """ADFQ-ViT's shifted logarithm: one scale and one shift a tensor."""
    return Scaled(
        element=families.log_sqrt2(bits, zero="mask"), scale=FLOAT32, shift=FLOAT32, block=TENSOR, rule="shift_log"
    )


ENTRIES: tuple[Entry, ...] = (
    *(
        Entry(
            name=f"p2vit_int{bits}", format=powers_of_two(bits, ROW), tier="derived", source=f"{_P2VIT} minmax.py",
            note="a row's scale, of four powers of two by the error of the row; the source compares outputs",
        )
        for bits in (4, 8)
    ),
    Entry(
        name="p2vit_ptf8", format=factored(), tier="derived", source=f"{_P2VIT} ptf.py; FQ-ViT",
        note="factors of channels, each a row along the axis; the tensor's scale is no power of two there either",
    ),
    *(
        Entry(
            name=f"cvxq{bits}_g128", format=companded(bits), tier="derived",
            source="CVXQ, github.com/seannz/cvxq be942d3b quantizer.py",
            note="one width for all groups, without its grid search; group size and float16 medians and deviations are "
            "ours. The source gives each group 0 to 8 bits: formats/mixed_widths.py",
        )
        for bits in (2, 3, 4)
    ),
    *(
        Entry(
            name=f"shiftlog{bits}", format=shift_log(bits), tier="derived",
            source="ADFQ-ViT, github.com/llwx593/adfq-vit 2b807467 quant_layer.py",
            note="after GELU; powers of the root of two and a code for zero, which takes one bit more; the repository "
            "is the only implementation found",
        )
        for bits in (4, 6)
    ),
)  # fmt: skip
