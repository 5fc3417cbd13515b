"""The public doors: quantize, encode, decode, and the same on bare codes.

This file checks arguments and chooses a path; formats/scalars/codec.py and formats/blocks/codec.py do the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from formats.block import WHOLE, Block, Format, Scaled, Sum
from formats.blocks import codec as block_codec
from formats.blocks import sums as sum_codec
from formats.called import called
from formats.cast import DEFAULT, Cast
from formats.catalogue import entry, get
from formats.encoded import Encoded
from formats.exact import whole
from formats.expected_planes import check_encoded
from formats.scalar import Scalar
from formats.scalars import codec as scalar_codec
from formats.scalars.planes import encode_plane


def as_float(x: Any, door: str, name: str = "x") -> NDArray[Any]:
    """x as a float32 or float64 array; float16 and bfloat16 widen exactly. Other types are refused, never converted.

    name: what errors call x.
    """
    if isinstance(x, float):
        return np.asarray(x, np.float64)
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{door}: {name} is a masked array, whose mask would be lost; pass {name}.filled(value)")
    array = np.asarray(x)
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype in (np.float32, np.float64):
        return array
    if array.dtype == np.float16 or array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    raise TypeError(
        f"{door}: {name} has dtype {array.dtype}; it takes float16, bfloat16, float32 and float64. "
        f"Convert it yourself, for example {name}.astype(np.float64)"
    )


AnyCast = Cast | Literal["as_published"] | None


def described(fmt: Format | str, cast: AnyCast, door: str) -> tuple[Format, Cast]:
    """The format of that name, and the cast with its default; "as_published" is the catalogue's for that name."""
    if isinstance(cast, str) and cast == "as_published":
        line = entry(fmt)
        if line is None:
            raise ValueError(f"{door}: cast='as_published' needs a format of the catalogue, got {fmt!r}")
        return line.format, line.cast or DEFAULT
    if not (cast is None or isinstance(cast, Cast)):
        raise TypeError(
            f"{door}: cast must be a formats.Cast or 'as_published', got {cast!r}; for example cast=Cast(rounding='up')"
        )
    return get(fmt), cast or DEFAULT


def read_amax(amax: Any, door: str) -> float | None:
    """A given tensor maximum as a float: a positive finite number, of NumPy or torch too. None is measured."""
    if amax is None:
        return None
    number = amax.item() if getattr(amax, "shape", None) == () else amax
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{door}: tensor_amax must be one number, got {amax!r} of type {type(amax).__name__}")
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{door}: tensor_amax must be a positive finite number, got {amax!r}")
    return float(number)


def _check_amax(fmt: Format, amax: Any, door: str) -> float | None:
    """A given tensor maximum needs a format with one scale over the tensor to set; returned as a float."""
    number = read_amax(amax, door)
    if number is None:
        return None
    whole_tensor = Block(shape=(WHOLE,), flat=True)
    inner = fmt.scale.format if isinstance(fmt, Scaled) else None
    if not (isinstance(fmt, Scaled) and whole_tensor in (fmt.block, getattr(inner, "block", None))):
        raise ValueError(f"{door}: tensor_amax sets the scale of a whole tensor, and {called(fmt)} has none")
    return number


def check_pad(pad: Any, door: str) -> bool:
    """pad, which is True or False and nothing that merely counts as one."""
    if not isinstance(pad, bool | np.bool_):
        raise TypeError(f"{door}: pad must be True or False, got {pad!r}")
    return bool(pad)


def named(error: ValueError, door: str) -> ValueError:
    """The error under the name of the door that was called: the codecs within speak of encoding."""
    text = str(error)
    inner = text.partition(": ")[0]
    if inner == door or (inner.isidentifier() and inner not in ("encode", "x")):
        return error
    return ValueError(f"{door}: {text.removeprefix('encode: ')}").with_traceback(error.__traceback__)


def _axis_of(axis: int, ndim: int, shape: tuple[int, ...], door: str) -> int:
    """The axis counted from the front. A scalar array has none, and any will do."""
    if ndim and not -ndim <= axis < ndim:
        raise ValueError(f"{door}: axis {axis} is not an axis of x with shape {shape}; use one of {-ndim}..{ndim - 1}")
    return axis % ndim if ndim else 0


def _is_torch(x: Any) -> bool:
    return type(x).__module__.split(".")[0] == "torch" or any(
        base.__module__.split(".")[0] == "torch" for base in type(x).__mro__
    )


def _through_torch(name: str) -> Callable[..., Any]:
    from formats import codec_torch

    function: Callable[..., Any] = getattr(codec_torch, name)
    return function


