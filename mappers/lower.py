"""One torch.export graph, node by node, into ours: sizes as sympy, weights by name, no-ops dropped and counted."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mappers.aten import (
    ASSERTIONS,
    MOVES,
    attention_shape,
    base_name,
    conv_product,
    kind_of,
    matmul_operands,
    matmul_product,
    words,
)
from mappers.node import Argument, Node, Product, Ref, Tensor, Torch
from mappers.symbolic import Size, from_torch

IDENTITIES = words("alias detach lift_fresh lift_fresh_copy")
# Layout operators that do nothing when the shape stays (a slice of everything, an expand to the same shape).
SHAPE_ONLY = words("""
    broadcast_to expand expand_as flatten narrow reshape slice squeeze _unsafe_view unflatten view view_as
""")
DROPOUTS = words("dropout feature_dropout alpha_dropout")


class Lowering:
    """Collects nodes. names: torch's size symbols -> ours. strip: prefix to leave out of paths and weight names."""

    def __init__(self, names: Mapping[Any, str], strip: str) -> None:
        self.names = dict(names)
        self.strip = strip
        self.nodes: list[Node] = []
        self.outputs: list[Ref] = []
        self.dropped: Counter[str] = Counter()
        self._values: dict[str, Argument] = {}  # what an fx node's name stands for
        self._by_name: dict[str, Node] = {}

    def add_input(self, fx: Any) -> None:
        """A user input; constants among the arguments (None, flags) are baked into the graph already."""
        if hasattr(fx.meta.get("val"), "shape"):
            self._add(fx, Node(name=fx.name, kind="Input", outputs=(self._tensor(fx.meta["val"]),)))

    def add_weight(self, fx: Any, names: Sequence[str], target: str, *, persistent: bool, value: Any) -> None:
        """A parameter, buffer or constant tensor; a shared one met again is the node it already is.

        names: all its names in the model. value: its values, for a Constant; None for a Weight.
        """
        name, *aliases = (self._path(each) for each in names)
        outputs = (self._tensor(fx.meta["val"]),)
        if name in self._by_name:
            self._values[fx.name] = Ref(name)
        elif value is not None:
            import torch

            data = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
            self._add(fx, Node(name=name, kind="Constant", outputs=outputs, data=data))
        else:
            node = Node(
                name=name,
                kind="Weight",
                target=target,
                outputs=outputs,
                weights=(name,),
                persistent=persistent,
                aliases=tuple(aliases),
            )
            self._add(fx, node)

    def add_outputs(self, fx: Any) -> None:
        """The model's results, flattened; results that are no tensors are left out."""
        import torch.utils._pytree as pytree

        for leaf in pytree.tree_leaves(fx.args[0]):
            value = self._argument(leaf)
            if isinstance(value, Ref):
                self.outputs.append(value)

    def add_call(self, fx: Any) -> None:
        """An operator call: a size becomes an expression, a no-op its operand, anything else a node."""
        value = fx.meta.get("val")
        target = _target(fx.target)
        if fx.target is operator.getitem:
            base = self._argument(fx.args[0])
            if isinstance(base, Ref):
                self._values[fx.name] = Ref(base.name, int(fx.args[1]))
                return
        if (size := self._as_size(value)) is not None:
            self._values[fx.name] = size
            return
        if base_name(target) in ASSERTIONS or (value is None and target.startswith("_operator.")):
            self.dropped[target] += 1
            return
        operands = tuple(self._argument(argument) for argument in fx.args)
        attributes = tuple((key, self._argument(item)) for key, item in fx.kwargs.items() if not _is_placement(key))
        outputs = self._outputs(value)
        if (same := self._no_op(target, operands, outputs)) is not None:
            self.dropped[target] += 1
            self._values[fx.name] = same
            return
        self._add(fx, self._node(fx, target, operands, attributes, outputs))

    def _node(
        self,
        fx: Any,
        target: str,
        operands: tuple[Argument, ...],
        attributes: tuple[tuple[str, Argument], ...],
        outputs: tuple[Tensor, ...],
    ) -> Node:
        kind = kind_of(target)
        products: tuple[Product, ...] = ()
        attention = None
        if kind in ("MatMul", "Conv"):
            found = self._product(kind, target, operands, outputs[0])
            products = (found,) if found else ()
        elif kind == "Attention":
            q, k, v = (self._operand(operand) for operand in operands[:3])
            causal = (len(operands) > 5 and operands[5] is True) or ("is_causal", True) in attributes
            attention = attention_shape(q, k, v, causal=causal)
            products = attention.products()
        if kind in ("MatMul", "Conv") and not products:
            kind = "Unknown"
        refs = Node(name=fx.name, kind="Unknown", operands=operands, attributes=attributes, outputs=outputs).refs()
        return Node(
            name=fx.name,
            kind=kind,
            target=target,
            operands=operands,
            attributes=attributes,
            outputs=outputs,
            module=self._path(_module(fx)),
            weights=tuple(dict.fromkeys(name for ref in refs for name in self._weights(ref))),
            products=products,
            attention=attention,
            moves=kind == "Layout" and base_name(target) in MOVES,
        )

    def _product(self, kind: str, target: str, operands: tuple[Argument, ...], out: Tensor) -> Product | None:
        if kind == "Conv":
            return conv_product(target, operands, self._operand(operands[0]), self._operand(operands[1]), out)
        left, right = (operands[position] for position in matmul_operands(target))
        weight = next((which for which, x in (("b", right), ("a", left)) if self._weights(x)), None)
        return matmul_product(target, self._operand(left), self._operand(right), weight)  # type: ignore[arg-type]

    def _weights(self, argument: Argument) -> tuple[str, ...]:
        """The weight an argument is, directly or through views."""
        while isinstance(argument, Ref):
            node = self._by_name[argument.name]
            if node.kind == "Weight":
                return node.weights
            argument = next(node.refs(), None) if node.is_view else None
        return ()

    def _operand(self, argument: Argument) -> Tensor:
        if not isinstance(argument, Ref):
            raise ValueError(f"expected a tensor operand, got {argument!r}")
        return self._by_name[argument.name].outputs[argument.output]

    def _no_op(self, target: str, operands: tuple[Argument, ...], outputs: tuple[Tensor, ...]) -> Ref | None:
        """The operand an operation returns unchanged, if it does."""
        name = base_name(target)
        if not operands or len(outputs) != 1:
            return None
        if name in ("cat", "concat") and isinstance(operands[0], tuple):
            # An empty cache starts as a tensor of no elements.
            filled = [item for item in operands[0] if isinstance(item, Ref) and self._operand(item).elements != 0]
            return filled[0] if len(filled) == 1 and self._operand(filled[0]) == outputs[0] else None
        first = operands[0]
        if not isinstance(first, Ref) or self._operand(first) != outputs[0] or not target.startswith("aten."):
            return None
        same = name in IDENTITIES or name in SHAPE_ONLY or name in ("to", "_to_copy", "type_as")
        same |= name in DROPOUTS and len(operands) == 3 and operands[2] is False
        # Exact: an integer plus 0, a float times 1.0. (A float plus 0 is not: -0 becomes +0.)
        floating = outputs[0].dtype.startswith(("float", "bfloat"))
        same |= name in ("add", "sub") and len(operands) == 2 and operands[1] == 0 and not floating
        same |= name in ("mul", "div") and operands[1] == 1 and not isinstance(operands[1], bool | Ref) and floating
        return first if same else None

    def _add(self, fx: Any, node: Node) -> None:
        self.nodes.append(node)
        self._by_name[node.name] = node
        self._values[fx.name] = Ref(node.name)

    def _path(self, path: str) -> str:
        return path.removeprefix(self.strip) if path != self.strip.rstrip(".") else ""

    def _tensor(self, value: Any) -> Tensor:
        shape = tuple(self._size(size) for size in value.shape)
        return Tensor(shape, str(value.dtype).removeprefix("torch."))

    def _outputs(self, value: Any) -> tuple[Tensor, ...]:
        values = value if isinstance(value, tuple | list) else (value,)
        tensors = tuple(self._tensor(item) for item in values if hasattr(item, "shape"))
        return tensors or (Tensor((0,), "uint8"),)

    def _size(self, value: Any) -> Size:
        return from_torch(value.node.expr, self.names) if hasattr(value, "node") else int(value)

    def _as_size(self, value: Any) -> Size | None:
        """The size a SymInt (or plain int) result is, None for anything else."""
        import torch

        if isinstance(value, torch.SymInt) or (isinstance(value, int) and not isinstance(value, bool)):
            return self._size(value)
        return None

    def _argument(self, argument: Any) -> Argument:
        import torch

        if isinstance(argument, torch.fx.Node):
            if argument.name not in self._values:
                return f"<{argument.name}>"  # a subgraph of a higher-order operator: named, not described
            return self._values[argument.name]
        if isinstance(argument, tuple | list):
            return tuple(self._argument(item) for item in argument)
        if isinstance(argument, torch.SymInt):
            return self._size(argument)
        for what, kind in (("dtype", torch.dtype), ("memory_format", torch.memory_format), ("layout", torch.layout)):
            if isinstance(argument, kind):
                return Torch(what, str(argument).removeprefix("torch."))  # type: ignore[arg-type]
        if isinstance(argument, torch.device):
            return Torch("device", "cpu")  # graphs run where their inputs are; the traced device means nothing
        if argument is None or isinstance(argument, bool | int | float | str):
            return argument
        return f"<{type(argument).__name__}>"


def _target(target: Any) -> str:
    """ "aten.linear.default" for an operator overload, else module and name."""
    text = str(target)
    return text if not text.startswith("<") else f"_operator.{getattr(target, '__name__', text)}"


def _module(fx: Any) -> str:
    """Path of the innermost module; a module called twice keeps one path (torch.export adds "@1")."""
    stack = fx.meta.get("nn_module_stack")
    path = next(reversed(stack.values()))[0] if stack else ""
    return "" if path.startswith("_empty_nn_module_stack") else ".".join(part.split("@")[0] for part in path.split("."))


def _is_placement(key: str) -> bool:
    return key in ("device", "pin_memory", "layout")
