"""The matrix products of a graph with quantised operands: linear, matmul, convolution by im2col, attention.

Operands are quantised along the axis that is summed over. The product itself is stated:
    "float64": multiplied and summed in float64, rounded once to float32 (exact wherever 53 bits hold the sum); where
        the formats prove that float32 holds every partial sum, float32 is used, which gives the same bits;
    "float32": multiplied and summed in float32, in BLAS's own order;
    an accumulator, multiplier, order or scaling of the node's formats: `formats.matmul` with these.
With a scaling that multiplies elements and scales apart, `formats.matmul` quantises block-scaled operands itself, and
observers see them before that. A bias is added in float32 after that rounding, and the result is rounded to the graph's
default format (where it has one) and cast to the dtype the graph was traced in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import formats as nf
from mappers.aten import base_name, conv_groups
from mappers.node import FormatName, Node, Product
from mappers.rounding import stored

if TYPE_CHECKING:
    import torch

Accumulate = Literal["float64", "float32"]
Observe = Callable[[Node, Product, "torch.Tensor", "torch.Tensor", "torch.Tensor"], None]
# Cached operands by (node, operand position); only weights are in it.
Cache = dict[tuple[str, int], "torch.Tensor"]


def exact_in_float32(a: FormatName, b: FormatName, k: int) -> bool:
    """Whether float32 holds every partial sum of k products of a and b, in any order.

    True for two scalar formats whose products are multiples of one unit u with k * max|a * b| <= 2**24 * u; scaled
    formats have data-dependent units, so never for them.
    """
    fa, fb = nf.get(a), nf.get(b)
    if not (isinstance(fa, nf.Scalar) and isinstance(fb, nf.Scalar)):
        return False
    largest = [max(abs(fmt.min_finite), abs(fmt.max_finite)) for fmt in (fa, fb)]
    exponent = fa.ulp_exponent + fb.ulp_exponent
    # Below 2**-126 float32 loses bits of its own; above 2**127 it has no values.
    within = exponent >= -126 and k * largest[0] * largest[1] < Fraction(2) ** 127
    return within and k * largest[0] * largest[1] <= Fraction(2) ** (24 + exponent)


@dataclass(frozen=True)
class Multiplier:
    """How products are done: accumulate for nodes without an accumulator of their own, pad for `formats.quantize`,
    values the format results are stored in (None: as they are)."""

    accumulate: Accumulate = "float64"
    pad: bool = False
    values: FormatName | None = None
    cache: Cache = field(default_factory=dict)
    recent: list[tuple[torch.Tensor, FormatName, int, torch.Tensor]] = field(default_factory=list)

    def quantize(self, node: Node, what: str, x: torch.Tensor, fmt: FormatName, axis: int, pad: bool) -> torch.Tensor:
        """x in the format, float32, blocks along `axis`; errors name the node and the operand."""
        import torch

        if fmt in ("float32", "fp32") and x.dtype in (torch.float32, torch.bfloat16, torch.float16):
            return x.float()
        if _read_again(node, fmt):
            return (
                x.float()
            )  # matmul takes the blocks' codes and scales itself, from the values that are rounded to them
        try:
            result: torch.Tensor = nf.quantize(x, fmt, axis=axis, pad=pad)
        except (ValueError, TypeError) as error:
            raise type(error)(f"execute: {what} of {node.name!r} (module {node.module!r}): {error}") from error
        return result

    def operand(self, node: Node, position: int, x: torch.Tensor, fmt: FormatName, axis: int) -> torch.Tensor:
        """A product's operand, quantised along the axis summed over; from the cache if it is a prepared weight."""
        cached = self.cache.get((node.name, position))
        if cached is not None:
            return cached
        # Projections of one input (q, k, v; gate, up) follow each other: the last few operands are kept, by identity.
        for tensor, name, along, held in self.recent:
            if tensor is x and name == fmt and along == axis:
                return held
        result = self.quantize(node, f"operand {position}", x, fmt, axis, self.pad)
        self.recent.append((x, fmt, axis, result))
        del self.recent[:-2]
        return result

    def multiply(
        self, node: Node, a: torch.Tensor, b: torch.Tensor, names: tuple[FormatName, FormatName]
    ) -> torch.Tensor:
        """a [..., m, k] times b [..., k, n] in float32, both already in their formats."""
        import torch

        made = _made(node)
        if made:
            return _emulated(node, a, b, names, made)
        if self.accumulate == "float32" or exact_in_float32(*names, a.shape[-1]):
            return torch.matmul(a, b)
        return torch.matmul(a.double(), b.double()).float()


