"""From a torch model to a Graph, through torch.export: no weights needed, batch and sequence symbolic."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mappers.graph import Graph, Symbol
from mappers.lower import Lowering
from mappers.passes import simplify

if TYPE_CHECKING:
    import torch

Dynamic = Mapping[str, Mapping[int, str]]
# Buffers that no checkpoint holds (rotary frequencies, position numbers) travel in the graph up to this size.
CONSTANT_ELEMENTS = 65536


def trace(
    model: torch.nn.Module,
    example_inputs: torch.Tensor | Sequence[Any] | Mapping[str, Any],
    dynamic: Dynamic | None = None,
    *,
    name: str | None = None,
    strip: str = "",
    buffers: Mapping[str, torch.Tensor] | None = None,
) -> Graph:
    """The op graph of one call of `model`. The meta device is fine, for the model and the inputs.

    example_inputs: a tensor, positional arguments, or a mapping of keyword arguments; only shapes and dtypes matter.
    dynamic: which axes are symbols, by argument name: {"input_ids": {0: "B", 1: "S"}, "cache": {0: "B", 2: "P"}}; one
        entry serves every tensor of a nested argument. {} traces fixed sizes. None makes axis 0 of every tensor `B`,
        and axis 1 of integer tensors and of float tensors with three axes `S`, unless the model fixes that axis.
    name: the graph's name; the class name by default.
    strip: leading part of module paths and weight names to leave out: a wrapper's attribute, such as "model".
    buffers: values of buffers that no state_dict holds, for a model on the meta device; kept in the graph.

    Operators are kept as torch.export's training IR has them (linear, attention, conv2d stay whole). Left out, and
    counted in `provenance`: checks, casts and layout operations that change nothing, dropout of a model in eval mode,
    and the construction of attention masks found to be causal or empty (see passes.fold_masks).

    Raises ImportError without torch; ValueError for a symbolic axis whose example size is below 2 (torch.export fixes
    sizes 0 and 1), for an axis the model fixes, and for one axis given two names.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError('trace needs torch: pip install "bitcost[torch]"') from error

    arguments, keywords = _on_device(_arguments(model, example_inputs), model)
    bound = _bound(model, arguments, keywords)
    chosen = _default_dynamic(bound) if dynamic is None else dynamic
    if unknown := set(chosen) - set(bound):
        raise ValueError(f"trace: dynamic names {min(unknown)!r}; the example inputs are {', '.join(bound)}")
    _check_examples(bound, chosen)
    shapes = _dynamic_shapes(model, arguments, keywords, chosen)
    with torch.no_grad():
        exported = torch.export.export(model, arguments, keywords, strict=False, dynamic_shapes=shapes)
    names, symbols = _symbols(exported, bound, chosen, required=dynamic is not None)
    lowering = Lowering(names=names, strip=f"{strip}." if strip else "")
    _lower(lowering, exported, _aliases(model), _constants(model, exported, buffers or {}))
    graph = Graph(
        name=name or type(model).__name__,
        nodes=tuple(lowering.nodes),
        outputs=tuple(lowering.outputs),
        symbols=tuple(symbols),
        provenance=(("torch", torch.__version__.split("+")[0]), *_dropped(lowering.dropped)),
    )
    return simplify(graph)


