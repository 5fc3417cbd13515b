"""One operation of a lowered model: what it is, what it reads, what it multiplies, and in which formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import sympy

import formats as nf
from formats.arithmetic.matmul import Scaling, check_kinds
from formats.arithmetic.multipliers.base import Multiplier
from formats.arithmetic.named import named_accumulator, named_multiplier
from mappers.symbolic import Size, as_size, product

KINDS = (
    "Input",  # an argument of the model
    "Weight",  # a parameter or buffer, by its fully qualified name
    "Constant",  # small values kept in the graph (buffers that no checkpoint stores)
    "MatMul",
    "Attention",
    "Conv",
    "Elementwise",
    "Norm",  # reads a whole row to write it or its sum: norms, softmax, mean, pooling, scans
    "Gather",  # reads the rows an index names
    "Layout",  # moves or renames elements; `moves` tells which
    "Unknown",  # kept, executed, listed as unpriced
)
Kind = Literal[
    "Input", "Weight", "Constant", "MatMul", "Attention", "Conv", "Elementwise", "Norm", "Gather", "Layout", "Unknown"
]
PRODUCT_KINDS = ("MatMul", "Attention", "Conv")


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of another node; output: which one, of a node with several."""

    name: str
    output: int = 0


@dataclass(frozen=True, slots=True)
class Torch:
    """A torch constant: Torch("dtype", "float32"), Torch("memory_format", "contiguous_format")."""

    what: Literal["dtype", "memory_format", "device", "layout"]
    name: str