def _made(node: Node) -> dict[str, Any]:
    """What the node asks `formats.matmul` for besides operands and formats."""
    if node.formats is None:
        return {}
    asked = {name: getattr(node.formats, name) for name in ("accumulator", "multiplier", "order", "scaling")}
    return {name: value for name, value in asked.items() if value is not None}


def _apart(node: Node) -> bool:
    """Whether the node's scaling multiplies elements, and scales afterwards."""
    return node.formats is not None and node.formats.scaling not in (None, "dequantize_first")


def _read_again(node: Node, fmt: FormatName) -> bool:
    """Whether matmul itself is to round to the format: a second rounding of scales of scales is not the first."""
    return _apart(node) and isinstance(nf.get(fmt), nf.Scaled)


def _emulated(
    node: Node, a: torch.Tensor, b: torch.Tensor, names: tuple[FormatName, FormatName], made: dict[str, Any]
) -> torch.Tensor:
    """Through formats.matmul. Block scales leave no common unit, so an integer register needs scalar formats."""
    import torch

    elements = [nf.get(name) for name in names]
    scaled = any(isinstance(fmt, nf.Scaled) for fmt in elements)
    apart = _apart(node)
    if isinstance(made.get("accumulator"), nf.Integer) and scaled and not apart:
        raise ValueError(
            f"execute: {node.name!r} asks for {made['accumulator']} with {' x '.join(map(str, names))}; scaled formats "
            f"have no unit to count in: use formats.Exact(), formats.FloatChain(...), scalar formats or "
            f"scaling='per_block_then_accumulate'"
        )
    # Values are in their formats already, so nothing is cast; float32 holds those of scaled formats. A scaling that
    # multiplies elements reads the blocks of values once more: `quantize` left them as they were.
    read: list[nf.Format | str] = ["float32" if isinstance(fmt, nf.Scaled) and not apart else fmt for fmt in elements]
    left, right = a.numpy(), b.numpy()
    rows, columns = left if left.ndim > 1 else left[None, :], right if right.ndim > 1 else right[:, None]
    try:
        product = nf.matmul(rows, columns, a_format=read[0], b_format=read[1], quantize=apart, **made)
    except (ValueError, TypeError) as error:
        raise type(error)(f"execute: {node.name!r} (module {node.module!r}): {error}") from error
    product = product if left.ndim > 1 else product[..., 0, :]
    product = product if right.ndim > 1 else product[..., 0]
    if product.dtype.kind == "i":
        # An integer register counts in units of the operands' last places.
        units = [fmt.ulp_exponent for fmt in elements if isinstance(fmt, nf.Scalar)]
        product = np.ldexp(product.astype(np.float64), sum(units))
    return torch.from_numpy(np.ascontiguousarray(product)).float()


def run_product(
    multiplier: Multiplier, node: Node, arguments: tuple[Any, ...], keywords: dict[str, Any], observe: Observe | None
) -> Any:
    """The value of a MatMul, Conv or Attention whose formats are assigned."""
    run = {"MatMul": _matmul, "Conv": _convolution, "Attention": _attention}[node.kind]
    return run(multiplier, node, arguments, keywords, observe)


def _names(node: Node, item: Product) -> tuple[FormatName, FormatName]:
    names = node.operand_formats(item)
    assert names is not None, "run_product is for nodes with formats"
    return names


