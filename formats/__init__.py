"""Number formats: frozen descriptions, an exact reference, fast kernels proved equal to it, and arithmetic on them.

    import formats as nf
    y = nf.quantize(x, "mxfp4", axis=-1)
    q = nf.encode(x, "nvfp4"); q.nbytes; nf.decode(q)

Everything named here imports in a fraction of a second; kernels are compiled at their first use.
"""

from formats import families
from formats.arithmetic.accumulate import (
    Accumulator,
    Chunked,
    Exact,
    FloatChain,
    Integer,
    Order,
    Sequential,
    accumulator_bits,
)
from formats.arithmetic.matmul import matmul
from formats.block import Block, Field, Format, Scaled, Sum, bits_per_element, element_of
from formats.cast import Cast
from formats.catalogue import Entry, entries, entry, get, names, register
from formats.codebook import Codebook
from formats.codec import decode, decode_codes, encode, encode_codes, quantize
from formats.describe import Table, describe, table
from formats.elements import Choice, Nested, Pair, Promoted
from formats.encoded import Encoded, Plane
from formats.exact import Dyadic, Special
from formats.fixed_point import FixedPoint
from formats.minifloat import Minifloat
from formats.p3109 import p3109
from formats.posit import Posit
from formats.scalar import Scalar

__all__ = [
    "Accumulator",
    "Block",
    "Cast",
    "Choice",
    "Chunked",
    "Codebook",
    "Dyadic",
    "Encoded",
    "Entry",
    "Exact",
    "Field",
    "FixedPoint",
    "FloatChain",
    "Format",
    "Integer",
    "Minifloat",
    "Nested",
    "Order",
    "Pair",
    "Plane",
    "Posit",
    "Promoted",
    "Scalar",
    "Scaled",
    "Sequential",
    "Special",
    "Sum",
    "Table",
    "accumulator_bits",
    "bits_per_element",
    "decode",
    "decode_codes",
    "describe",
    "element_of",
    "encode",
    "encode_codes",
    "entries",
    "entry",
    "families",
    "get",
    "matmul",
    "names",
    "p3109",
    "quantize",
    "register",
    "table",
]
