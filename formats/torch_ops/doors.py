"""The doors: arguments become a program, known by a number, which Dynamo puts into its graph as one node.

Dynamo cannot follow descriptions, Fractions and caches, and need not: `_program` runs while tracing and its number is
a constant of the graph; `_run` is traced by AOTAutograd, as plain Python on tensors.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor

from formats.block import Format, Scaled, Sum
from formats.called import called
from formats.cast import Cast
from formats.exact import whole
from formats.plans.scalar import decode_tables
from formats.reference import check_cast
from formats.scalar import Scalar
from formats.torch_ops.blocks import check_blocks, quantize_blocks
from formats.torch_ops.lattice import lattice_of
from formats.torch_ops.scalar import beyond, codes_of, prepared_dtype, value_bits_of
from formats.torch_ops.symbols import check_symbols
from formats.torch_ops.table import tensor_count, tensors_of
from formats.torch_ops.words import W32, W64, widen

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True, slots=True)
class Program:
    """What a call does, all but its tensors. dtype: of x widened, float32 or float64."""

    door: str
    fmt: Any
    cast: Cast
    axis: int
    pad: bool
    amax: float | None
    dtype: torch.dtype


_programs: list[Program] = []
_numbers: dict[Program, int] = {}


def quantize(
    x: torch.Tensor,
    fmt: Format | str,
    axis: int = -1,
    cast: Any = None,
    pad: bool = False,
    tensor_amax: torch.Tensor | float | None = None,
) -> torch.Tensor:
    """formats.quantize in tensor operations, on any device and under torch.compile; the gradient straight through.

    Raises NotImplementedError for formats without a tensor path, and ValueError for nan="raise" where a NaN could
    raise: neither compiled code nor a GPU may look at the data. Nor can an infinity raise where formats.quantize does:
    it makes NaN of every element that its scale is for.
    Raises RuntimeError under torch.compile on a CPU where kernels would be taken for one another (symbols.py).
    Stochastic rounding draws by an element's place in the tensor it is given: under torch.vmap that is the sample, so
    all samples of a batch draw the same numbers. Quantise the batch as one tensor for others.
    """
    given = isinstance(tensor_amax, torch.Tensor)
    if isinstance(tensor_amax, torch.Tensor) and tensor_amax.numel() != 1:
        raise TypeError(f"quantize: tensor_amax must be one number, got a tensor of shape {tuple(tensor_amax.shape)}")
    number = _number("quantize", x, fmt, cast, x.dtype, axis, pad, None if given else tensor_amax)
    tables = _tables(x, number)
    return _run(x, number, tensor_amax if given else None, *tables)  # type: ignore[no-any-return]


def encode_codes(fmt: Scalar | str, x: torch.Tensor, cast: Any = None) -> torch.Tensor:
    """The codes of x in a scalar format, unpacked, in x's shape: uint8 up to 8 bits, then uint16, uint32, int64."""
    number = _number("encode_codes", x, fmt, cast, x.dtype)
    return _run(x, number, None, *_tables(x, number))  # type: ignore[no-any-return]