Argument: TypeAlias = "bool | int | float | str | sympy.Expr | Ref | Torch | tuple[Argument, ...] | None"


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and dtype (torch's name, such as "bfloat16") of a value."""

    shape: tuple[Size, ...]
    dtype: str

    @property
    def elements(self) -> Size:
        return product(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A matrix product: `batch` times [m, k] x [k, n].

    label: "linear", "matmul", "conv", attention's "qk" and "pv", or "grouped" (each of the m rows meets one of several
        [k, n] experts, all of which count as read; how rows spread over them is data).
    shared: how many consecutive batch items read the same operand b (query heads per KV head), 1 otherwise.
    weight: which operand comes from a weight, if one does.
    a_elements, b_elements: distinct elements of each operand. For a convolution these are the feature map's, fewer
        than the batch * m * k that its GEMM reads.
    """

    label: str
    m: Size
    k: Size
    n: Size
    batch: Size = 1
    shared: Size = 1
    weight: Literal["a", "b"] | None = None
    a_elements: Size
    b_elements: Size

    @property
    def macs(self) -> Size:
        return product((self.batch, self.m, self.k, self.n))

    @property
    def c_elements(self) -> Size:
        return product((self.batch, self.m, self.n))


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionShape:
    """softmax(q k^T) v with q [batch, heads, query_length, head_dim], k and v [batch, kv_heads, key_length, ...].

    causal: a query sees no key after its own position, counted from the ends of both; the products are still counted
        in full (query_length * key_length).
    """

    batch: Size
    heads: Size
    kv_heads: Size
    query_length: Size
    key_length: Size
    head_dim: Size
    value_dim: Size
    causal: bool = False

    def products(self) -> tuple[Product, Product]:
        """q k^T and probabilities times v, one batch item per query head."""
        batch = product((self.batch, self.heads))
        shared = as_size(sympy.floor(sympy.sympify(self.heads) / self.kv_heads))
        rows, keys = self.query_length, self.key_length
        stored = (self.batch, self.kv_heads, keys)
        scores = Product(
            label="qk",
            m=rows,
            k=self.head_dim,
            n=keys,
            batch=batch,
            shared=shared,
            a_elements=product((batch, rows, self.head_dim)),
            b_elements=product((*stored, self.head_dim)),
        )
        values = Product(
            label="pv",
            m=rows,
            k=keys,
            n=self.value_dim,
            batch=batch,
            shared=shared,
            a_elements=product((batch, rows, keys)),
            b_elements=product((*stored, self.value_dim)),
        )
        return scores, values


FormatName = str | nf.Format


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats a product reads its operands in.

    weight, activation: names that `formats.get` reads, or descriptions. activation also holds attention's queries and
        probabilities, and both operands of a product without weight.
    kv: keys and values of attention; None is the activation's.
    accumulator, multiplier, order, scaling: what `formats.matmul` makes the product with, by name or description;
        None leaves the accumulator to the PE and to `execute`, and the others as `formats.matmul` has them. A
        multiplier, an order or a scaling asks for `formats.matmul` too, with its exact accumulator.
    Raises ValueError, or TypeError, for what `formats.get` or `formats.matmul` does not know or does not put together.
    """

    weight: FormatName
    activation: FormatName
    kv: FormatName | None = None
    accumulator: nf.Accumulator | str | None = None
    multiplier: Multiplier | str | None = None
    order: nf.Order | None = None
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        if self.accumulator is not None:
            named_accumulator(self.accumulator)
        if self.multiplier is not None:
            named_multiplier(self.multiplier)
        # Where none is named it is the PE's, or formats.matmul's own: a chain takes every order.
        how = nf.FloatChain() if self.accumulator is None else named_accumulator(self.accumulator)
        check_kinds(
            how,
            nf.Sequential() if self.order is None else self.order,
            "dequantize_first" if self.scaling is None else self.scaling,
        )
        for field in ("weight", "activation", "kv"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, _named(value))

    def __str__(self) -> str:
        words = [_text(self.weight)] if self.weight == self.activation else [_text(self.weight), _text(self.activation)]
        extra = [f"kv {_text(self.kv)}"] if self.kv is not None else []
        made = (self.accumulator, self.multiplier, self.order, self.scaling)
        extra += [how if isinstance(how, str) else repr(how) for how in made if how is not None]
        return ", ".join(["/".join(words), *extra])

    def operands(self, label: str, weight: Literal["a", "b"] | None) -> tuple[FormatName, FormatName]:
        """Formats of operands a and b of a product with that label and weight operand."""
        if label in ("qk", "pv"):
            return self.activation, self.activation if self.kv is None else self.kv
        if weight == "a":
            return self.weight, self.activation
        return self.activation, self.weight if weight == "b" else self.activation


def _named(value: FormatName) -> FormatName:
    """A checked name as given; a description by its name, where that name reads back as the same description."""
    fmt = nf.get(value)
    if isinstance(value, str):
        return value
    try:
        return fmt.name if nf.get(fmt.name) == fmt else value
    except ValueError:
        return value


def _text(value: FormatName | None) -> str:
    return value if isinstance(value, str) else repr(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One operation.

    target: the ATen overload, "aten.linear.default"; "parameter" or "buffer" for a Weight; empty for Input, Constant.
    operands: positional arguments in the order of the ATen schema. attributes: keyword arguments.
    outputs: shapes and dtypes; `shape` and `dtype` are the first one's.
    module: path of the module that ran it; weights: fully qualified names of the weights it reads.
    products: the matrix products of a MatMul, Attention (both) or Conv. attention: the shape of an Attention.
    moves: a Layout that copies its elements (cat, pad); False is a view, which costs nothing: whoever wrote the
        elements is assumed to have written them in the order the reader wants.
    append: a cat (or indexed write) that grows a cache in place. Only its new elements are written, and the cache is
        read where attention reads it.
    persistent: False for a buffer that no state_dict holds.
    aliases: other names of a shared (tied) weight.
    data: a Constant's values, little endian, in C order.
    """

    name: str
    kind: Kind
    target: str = ""
    operands: tuple[Argument, ...] = ()
    attributes: tuple[tuple[str, Argument], ...] = ()
    outputs: tuple[Tensor, ...]
    module: str = ""
    weights: tuple[str, ...] = ()
    products: tuple[Product, ...] = ()
    attention: AttentionShape | None = None
    moves: bool = False
    append: bool = False
    persistent: bool = True
    aliases: tuple[str, ...] = ()
    data: bytes | None = None
    formats: Formats | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Node {self.name!r}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if bool(self.products) != (self.kind in PRODUCT_KINDS):
            raise ValueError(f"Node {self.name!r}: {self.kind} has {len(self.products)} products")

    @property
    def shape(self) -> tuple[Size, ...]:
        return self.outputs[0].shape

    @property
    def dtype(self) -> str:
        return self.outputs[0].dtype

    @property
    def is_view(self) -> bool:
        """Whether it only renames elements."""
        return self.kind == "Layout" and not self.moves

    def refs(self) -> Iterator[Ref]:
        """Every node value it reads, in argument order."""
        yield from refs_in(self.operands)
        for _, value in self.attributes:
            yield from refs_in(value)

    def operand_formats(self, product: Product) -> tuple[FormatName, FormatName] | None:
        """Formats of operands a and b of one of its products, or None where none were assigned."""
        return None if self.formats is None else self.formats.operands(product.label, product.weight)


def refs_in(argument: Argument) -> Iterator[Ref]:
    """Every Ref inside an argument."""
    if isinstance(argument, Ref):
        yield argument
    elif isinstance(argument, tuple):
        for item in argument:
            yield from refs_in(item)


def sizes_in(argument: Argument) -> Iterator[sympy.Expr]:
    """Every symbolic size inside an argument."""
    if isinstance(argument, sympy.Expr):
        yield argument
    elif isinstance(argument, tuple):
        for item in argument:
            yield from sizes_in(item)