def _lower(lowering: Lowering, exported: Any, aliases: Mapping[str, list[str]], constants: Mapping[str, Any]) -> None:
    """Give the lowering every node of the exported program, weights under their names in the model."""
    signature = exported.graph_signature
    parameters = signature.inputs_to_parameters
    weights = {**parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    for node in exported.graph.nodes:
        if node.op == "call_function":
            lowering.add_call(node)
        elif node.op == "output":
            lowering.add_outputs(node)
        elif node.op == "placeholder" and node.name in weights:
            full = weights[node.name]
            lowering.add_weight(
                node,
                aliases.get(full, [full]),
                "parameter" if node.name in parameters else "buffer",
                persistent=full in exported.state_dict,
                value=constants.get(full),
            )
        elif node.op == "placeholder":
            lowering.add_input(node)


def _dropped(dropped: Counter[str]) -> tuple[tuple[str, str], ...]:
    text = ", ".join(f"{name} x{count}" for name, count in sorted(dropped.items()))
    return (("dropped no-ops", text),) if text else ()


def _arguments(model: torch.nn.Module, example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments, the keywords in the order of the model's signature."""
    import torch

    if isinstance(example_inputs, torch.Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Mapping):
        order = list(inspect.signature(model.forward).parameters)
        known = [key for key in order if key in example_inputs]
        rest = [key for key in example_inputs if key not in order]
        return (), {key: example_inputs[key] for key in (*known, *rest)}
    if isinstance(example_inputs, Sequence):
        return tuple(example_inputs), {}
    raise TypeError(
        f"trace: example_inputs must be a tensor, a sequence or a mapping, got {type(example_inputs).__name__}"
    )


def _on_device(arguments: Any, model: torch.nn.Module) -> Any:
    """The same arguments, tensors on the model's device: an example's values are not used."""
    import torch
    from torch.utils import _pytree

    device = next((tensor.device for tensor in model.state_dict().values()), None)

    def move(leaf: Any) -> Any:
        return leaf.to(device) if isinstance(leaf, torch.Tensor) and device is not None else leaf

    return _pytree.tree_map(move, arguments)


def _bound(model: torch.nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name; those caught by **kwargs under their own."""
    signature = inspect.signature(model.forward)
    named: dict[str, Any] = {}
    for key, value in signature.bind(*arguments, **keywords).arguments.items():
        if signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        else:
            named[key] = value
    return named


def _leaves(value: Any) -> list[tuple[str, torch.Tensor]]:
    """Tensors inside one argument, with the path to each."""
    import torch
    from torch.utils import _pytree

    pairs = _pytree.tree_flatten_with_path(value)[0]
    return [(_pytree.keystr(path), leaf) for path, leaf in pairs if isinstance(leaf, torch.Tensor)]


def _default_dynamic(bound: Mapping[str, Any]) -> Dynamic:
    chosen: dict[str, dict[int, str]] = {}
    for key, value in bound.items():
        tensors = [leaf for _, leaf in _leaves(value)]
        if tensors and all(tensor.dim() >= 1 for tensor in tensors):
            chosen[key] = {0: "B"}
            if all(tensor.dim() == (3 if tensor.is_floating_point() else 2) for tensor in tensors):
                chosen[key][1] = "S"
    return chosen


def _check_examples(bound: Mapping[str, Any], chosen: Dynamic) -> None:
    for key, axes in chosen.items():
        for path, tensor in _leaves(bound[key]):
            for axis, symbol in axes.items():
                if axis >= tensor.dim():
                    raise ValueError(f"trace: {key}{path} has {tensor.dim()} axes, so axis {axis} cannot be {symbol!r}")
                if tensor.shape[axis] < 2:
                    raise ValueError(
                        f"trace: axis {axis} ({symbol}) of the example {key}{path} has size {tensor.shape[axis]}; "
                        f"torch.export fixes sizes 0 and 1: give an example of 2 or more, or dynamic without that axis"
                    )


def _dynamic_shapes(
    model: torch.nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], chosen: Dynamic
) -> dict[str, Any]:
    """torch.export's dynamic_shapes: AUTO for the chosen axes, so that what the model fixes can be told apart."""
    import torch
    from torch.utils import _pytree

    def spec(key: str, value: Any) -> Any:
        axes = dict.fromkeys(chosen.get(key, {}), torch.export.Dim.AUTO)
        return _pytree.tree_map(lambda leaf: axes or None if isinstance(leaf, torch.Tensor) else None, value)

    signature = inspect.signature(model.forward)
    shapes: dict[str, Any] = {}
    for key, value in signature.bind(*arguments, **keywords).arguments.items():
        catches_all = signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD
        shapes[key] = {name: spec(name, item) for name, item in value.items()} if catches_all else spec(key, value)
    return shapes


def _symbols(
    exported: Any, bound: Mapping[str, Any], chosen: Dynamic, required: bool
) -> tuple[dict[Any, str], list[Symbol]]:
    """torch's symbol -> our name, and our symbols with the upper limits torch.export found."""
    import torch

    inputs = [node for node in exported.graph.nodes if node.op == "placeholder"]
    inputs = [node for node in inputs if node.name in exported.graph_signature.user_inputs]
    values = [node.meta["val"] for node in inputs if isinstance(node.meta.get("val"), torch.Tensor)]
    leaves = [(key, path, tensor) for key, value in bound.items() for path, tensor in _leaves(value)]
    names: dict[Any, str] = {}
    limits: dict[str, int | None] = {}
    for (key, path, tensor), value in zip(leaves, values, strict=True):
        for axis, symbol in chosen.get(key, {}).items():
            size = value.shape[axis]
            expression = size.node.expr if isinstance(size, torch.SymInt) else size
            if not getattr(expression, "is_Symbol", False):
                if required:
                    raise ValueError(
                        f"trace: the model fixes axis {axis} of {key}{path} to {expression}, so it cannot be "
                        f"{symbol!r}; leave that axis out of dynamic"
                    )
                continue
            if names.setdefault(expression, symbol) != symbol:
                raise ValueError(
                    f"trace: the model needs axis {axis} of {key}{path} ({symbol!r}) to equal the axis named "
                    f"{names[expression]!r}; give both one name"
                )
            limits[symbol] = _tighter(limits.get(symbol), exported.range_constraints.get(expression))
        if value.dim() != tensor.dim():
            raise RuntimeError(
                f"torch.export reordered its inputs: {key}{path} has {tensor.dim()} axes, not {value.dim()}"
            )
    return names, [Symbol(name, high) for name, high in limits.items()]


def _tighter(limit: int | None, constraint: Any) -> int | None:
    """The smaller of a limit and the upper end of torch's range, None for no limit."""
    upper = getattr(constraint, "upper", None)
    high = int(upper) if upper is not None and getattr(upper, "is_Integer", False) else None
    return min((value for value in (limit, high) if value is not None), default=None)


def _constants(model: torch.nn.Module, exported: Any, buffers: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Values that no state_dict holds: small non-persistent buffers and tensors made in forward."""
    import torch

    values = {**exported.constants, **dict(model.named_buffers()), **buffers}
    keep: dict[str, torch.Tensor] = {}
    for name, value in values.items():
        if isinstance(value, torch.Tensor) and name not in exported.state_dict and value.numel() <= CONSTANT_ELEMENTS:
            if value.numel() == 0:
                keep[name] = torch.zeros(value.shape, dtype=value.dtype)
            elif value.device.type != "meta":
                keep[name] = value.detach().cpu()
    return keep


def _aliases(model: torch.nn.Module) -> dict[str, list[str]]:
    """For each parameter name all names of that same parameter, the first found first (tied weights)."""
    groups: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return {name: group for group in groups.values() for name in group}
