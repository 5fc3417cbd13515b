"""What each ATen operator is to hardware: its kind, and for products their GEMM sizes.

An operator not listed here becomes Unknown: kept, executed, reported as unpriced; never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import sympy

from mappers.node import Argument, AttentionShape, Kind, Product, Tensor
from mappers.symbolic import Size, as_size, product


def words(text: str) -> frozenset[str]:
    """Names written one after the other."""
    return frozenset(text.split())


VIEWS = words("""
    alias as_strided broadcast_to chunk clone contiguous detach diagonal expand expand_as flatten lift_fresh_copy
    matrix_H mH mT moveaxis movedim narrow numpy_T permute ravel reshape reshape_as select slice split
    split_with_sizes squeeze swapaxes swapdims t tensor_split transpose unbind unflatten unsafe_chunk unsafe_split
    _unsafe_view unsqueeze view view_as
""")
MOVES = words("""
    cat concat concatenate constant_pad_nd copy flip hstack im2col index_copy index_put pad pixel_shuffle
    pixel_unshuffle repeat repeat_interleave roll scatter scatter_add select_scatter slice_scatter stack tile unfold
    vstack
""")
ELEMENTWISE = words("""
    __and__ __or__ __xor__ abs add addcdiv addcmul arange atan atan2 bitwise_and bitwise_not bitwise_or bitwise_xor
    ceil celu clamp clamp_max clamp_min clip cos cosh diff div divide dropout elu empty empty_like eq erf exp exp2
    expm1 eye fill floor floor_divide fmod full full_like ge gelu glu gt hardsigmoid hardswish hardtanh isfinite isinf
    isnan le leaky_relu lerp linspace log log10 log1p log2 log_sigmoid logical_and logical_not logical_or logical_xor
    lt masked_fill maximum minimum mish mul multiply ne neg new_empty new_full new_ones new_zeros one_hot ones
    ones_like outer polar pow prelu reciprocal relu relu6 remainder round rsqrt rsub scalar_tensor selu sigmoid sign
    silu sin sinh softplus sqrt square sub subtract tan tanh tensor threshold to _to_copy tril triu true_divide trunc
    type_as where zero zeros zeros_like
""")
NORMS = words("""
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d all amax amin any argmax argmin argsort avg_pool1d
    avg_pool2d batch_norm count_nonzero cumprod cumsum _fused_rms_norm group_norm histc instance_norm layer_norm
    linalg_vector_norm log_softmax _log_softmax logcumsumexp logsumexp max max_pool1d max_pool2d
    max_pool2d_with_indices mean median min _native_batch_norm_legit _native_batch_norm_legit_no_training
    native_group_norm native_layer_norm norm prod rms_norm softmax _softmax sort std std_mean sum topk var var_mean
""")
GATHERS = words("embedding gather index index_select take take_along_dim upsample_nearest2d")
MATMULS = words("addmm baddbmm bmm _grouped_mm linear matmul mm mv")
CONVOLUTIONS = words("conv1d conv2d conv3d convolution")
# Checks that torch.export leaves in the graph; they compute nothing.
ASSERTIONS = words("""
    _assert_tensor_metadata _assert_scalar _assert_async sym_constrain_range sym_constrain_range_for_size _check
    _check_is_size