def _matmul(
    multiplier: Multiplier, node: Node, arguments: tuple[Any, ...], keywords: dict[str, Any], observe: Observe | None
) -> Any:
    name = base_name(node.target)
    (item,) = node.products
    names = _names(node, item)
    first, second = (1, 2) if name in ("addmm", "baddbmm") else (0, 1)
    a, b = arguments[first], arguments[second]
    qa = multiplier.operand(node, first, a, names[0], -1)
    qb = multiplier.operand(node, second, b, names[1], -1 if name == "linear" or b.dim() == 1 else -2)
    right = qb.transpose(-1, -2) if name == "linear" else qb
    if name == "_grouped_mm":
        out = _grouped(multiplier, node, qa, qb, arguments[2] if len(arguments) > 2 else keywords["offs"], names)
    else:
        out = multiplier.multiply(node, qa, right, names)
    if observe:
        observe(node, item, qa, right, out)
    if name == "linear" and len(arguments) > 2 and arguments[2] is not None:
        out = out + arguments[2].float()
    if name in ("addmm", "baddbmm"):
        beta, alpha = keywords.get("beta", 1), keywords.get("alpha", 1)
        out = arguments[0].float() * beta + out * alpha if (beta, alpha) != (1, 1) else out + arguments[0].float()
    return stored(node, out, multiplier.values).to(a.dtype)


def _grouped(
    multiplier: Multiplier,
    node: Node,
    a: torch.Tensor,
    b: torch.Tensor,
    ends: torch.Tensor,
    names: tuple[FormatName, FormatName],
) -> torch.Tensor:
    """Rows up to ends[0] times b[0], the next up to ends[1] times b[1], and so on."""
    import torch

    starts = [0, *ends.tolist()[:-1]]
    parts = [
        multiplier.multiply(node, a[s:e], b[i], names)
        for i, (s, e) in enumerate(zip(starts, ends.tolist(), strict=True))
    ]
    return torch.cat(parts)