def decode_codes(fmt: Scalar | str, codes: torch.Tensor, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Values of the codes of a scalar format of up to 16 bits, exactly (rounded once if dtype is float32).

    codes: integers 0 <= code < 2**bits, which is not looked at: of other integers the low bits are read, and a code
    beyond a codebook's last entry is NaN.
    """
    number = _number("decode_codes", codes, fmt, None, dtype)
    return _run(codes, number, None, *_tables(codes, number))  # type: ignore[no-any-return]


def _number(
    door: str,
    x: torch.Tensor,
    fmt: Any,
    cast: Any,
    dtype: torch.dtype,
    axis: int = -1,
    pad: bool = False,
    amax: Any = None,
) -> int:
    """The number of a call's program."""
    if torch.compiler.is_dynamo_compiling() and x.device.type == "cpu":
        _check_symbols(door)
    return _program(  # type: ignore[no-any-return]
        door, *_name_or_place(fmt), axis, _fields(cast), pad, amax, dtype, str(x.device)
    )


def _fields(cast: Any) -> Any:
    """A cast as plain constants: one made inside a compiled function is no object yet while Dynamo traces."""
    if not isinstance(cast, Cast):
        return cast
    return cast.rounding, cast.overflow, cast.nan, cast.random_bits, cast.seed


def _name_or_place(fmt: Any) -> tuple[Any, bool]:
    """The format, or its address while Dynamo traces, and which: it hands no descriptions to constant functions.

    id() makes Dynamo guard the very object; `_alive` keeps that object, so that no other can come to its address.
    """
    if torch.compiler.is_dynamo_compiling() and not isinstance(fmt, str):
        return id(fmt), True
    return fmt, False


_alive: dict[int, Any] = {}


def _described(fmt: Any, cast: Any, door: str) -> tuple[Any, Cast]:
    """The format and the cast of a call."""
    from formats.codec import described

    if isinstance(cast, tuple):
        rounding, overflow, nan, random_bits, seed = cast
        cast = Cast(rounding=rounding, overflow=overflow, nan=nan, random_bits=random_bits, seed=seed)
    # One made while Dynamo traces is an empty object yet, or Dynamo's own stand-in for it.
    if type(fmt).__module__.startswith("torch._dynamo") or not (isinstance(fmt, str) or _is_whole(fmt)):
        raise ValueError(
            f"{door}: a format made inside a compiled function cannot be read; make it outside, or pass its name"
        )
    return described(fmt, cast, door)


def _is_whole(fmt: Any) -> bool:
    """Whether a dataclass instance has its fields; anything else is for `get` to judge."""
    return not is_dataclass(fmt) or all(hasattr(fmt, field.name) for field in fields(fmt))


_check_symbols = torch._dynamo.assume_constant_result(check_symbols)  # type: ignore[no-untyped-call]


@torch._dynamo.assume_constant_result  # type: ignore[untyped-decorator]
def _program(
    door: str,
    fmt: Any,
    is_address: bool,
    axis: int,
    cast: Any,
    pad: bool,
    amax: float | None,
    dtype: torch.dtype,
    device: str,
) -> int:
    """The number of a call's program, all that can be refused without data refused. Constant while Dynamo traces."""
    from formats.codec import _check_amax, check_pad

    if dtype not in FLOATS:
        raise TypeError(
            f"{door}: x has dtype {dtype}; it takes float16, bfloat16, float32 and float64. Convert it yourself, "
            "for example x.double()"
        )
    address = fmt
    if is_address:  # of an object the traced function holds while this runs
        fmt = ctypes.cast(address, ctypes.py_object).value
    given, (fmt, how) = fmt, _described(fmt, cast, door)
    if is_address:
        _alive[address] = given
    axis, pad = whole(door, "axis", axis), check_pad(pad, door)
    if door == "quantize":
        amax = _check_amax(fmt, amax, door)
    if isinstance(fmt, Sum):
        raise NotImplementedError(f"{door}: {called(fmt)}, a sum of block formats, has no tensor path; pass x.cpu()")
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    _check_stochastic(door, fmt, how, wide)
    if isinstance(fmt, Scaled):
        if door != "quantize":
            raise ValueError(f"{door}: {called(fmt)} has scales; use quantize, or encode on x.cpu()")
        check_cast(fmt.element, how)  # type: ignore[arg-type]
        _check_nan(door, fmt, fmt.element, how, device)
        check_blocks(fmt, how, wide)
    elif door != "decode_codes":
        check_cast(fmt, how)
        _check_nan(door, fmt, fmt, how, device)
        wide = prepared_dtype(fmt, wide)
    elif fmt.bits > 16:
        raise NotImplementedError(f"{door}: {called(fmt)} of {fmt.bits} bits has no table; pass codes.cpu()")
    program = Program(door, fmt, how, axis, pad, amax, wide)
    if program not in _numbers:
        _numbers[program] = len(_programs)
        _programs.append(program)
    return _numbers[program]


def _check_stochastic(door: str, fmt: Any, cast: Cast, dtype: torch.dtype) -> None:
    """Stochastic rounding runs on lattices without a gap: elsewhere parts of gaps are no dyadic numbers."""
    if not cast.stochastic or door == "decode_codes":
        return
    lattice = None
    if not isinstance(fmt, Scaled):
        lattice = lattice_of(fmt, W64 if prepared_dtype(fmt, dtype) == torch.float64 else W32)
    if lattice is None or (lattice.floor and lattice.zero):
        raise NotImplementedError(
            f"{door}: rounding {cast.rounding!r} to {called(fmt)} has no tensor path; pass x.cpu()"
        )


def _check_nan(door: str, fmt: Format, element: Any, cast: Cast, device: str) -> None:
    """Refuse nan="raise" where a NaN would raise."""
    from formats.rule_names import is_power_of_two

    if cast.nan != "raise":
        return
    if isinstance(fmt, Scaled):
        if is_power_of_two(fmt.rule):
            return  # such a block becomes NaN as a whole
        why = f"rule {fmt.rule!r} of {called(fmt)} cannot scale a block by NaN"
    elif element.has_nan:
        return
    else:
        why = f"{called(fmt)} has no NaN"
    where = f"on device {device}" if device.split(":")[0] != "cpu" else "under torch.compile or torch.func"
    raise ValueError(
        f"{door}: Cast(nan='raise') would have to look at the data, which it cannot {where}, and {why}; "
        "pass nan='zero' or 'max', for example cast=Cast(nan='zero')"
    )


def _tables(x: torch.Tensor, number: int) -> tuple[torch.Tensor, ...]:
    if isinstance(x, FakeTensor):  # traced without Dynamo: the tables must be made inside the trace
        return _make_tables(_programs[number], str(x.device))
    return tuple(getattr(_held, name) for name in _table_names(number, str(x.device)).split())


def _table_count(number: int) -> int:
    """How many tensors a program needs beside its input."""
    program = _programs[number]
    if program.door == "decode_codes":
        return 1
    element: Any = program.fmt.element if isinstance(program.fmt, Scaled) else program.fmt
    word = W64 if program.dtype == torch.float64 or isinstance(program.fmt, Scaled) else W32
    if element.bits > 16 or lattice_of(element, word) is not None:
        return 0
    return tensor_count(element, program.cast, word)


class _Held:
    """Tables by name, as attributes: Dynamo then guards those a graph reads, and not how many there are."""


_held = _Held()


@torch._dynamo.assume_constant_result  # type: ignore[untyped-decorator]
def _table_names(number: int, device: str) -> str:
    """The names in `_held` of a program's tables, made once a device."""
    names = [f"table_{number}_{which}_{device.replace(':', '_')}" for which in range(_table_count(number))]
    if names and not hasattr(_held, names[0]):
        for name, tensor in zip(names, _make_tables(_programs[number], device), strict=True):
            setattr(_held, name, tensor)
    return " ".join(names)


def _make_tables(program: Program, device: str) -> tuple[torch.Tensor, ...]:
    if _table_count(_numbers[program]) == 0:
        return ()
    if program.door == "decode_codes":
        values = decode_tables(program.fmt)[0 if program.dtype == torch.float32 else 1]
        spare = np.full(2**program.fmt.bits - values.size, np.nan, values.dtype)
        return (torch.from_numpy(np.concatenate([values, spare])).to(device),)
    element: Any = program.fmt.element if isinstance(program.fmt, Scaled) else program.fmt
    word = W64 if program.dtype == torch.float64 or isinstance(program.fmt, Scaled) else W32
    return tensors_of(element, program.cast, word, device)


class StraightThrough(torch.autograd.Function):
    """The values, with x's gradient: passed on where x was not saturated, zero where it was."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, values: torch.Tensor, clipped: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(inputs[2])
        ctx.input_dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (clipped,) = ctx.saved_tensors
        return gradients[0].masked_fill(clipped, 0).to(ctx.input_dtype), None, None


@torch._dynamo.allow_in_graph  # type: ignore[untyped-decorator]
def _run(x: torch.Tensor, number: int, amax: torch.Tensor | None, *tables: torch.Tensor) -> torch.Tensor:
    """Carry out a program."""
    program = _programs[number]
    if program.door == "decode_codes":
        return tables[0][x.to(torch.int64) & (2**program.fmt.bits - 1)]
    source = widen(x.detach())
    if program.door == "encode_codes":
        codes = codes_of(source.to(program.dtype), program.fmt, program.cast, tables)
        return codes.to(_code_dtype(program.fmt.bits))
    mask = x.requires_grad and torch.is_grad_enabled()
    values, clipped = _quantized(source, program, amax, mask, tables)
    if clipped is None:
        return values
    return StraightThrough.apply(x, values, clipped)  # type: ignore[no-any-return, no-untyped-call]


def _quantized(
    x: torch.Tensor, program: Program, amax: torch.Tensor | None, mask: bool, tables: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    if isinstance(program.fmt, Scaled):
        from formats.codec import named

        largest = program.amax if amax is None else amax
        try:
            return quantize_blocks(x, program.fmt, program.axis, program.cast, program.pad, largest, mask, tables)
        except ValueError as error:
            raise named(error, "quantize") from None
    if x.ndim and not -x.ndim <= program.axis < x.ndim:
        raise ValueError(
            f"quantize: axis {program.axis} is not an axis of x with shape {tuple(x.shape)}; use one of "
            f"{-x.ndim}..{x.ndim - 1}"
        )
    wide = x.to(program.dtype)
    values = value_bits_of(wide, program.fmt, program.cast, tables).view(program.dtype).to(x.dtype)
    return values, beyond(x, program.fmt, program.cast) if mask else None


def _code_dtype(bits: int) -> torch.dtype:
    return torch.uint8 if bits <= 8 else torch.uint16 if bits <= 16 else torch.uint32 if bits <= 32 else torch.int64