""")


# Operators of other libraries that compute what an ATen one does.
SAME_AS = {"transformers.grouped_mm_fallback.default": "_grouped_mm"}


def base_name(target: str) -> str:
    """ "aten.add_.Tensor" -> "add": the operator without namespace, overload and in-place mark."""
    if target in SAME_AS:
        return SAME_AS[target]
    name = target.split(".")[1] if target.startswith("aten.") else target
    return name if name.endswith("__") else name.rstrip("_")


def kind_of(target: str) -> Kind:
    """The kind of an operator; Unknown where it is on no list."""
    if not target.startswith("aten.") and target not in SAME_AS:
        return "Unknown"
    name = base_name(target)
    if target in ("aten.max.other", "aten.min.other"):
        return "Elementwise"
    if name == "scaled_dot_product_attention":
        return "Attention"
    table: tuple[tuple[frozenset[str], Kind], ...] = (
        (VIEWS | MOVES, "Layout"),
        (ELEMENTWISE, "Elementwise"),
        (NORMS, "Norm"),
        (GATHERS, "Gather"),
        (MATMULS, "MatMul"),
        (CONVOLUTIONS, "Conv"),
    )
    return next((kind for names, kind in table if name in names), "Unknown")


WeightOperand = Literal["a", "b"] | None


def matmul_operands(target: str) -> tuple[int, int]:
    """Positions of operands a and b of a MatMul among its arguments (addmm and baddbmm start with what they add)."""
    return (1, 2) if base_name(target) in ("addmm", "baddbmm") else (0, 1)


def matmul_product(target: str, a: Tensor, b: Tensor, weight: WeightOperand) -> Product | None:
    """GEMM sizes of a MatMul of those operands, or None for a form not treated here (vector times vector).

    A right operand without batch axes joins the left one's batch axes into m.
    """
    name = base_name(target)
    if name == "linear":
        rows, k, n, batch = product(a.shape[:-1]), a.shape[-1], b.shape[0], 1
    elif name == "_grouped_mm":
        # Each of the m rows meets one of the stacked [k, n] matrices; which one is data.
        if (len(a.shape), len(b.shape)) != (2, 3):
            return None
        rows, k, n, batch = a.shape[0], a.shape[1], b.shape[2], 1
    elif len(b.shape) == 1 and len(a.shape) >= 2:
        rows, k, n, batch = product(a.shape[:-1]), a.shape[-1], 1, 1
    elif len(a.shape) == 1 and len(b.shape) == 2:
        rows, k, n, batch = 1, b.shape[0], b.shape[1], 1
    elif len(a.shape) >= 2 and all(size == 1 for size in b.shape[:-2]):
        rows, k, n, batch = product(a.shape[:-1]), a.shape[-1], b.shape[-1], 1
    elif len(a.shape) >= 2 and len(b.shape) >= 2:
        rows, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
        batch = product(_broadcast(a.shape[:-2], b.shape[:-2]))
    else:
        return None
    label = {"linear": "linear", "_grouped_mm": "grouped"}.get(name, "matmul")
    sizes = {"a_elements": a.elements, "b_elements": b.elements}
    return Product(label=label, m=rows, k=k, n=n, batch=batch, weight=weight, **sizes)


def _broadcast(a: Sequence[Size], b: Sequence[Size]) -> tuple[Size, ...]:
    length = max(len(a), len(b))
    left, right = (1,) * (length - len(a)) + tuple(a), (1,) * (length - len(b)) + tuple(b)
    return tuple(y if x == 1 else x for x, y in zip(left, right, strict=True))


def conv_product(target: str, operands: Sequence[Argument], x: Tensor, w: Tensor, out: Tensor) -> Product | None:
    """The GEMM a convolution lowers to: m output places, k = channels per group * kernel, n filters per group.

    operands: the ATen arguments. None for a transposed convolution, or an input without batch axis.
    """
    if len(x.shape) != len(w.shape) or (base_name(target) == "convolution" and operands[6] is not False):
        return None
    groups = conv_groups(target, operands)
    return Product(
        label="conv",
        m=product((out.shape[0], *out.shape[2:])),
        k=product(w.shape[1:]),
        n=as_size(sympy.Rational(1, groups) * out.shape[1]),
        batch=groups,
        weight="b",
        a_elements=x.elements,
        b_elements=w.elements,
    )


def conv_groups(target: str, operands: Sequence[Argument]) -> int:
    """The groups argument: the last in both aten.convNd and aten.convolution."""
    position = 8 if base_name(target) == "convolution" else 6
    groups = operands[position] if len(operands) > position else 1
    if not isinstance(groups, int):
        raise ValueError(f"{target}: groups must be a number, got {groups!r}")
    return groups


def attention_shape(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> AttentionShape:
    """The shape of aten.scaled_dot_product_attention; [length, dim] operands count as one head."""
    heads = q.shape[-3] if len(q.shape) > 2 else 1
    return AttentionShape(
        batch=product(q.shape[:-3]),
        heads=heads,
        kv_heads=k.shape[-3] if len(k.shape) > 2 else 1,
        query_length=q.shape[-2],
        key_length=k.shape[-2],
        head_dim=q.shape[-1],
        value_dim=v.shape[-1],
        causal=causal,
    )