def _convolution(
    multiplier: Multiplier, node: Node, arguments: tuple[Any, ...], keywords: dict[str, Any], observe: Observe | None
) -> Any:
    """im2col: each output place reads one row of channels * kernel inputs, quantised as that row."""

    (item,) = node.products
    names = _names(node, item)
    x, w = arguments[0], arguments[1]
    groups = conv_groups(node.target, node.operands)
    rows = _patches(node, x, w, arguments)
    batch, places = rows.shape[0], rows.shape[1]
    rows = rows.reshape(batch, places, groups, -1).permute(2, 0, 1, 3).reshape(groups, batch * places, -1)
    filters = w.reshape(groups, w.shape[0] // groups, -1)
    qa = multiplier.operand(node, 0, rows, names[0], -1)
    qb = multiplier.operand(node, 1, filters, names[1], -1).transpose(-1, -2)
    out = multiplier.multiply(node, qa, qb, names)
    if observe:
        observe(node, item, qa, qb, out)
    out = (
        out.reshape(groups, batch, places, -1).permute(1, 0, 3, 2).reshape(batch, w.shape[0], *_places(x, w, arguments))
    )
    bias = arguments[2] if len(arguments) > 2 else None
    if bias is not None:
        out = out + bias.float().reshape(-1, *[1] * (x.dim() - 2))
    return stored(node, out, multiplier.values).to(x.dtype)


def _window(x: torch.Tensor, arguments: tuple[Any, ...]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Stride, padding and dilation, one per axis, of aten.convNd and aten.convolution."""
    axes = x.dim() - 2

    def each(position: int, default: int) -> tuple[int, ...]:
        value = arguments[position] if len(arguments) > position else default
        values = (value,) if isinstance(value, int) else tuple(value)
        return values * (axes // len(values))

    return each(3, 1), each(4, 0), each(5, 1)


def _places(x: torch.Tensor, w: torch.Tensor, arguments: tuple[Any, ...]) -> list[int]:
    stride, padding, dilation = _window(x, arguments)
    sizes = zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)
    return [(size + 2 * pad - dil * (kernel - 1) - 1) // step + 1 for size, kernel, step, pad, dil in sizes]


def _patches(node: Node, x: torch.Tensor, w: torch.Tensor, arguments: tuple[Any, ...]) -> torch.Tensor:
    """[batch, places, channels * kernel]: what each output place reads."""
    import torch

    if isinstance(arguments[4] if len(arguments) > 4 else 0, str) or x.dim() not in (3, 4):
        raise ValueError(
            f"execute: {node.name!r} ({node.target}) has {x.dim() - 2} axes and padding "
            f"{arguments[4] if len(arguments) > 4 else 0!r}; quantised convolutions have "
            f"1 or 2 axes and numeric padding"
        )
    stride, padding, dilation = _window(x, arguments)
    kernel = tuple(w.shape[2:])
    if x.dim() == 3:
        x = x.unsqueeze(2)
        kernel, stride, padding, dilation = (1, *kernel), (1, *stride), (0, *padding), (1, *dilation)
    return torch.nn.functional.unfold(x, kernel, dilation, padding, stride).transpose(1, 2)


def _attention(
    multiplier: Multiplier, node: Node, arguments: tuple[Any, ...], keywords: dict[str, Any], observe: Observe | None
) -> Any:
    """softmax(q k^T * scale + mask) v, softmax in float32; q and k quantised along the head dimension.

    Probabilities and v are quantised along the keys, the axis the second product sums over, so that a scale applies
    to whole partial sums. A cache that grows would need a running scale: here each call scales v over the keys it has.
    Blocks along the keys are padded: the number of keys is the data's, not the format's. Scores go through memory:
    they are stored in the graph's default format before scale, mask and softmax.
    """
    import torch

    scores, values = node.products
    q_names, v_names = _names(node, scores), _names(node, values)
    q, k, v = arguments[:3]
    qa = multiplier.operand(node, 0, q, q_names[0], -1)
    qk = _per_head(multiplier.operand(node, 1, k, q_names[1], -1), q)
    logits = multiplier.multiply(node, qa, qk.transpose(-1, -2), q_names)
    if observe:
        observe(node, scores, qa, qk.transpose(-1, -2), logits)
    scale = keywords.get("scale")
    logits = stored(node, logits, multiplier.values)
    logits = logits * (q.shape[-1] ** -0.5 if scale is None else scale)
    logits, blind = _masked(logits, arguments, keywords)
    probabilities = torch.softmax(logits, dim=-1)
    if blind:  # a query that may see nothing gets zeros, as aten's attention gives
        probabilities = probabilities.nan_to_num(nan=0.0)
    pa = multiplier.quantize(node, "probabilities", probabilities, v_names[0], -1, True)
    pv = _per_head(multiplier.quantize(node, "operand 2", v, v_names[1], -2, True), q)
    out = multiplier.multiply(node, pa, pv, v_names)
    if observe:
        observe(node, values, pa, pv, out)
    return stored(node, out, multiplier.values).to(q.dtype)


def _per_head(x: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Keys or values repeated for the query heads that share them."""
    repeats = q.shape[-3] // x.shape[-3] if x.dim() > 2 else 1
    return x if repeats == 1 else x.repeat_interleave(repeats, dim=-3)


def _masked(logits: torch.Tensor, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[torch.Tensor, bool]:
    """Logits, overwritten, with what a query must not see at minus infinity; and whether one may see nothing at all."""
    import torch

    mask = arguments[3] if len(arguments) > 3 else keywords.get("attn_mask")
    causal = arguments[5] if len(arguments) > 5 else keywords.get("is_causal", False)
    if causal:
        rows, keys = logits.shape[-2:]
        # Every query sees at least the first key, so none is blind.
        return logits.masked_fill_(_above_diagonal(rows, keys), float("-inf")), False
    if mask is None:
        return logits, False
    if mask.dtype == torch.bool:
        return logits.masked_fill_(~mask, float("-inf")), not bool(mask.any(-1).all())
    return logits + mask.float(), bool(torch.isneginf(mask).any())


@cache
def _above_diagonal(rows: int, keys: int) -> torch.Tensor:
    """True where a key comes after the query."""
    import torch

    return torch.ones(rows, keys, dtype=torch.bool).triu(1)
