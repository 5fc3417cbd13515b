"""A graph run on real numbers: its own ATen operators, with quantised operands where formats are assigned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sympy

from mappers.aten import base_name, matmul_operands
from mappers.graph import Graph
from mappers.multiply import Accumulate, Multiplier, Observe, run_product
from mappers.node import Argument, FormatName, Node, Ref, Torch, sizes_in
from mappers.rewrite import ancestors
from mappers.rounding import rounds, stored
from mappers.symbolic import compile_sizes, symbols_of, to_text

if TYPE_CHECKING:
    import torch

Value = Any  # a tensor, or a tuple of tensors for an operator with several results


def execute(
    graph: Graph,
    inputs: Any,
    weights: Mapping[str, Any],
    *,
    accumulate: Accumulate = "float64",
    pad: bool = False,
    observe: Observe | None = None,
) -> Any:
    """Run the graph once. `prepare` keeps the quantised weights for a loop; the arguments are explained there."""
    return prepare(graph, weights, accumulate=accumulate, pad=pad)(inputs, observe=observe)


def prepare(
    graph: Graph, weights: Mapping[str, Any], *, accumulate: Accumulate = "float64", pad: bool = False
) -> Executor:
    """Quantise the weights once and return a callable: outputs = prepare(graph, weights)(inputs).

    weights: tensors or numpy arrays by fully qualified name (a state_dict, a safetensors file); names beyond those
        of the graph are ignored. A weight of a narrower dtype than the graph's is widened, which is exact.
    accumulate: how a product whose formats name no accumulator sums: "float64" (rounded once to float32) or "float32"
        (BLAS order). Products without formats run as the ATen operator they are, in the graph's dtype.
    pad: lets weights and activations whose length no block divides be padded with zeros (as formats.quantize's pad).

    A graph with a default format stores every floating-point value it computes in it, outputs and attention's scores
    included: the values `evaluate` moves are the ones used here. Inputs and weights are taken as given.

    Raises ImportError without torch; ValueError for a missing weight, and for a shape or dtype that differs.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError('execute needs torch: pip install "bitcost[torch]"') from error
    if accumulate not in ("float64", "float32"):
        raise ValueError(f"execute: accumulate must be 'float64' or 'float32', got {accumulate!r}")
    with torch.no_grad():
        return Executor(graph, weights, Multiplier(accumulate=accumulate, pad=pad, values=graph.default))


@dataclass(frozen=True)
class _Step:
    """A node ready to run: its operator, and the values nobody needs after it."""

    node: Node
    run: Callable[..., Value]
    last: tuple[str, ...]


class Executor:
    """A prepared graph. Calling it runs the graph on inputs and returns its outputs (one alone, or a tuple)."""

    def __init__(self, graph: Graph, weights: Mapping[str, Any], multiplier: Multiplier) -> None:
        self.graph = graph
        self._multiplier = multiplier
        self._constants: dict[str, Value] = {}
        for node in graph.nodes:
            if node.kind == "Weight":
                self._constants[node.name] = _weight(graph, node, weights)
            elif node.kind == "Constant":
                self._constants[node.name] = _constant(node)
        sizes = list(dict.fromkeys(size for node in graph.nodes for size in _sizes(node)))
        self._symbols = sorted(symbols_of(sizes) | {symbol.name for symbol in graph.symbols})
        self._sizes = dict(zip(sizes, range(len(sizes)), strict=True))
        self._compute_sizes = compile_sizes(sizes, self._symbols)
        self._fold_constants()
        self._quantize_weights()
        self._steps = self._schedule()

    def __call__(self, inputs: Any, *, observe: Observe | None = None) -> Any:
        """inputs: a tensor, a sequence in the order of graph.inputs, or a mapping by name (numpy arrays are welcome).

        observe: called as observe(node, product, a, b, c) after every product with formats, with both operands as
            quantised, a [..., m, k] and b [..., k, n], and the product before bias.
        Raises ValueError for inputs whose names, shapes or dtypes are not the graph's.
        """
        import torch

        given = _named_inputs(self.graph, inputs)
        sizes = _bind_sizes(self.graph, given)
        writes = any(_in_place(node) for node in self.graph.nodes)
        values = {name: value.clone() if writes else value for name, value in given.items()}
        with torch.no_grad():
            return self._run(values, sizes, observe)

    def _run(self, values: dict[str, Value], sizes: Mapping[str, int], observe: Observe | None) -> Any:
        numbers = self._compute_sizes(**{name: sizes[name] for name in self._symbols})
        for step in self._steps:
            node = step.node
            arguments = self._resolve(node.operands, values, numbers)
            keywords = {key: self._resolve(value, values, numbers) for key, value in node.attributes}
            if node.products and node.formats is not None:
                values[node.name] = run_product(self._multiplier, node, tuple(arguments), keywords, observe)
            else:
                values[node.name] = self._stored(node, step.run(*arguments, **keywords))
                if _in_place(node):
                    self._multiplier.recent.clear()  # what was quantised may have changed
            for name in step.last:
                del values[name]
        self._multiplier.recent.clear()
        outputs = tuple(self._resolve(ref, values, numbers) for ref in self.graph.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _resolve(self, argument: Argument, values: Mapping[str, Value], numbers: Sequence[int]) -> Any:
        """An argument as torch wants it."""
        if isinstance(argument, Ref):
            value = values[argument.name] if argument.name in values else self._constants[argument.name]
            return value[argument.output] if isinstance(value, tuple | list) else value
        if isinstance(argument, tuple):
            return [self._resolve(item, values, numbers) for item in argument]
        if isinstance(argument, sympy.Expr):
            return numbers[self._sizes[argument]]
        return _torch_constant(argument) if isinstance(argument, Torch) else argument

    def _fold_constants(self) -> None:
        """Compute once what depends on weights alone (a transposed weight, say)."""
        for node in self.graph.nodes:
            reads = [ref.name for ref in node.refs()]
            constant = bool(reads) and all(name in self._constants for name in reads)
            if constant and not node.products and not _in_place(node) and not _sizes(node):
                arguments = self._resolve(node.operands, {}, ())
                keywords = {key: self._resolve(value, {}, ()) for key, value in node.attributes}
                self._constants[node.name] = self._stored(node, _operator(node)(*arguments, **keywords))

    def _stored(self, node: Node, value: Value) -> Value:
        """What a node made, in the graph's default format."""
        fmt = self.graph.default
        if fmt is None or not rounds(node):
            return value
        if isinstance(value, tuple | list):
            return tuple(stored(node, item, fmt) for item in value)
        result = stored(node, value, fmt)
        # Whoever reads the tensor that was written in place must see the rounded values too.
        return value.copy_(result) if _in_place(node) and result is not value else result

    def _quantize_weights(self) -> None:
        """Put the weight operand of every product with formats into its format."""
        for node in self.graph.nodes:
            names = node.operand_formats(node.products[0]) if node.kind in ("MatMul", "Conv") else None
            which = node.products[0].weight if names is not None else None
            if names is None or which is None:
                continue
            position = (matmul_operands(node.target) if node.kind == "MatMul" else (0, 1))["ab".index(which)]
            ref = node.operands[position]
            if not (isinstance(ref, Ref) and ref.name in self._constants):
                continue
            weight = self._resolve(ref, {}, ())
            axis = -1
            if node.kind == "Conv":
                groups = int(node.products[0].batch)
                weight = weight.reshape(groups, weight.shape[0] // groups, -1)
            elif which == "b" and base_name(node.target) != "linear" and weight.dim() > 1:
                axis = -2
            self._multiplier.cache[(node.name, position)] = self._weight_in(
                node, weight, names["ab".index(which)], axis
            )

    def _weight_in(self, node: Node, weight: torch.Tensor, fmt: FormatName, axis: int) -> torch.Tensor:
        """A weight in its format; ValueError where nothing of it is left (a plain integer format on small values)."""
        what = f"weight {', '.join(node.weights)}"
        quantized = self._multiplier.quantize(node, what, weight, fmt, axis, self._multiplier.pad)
        if weight.any() and not quantized.any():
            raise ValueError(
                f"execute: {what} of {node.name!r} becomes all zeros in {fmt}, whose step is far above its values; use "
                f"a format with scales, such as 'int8:channel' for 'int8'"
            )
        return quantized

    def _schedule(self) -> list[_Step]:
        stored = ("Input", "Weight", "Constant")
        nodes = [node for node in self.graph.nodes if node.kind not in stored and node.name not in self._constants]
        last: dict[str, str] = {}
        for node in nodes:
            last.update({ref.name: node.name for ref in node.refs()})
        kept = {ref.name for ref in self.graph.outputs} | set(self._constants)
        free: dict[str, list[str]] = {}
        for name, user in last.items():
            if name not in kept:
                free.setdefault(user, []).append(name)
        return [_Step(node, _operator(node), tuple(free.get(node.name, ()))) for node in nodes]


def evaluate_sizes(graph: Graph, ref: Ref, sizes: Mapping[str, int]) -> torch.Tensor:
    """A value that depends on sizes alone (an attention mask), for these sizes."""
    names = {node.name for node in ancestors(graph, ref)}
    nodes = tuple(node for node in graph.nodes if node.name in names)
    part = Graph(name=graph.name, nodes=nodes, outputs=(ref,), symbols=graph.symbols)
    result: torch.Tensor = Executor(part, {}, Multiplier())._run({}, sizes, None)
    return result


def _sizes(node: Node) -> list[sympy.Expr]:
    return [
        size for argument in (*node.operands, *(value for _, value in node.attributes)) for size in sizes_in(argument)
    ]


def _in_place(node: Node) -> bool:
    return node.target.startswith("aten.") and node.target.split(".")[1] != base_name(node.target)


def _rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """weight * (x32 * rsqrt(mean(x32**2) + eps)).to(x.dtype): the order transformers' RMSNorms use."""
    import torch

    wide = x.to(torch.float32)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def _rotary(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x * cos + cat(-x[half:], x[:half]) * sin along the last axis."""
    import torch

    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin


OWN: dict[str, Callable[..., Value]] = {"bitcost.rms_norm": _rms_norm, "bitcost.rotary": _rotary}


def _operator(node: Node) -> Callable[..., Value]:
    """The operator a node names."""
    import torch

    if node.target in OWN:
        return OWN[node.target]
    space, _, rest = node.target.partition(".")
    name, _, overload = rest.partition(".")
    try:
        return getattr(getattr(getattr(torch.ops, space), name), overload or "default")  # type: ignore[no-any-return]
    except (AttributeError, RuntimeError) as error:
        raise ValueError(
            f"execute: node {node.name!r} (kind {node.kind}, module {node.module!r}) is {node.target!r}, which "
            f"torch {torch.__version__} does not have as an operator"
        ) from error


def _torch_constant(constant: Torch) -> Any:
    import torch

    return torch.device(constant.name) if constant.what == "device" else getattr(torch, constant.name)


def _constant(node: Node) -> torch.Tensor:
    import torch

    shape = [int(size) for size in node.shape]
    dtype = getattr(torch, node.dtype)
    return (
        torch.frombuffer(bytearray(node.data), dtype=dtype).reshape(shape)
        if node.data
        else torch.zeros(shape, dtype=dtype)
    )


def _weight(graph: Graph, node: Node, weights: Mapping[str, Any]) -> torch.Tensor:
    """A weight by any of its names, its shape and dtype checked; widened where the graph's dtype is wider."""
    import torch

    names = list(dict.fromkeys((node.name, *node.aliases)))
    found = next((name for name in names if name in weights), None)
    if found is None:
        where = "" if node.persistent else "; no state_dict holds it: take it from dict(model.named_buffers())"
        raise ValueError(f"execute: graph {graph.name!r} needs weight {' or '.join(map(repr, names))}{where}")
    weight = torch.as_tensor(weights[found])
    if tuple(weight.shape) != node.shape:
        raise ValueError(f"execute: weight {found!r} has shape {tuple(weight.shape)}, the graph's is {node.shape}")
    dtype = getattr(torch, node.dtype)
    if weight.dtype != dtype and torch.promote_types(weight.dtype, dtype) != dtype:
        raise ValueError(
            f"execute: weight {found!r} is {str(weight.dtype)[6:]}, the graph computes in {node.dtype}; round it "
            f"yourself (.to(torch.{node.dtype})), or trace the model in {str(weight.dtype)[6:]}"
        )
    return weight.detach().to(dtype)


def _named_inputs(graph: Graph, inputs: Any) -> dict[str, torch.Tensor]:
    import torch

    names = [node.name for node in graph.inputs]
    if isinstance(inputs, Mapping):
        given = dict(inputs)
    else:
        values = list(inputs) if isinstance(inputs, Sequence) else [inputs]
        if len(values) != len(names):
            raise ValueError(
                f"execute: graph {graph.name!r} takes {len(names)} inputs ({', '.join(names)}), got {len(values)}"
            )
        given = dict(zip(names, values, strict=True))
    if set(given) != set(names):
        raise ValueError(f"execute: graph {graph.name!r} takes inputs {', '.join(names)}; got {', '.join(given)}")
    tensors = {name: torch.as_tensor(given[name]) for name in names}
    for node in graph.inputs:
        if str(tensors[node.name].dtype) != f"torch.{node.dtype}":
            found = str(tensors[node.name].dtype)[6:]
            raise ValueError(f"execute: input {node.name!r} is {found}, the graph was traced with {node.dtype}")
    return tensors


def _bind_sizes(graph: Graph, inputs: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """The size symbols, from the inputs' shapes; every axis is then checked."""
    sizes: dict[str, int] = {}
    for node in graph.inputs:
        if len(node.shape) != inputs[node.name].dim():
            wanted = ", ".join(map(str, node.shape))
            raise ValueError(f"execute: input {node.name!r} must be [{wanted}], got {list(inputs[node.name].shape)}")
        for axis, size in enumerate(node.shape):
            if not isinstance(size, int) and size.is_Symbol:
                sizes.setdefault(size.name, inputs[node.name].shape[axis])
    if open_symbols := {symbol.name for symbol in graph.symbols} - set(sizes):
        raise ValueError(f"execute: no input of graph {graph.name!r} has {min(open_symbols)} as an axis")
    for symbol in graph.symbols:
        if symbol.high is not None and sizes[symbol.name] > symbol.high:
            raise ValueError(
                f"execute: {symbol.name}={sizes[symbol.name]} is above {symbol.high}, the model's own limit"
            )
    for node in graph.inputs:
        if compile_sizes(node.shape, list(sizes))(**sizes) != tuple(inputs[node.name].shape):
            wanted = ", ".join(to_text(size) for size in node.shape)
            bound = ", ".join(f"{name}={value}" for name, value in sizes.items())
            raise ValueError(
                f"execute: input {node.name!r} must be [{wanted}] with {bound}, got {list(inputs[node.name].shape)}"
            )
    return sizes
