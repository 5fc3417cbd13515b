"""Accumulators and orders as JSON, so that what one machine was found to do can be kept, sent and run elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from formats.minifloat import Minifloat


@cache
def kinds() -> Mapping[str, Any]:
    """Every accumulator, order and multiplier description, by the name of its class."""
    package = "formats.arithmetic"
    folder = import_module(f"{package}.multipliers")
    modules = [f"{package}.{name}" for name in ("accumulators", "orders")]
    modules += [f"{folder.__name__}.{module.name}" for module in iter_modules(folder.__path__)]
    found = (item for module in modules for item in vars(import_module(module)).values())
    return {item.__name__: item for item in found if isinstance(item, type) and is_dataclass(item)}


def to_data(record: Any) -> Any:
    """A record as dicts, lists, names and numbers: {"kind": "Aligned", "terms": 16, ...}; formats by name."""
    if isinstance(record, Minifloat):
        return record.name
    if is_dataclass(record) and type(record).__name__ in kinds():
        return {"kind": type(record).__name__} | {f.name: to_data(getattr(record, f.name)) for f in fields(record)}
    if isinstance(record, tuple | list):
        return [to_data(item) for item in record]
    if record is None or isinstance(record, bool | int | str | float):
        return record
    raise TypeError(f"to_data: {record!r} is no accumulator, order or product; these are {', '.join(kinds())}")


def from_data(data: Any) -> Any:
    """The record that `to_data` wrote. Raises ValueError for unknown kinds and fields."""
    if isinstance(data, list):
        return tuple(from_data(item) for item in data)
    if not isinstance(data, dict):
        return data
    kind = str(data.get("kind"))
    if kind not in kinds():
        raise ValueError(f"from_data: no record is of kind {kind!r}; there are {', '.join(kinds())}")
    given = {key: from_data(value) for key, value in data.items() if key != "kind"}
    unknown = set(given) - {f.name for f in fields(kinds()[kind])}
    if unknown:
        raise ValueError(f"from_data: {kind} has no {', '.join(sorted(unknown))}")
    return kinds()[kind](**given)


def to_json(record: Any) -> str:
    """A record as JSON text, keys in their order."""
    return json.dumps(to_data(record), indent=1) + "\n"


def from_json(text: str) -> Any:
    """The record of `to_json`'s text."""
    return from_data(json.loads(text))