def quantize(
    x: Any,
    fmt: Format | str,
    axis: int = -1,
    cast: AnyCast = None,
    pad: bool = False,
    *,
    tensor_amax: float | None = None,
) -> Any:
    """x rounded to the values of a format, in x's shape.

    x: float16, bfloat16, float32 or float64 array, or a torch tensor (the gradient is passed straight through, 1 where
    x was not saturated and 0 where it was). fmt: a format or its name. axis: the dot dimension, along which blocks run.
    cast: rounding, overflow, NaN (default Cast()), or "as_published" for the rounding of the format's source.
    pad: fill the last block with zeros. tensor_amax: the largest magnitude to make room for, where a format has one
    scale over the whole tensor; measured when None, and larger elements saturate when given.
    Returns float32, or float64 for float64 input: each value rounded once from x, scales included.
    Raises ValueError (unknown format, NaN the format cannot hold, blocks that do not divide, an infinity under a rule
    that has no scale for it) and TypeError (dtype). A tensor being compiled or on a GPU may not be looked at: there
    nan="raise" is refused at once where a NaN would raise, and an infinity makes NaN of every element its scale is
    for (a block, or the tensor where one scale is the tensor's) instead of raising.
    """
    if _is_torch(x):  # before anything else: a compiler traces this function, but not what follows
        if isinstance(cast, str):
            fmt, cast = described(fmt, cast, "quantize")
        return _through_torch("quantize")(x, fmt, axis, cast, pad, tensor_amax)
    axis, pad = whole("quantize", "axis", axis), check_pad(pad, "quantize")
    description, how = described(fmt, cast, "quantize")
    amax = _check_amax(description, tensor_amax, "quantize")
    array = as_float(x, "quantize")
    try:
        if isinstance(description, Sum):
            return sum_codec.quantize(array, description, axis, how, pad)
        if isinstance(description, Scaled):
            return block_codec.quantize(array, description, axis, how, pad, tensor_amax=amax)
        _axis_of(axis, array.ndim, array.shape, "quantize")
        return scalar_codec.quantize(array, description, how)
    except ValueError as error:
        raise named(error, "quantize") from None


def encode(
    x: Any,
    fmt: Format | str,
    axis: int = -1,
    cast: AnyCast = None,
    pad: bool = False,
    out: Encoded | None = None,
    *,
    tensor_amax: float | None = None,
) -> Encoded:
    """x as codes and bytes of a format.

    Arguments as `quantize`. out: an Encoded of the same format, shape and axis whose planes are overwritten.
    Returns an `Encoded`: `.codes`, `.scales`, `.nbytes` (exactly what is stored), `.to_bytes()`.
    """
    axis, pad = whole("encode", "axis", axis), check_pad(pad, "encode")
    description, how = described(fmt, cast, "encode")
    amax = _check_amax(description, tensor_amax, "encode")
    if _is_torch(x):
        x = _through_torch("to_numpy")(x, "encode")
    array = as_float(x, "encode")
    if out is not None:
        _check_out(out, description, array.shape, axis)
    try:
        if isinstance(description, Sum):
            encoded = sum_codec.encode(array, description, axis, how, pad)
            return encoded if out is None else _overwritten(out, encoded)
        if isinstance(description, Scaled):
            encoded = block_codec.encode(array, description, axis, how, pad, out, tensor_amax=amax)
            return encoded if out is None else _overwritten(out, encoded)
        place = _axis_of(axis, array.ndim, array.shape, "encode")
        plane = encode_plane(array, description, place, how, out.planes["codes"].data if out else None)
    except ValueError as error:
        raise named(error, "encode") from None
    return out or Encoded(description, array.shape, place, {"codes": plane})


def _check_out(out: Encoded, fmt: Format, shape: tuple[int, ...], axis: int) -> None:
    if not isinstance(out, Encoded):
        raise TypeError(f"encode: out must be an Encoded of the same format, got {type(out).__name__}")
    same_axis = axis in (out.axis, out.axis - len(shape))
    if (out.format, out.shape) != (fmt, shape) or not (same_axis or not shape):
        raise ValueError(
            f"encode: out holds {called(out.format)} of shape {out.shape} along axis {out.axis}, "
            f"not {called(fmt)} of {shape} along axis {axis}"
        )
    check_encoded(out, "encode")


def _overwritten(out: Encoded, encoded: Encoded) -> Encoded:
    """out, its planes of scales and offsets overwritten too (the codes were written in place)."""
    for key, plane in encoded.planes.items():
        if plane.data is not out.planes[key].data:
            out.planes[key].data[...] = plane.data
    return out


def decode(
    encoded: Encoded,
    dtype: Any = np.float32,
    *,
    order: Literal["exact", "as_published"] = "exact",
    tensor_amax: float | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """The values of an `Encoded`, in the shape it was encoded from.

    out: a contiguous array of that shape and dtype to write to; it is returned.
    dtype: float32 (default) or float64. order: "exact" rounds the exact product of the parts once; "as_published" does
    the float32 operations of the format's source one by one, where it has an order of its own (decode_order.py).
    tensor_amax: the largest magnitude of the tensor, which TransformerEngine's order reads instead of its scale.
    """
    check_encoded(encoded, "decode")
    target = np.dtype(dtype)
    if target not in (np.float32, np.float64):
        raise TypeError(f"decode: dtype must be float32 or float64, got {target}")
    if order not in ("exact", "as_published"):
        raise ValueError(f"decode: order must be 'exact' or 'as_published', got {order!r}")
    if out is not None:
        if not isinstance(out, np.ndarray):
            raise TypeError(f"decode: out must be a numpy array, got {type(out).__name__}")
        if (out.shape, out.dtype) != (encoded.shape, target) or not (out.flags.c_contiguous and out.flags.writeable):
            raise ValueError(
                f"decode: out must be a writeable, contiguous {target} array of shape {encoded.shape}, "
                f"got {out.dtype} {out.shape}"
            )
        if order == "exact" and isinstance(encoded.format, Scaled):
            values = block_codec.decode(encoded, target, out)
        else:
            values = decode(encoded, target, order=order, tensor_amax=tensor_amax)
        if values is not out:
            out[...] = values
        return out
    if order == "as_published":
        from formats.blocks.decode_order import decode_as_published

        return decode_as_published(encoded, target, read_amax(tensor_amax, "decode"))
    if isinstance(encoded.format, Sum):
        return sum_codec.decode(encoded, target)
    if isinstance(encoded.format, Scaled):
        return block_codec.decode(encoded, target)
    plane = encoded.planes["codes"]
    values = scalar_codec.decode_codes(encoded.format, plane.codes, target)
    return values if values.ndim == 0 else np.moveaxis(values, -1, encoded.axis)


def decode_scales(encoded: Encoded) -> NDArray[np.float64]:
    """See `Encoded.scales`."""
    if isinstance(encoded.format, Sum):
        raise ValueError(f"scales: {called(encoded.format)} is a sum; each of Encoded.terms has scales of its own")
    check_encoded(encoded, "scales")
    grid = block_codec.grid_of(encoded)
    assert isinstance(encoded.format, Scaled)  # grid_of raised otherwise
    return block_codec.scale_values(encoded.format, encoded.planes, grid)


def encode_codes(fmt: Scalar | str, x: Any, cast: AnyCast = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """The codes of x in a scalar format, unpacked, in x's shape.

    out: an array of x's shape and the code's type (uint8 up to 8 bits, uint16 up to 16, uint32 up to 32) to write to.
    A torch tensor gives a tensor (int64 for float64's codes), but with `out`, which is a numpy array: that is returned.
    """
    if _is_torch(x):
        return _through_torch("encode_codes")(fmt, x, cast, out)  # type: ignore[no-any-return]
    _, how = described(fmt, cast, "encode_codes")
    return scalar_codec.encode_codes(_scalar(fmt, "encode_codes"), as_float(x, "encode_codes"), how, out)


def decode_codes(
    fmt: Scalar | str, codes: Any, dtype: Any = np.float64, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Values of the codes of a scalar format, exactly (rounded once if dtype is float32).

    codes: integers 0 <= code < 2**bits, any shape; the same shape is returned. out: an array to write to. A torch
    tensor gives a tensor, and dtype may be torch.float32 or torch.float64 then; of one on a GPU or being compiled the
    codes are not looked at: of other integers the low bits are read.
    Raises ValueError naming the first bad code and its index, OverflowError for values outside float64.
    Source: the format's own definition, `fmt.values()`.
    """
    if _is_torch(codes):
        return _through_torch("decode_codes")(fmt, codes, dtype, out)  # type: ignore[no-any-return]
    target = np.dtype(out.dtype if out is not None else dtype)
    if target not in (np.float32, np.float64):
        raise TypeError(
            f"decode_codes: values are float32 or float64, got {'out of ' * (out is not None)}dtype {target}"
        )
    array = np.asarray(codes)
    if not array.size and isinstance(codes, list | tuple):  # which numpy takes for floats
        array = array.astype(np.uint8)
    return scalar_codec.decode_codes(_scalar(fmt, "decode_codes"), array, target, out)


def _scalar(fmt: Scalar | str, door: str) -> Scalar:
    description = get(fmt)
    if isinstance(description, Sum):
        raise ValueError(f"{door}: {called(description)} is a sum of block formats; use encode and decode")
    if isinstance(description, Scaled):
        raise ValueError(
            f"{door}: {called(description)} has scales; use encode and decode, or its element "
            f"{called(description.element)}"
        )
    return description
