"""Whether a GPU, eager and compiled, gives the bits of the numpy path."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import formats as nf
from formats import torch_ops
from formats.saturation import saturated
from studies.gpu.inputs import block_edges, block_probes, scalar_probes

NAN = nf.Cast(nan="zero")
BOOK = nf.Codebook(
    label="squares_256", bits=8, entries=tuple(i * abs(i) / 8192 for i in range(-128, 128)), ties="lower"
)
SCALARS: tuple[Any, ...] = (
    "e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e4m3b11fnuz", "e3m4", "e3m2fn", "e2m3fn", "e2m1fn", "e8m0fnu", "ue4m3",
    "bfloat16", "tf32", "float16", "float32", "float64", "e3m0:none", "e4m0:ieee", "e3m1:ieee:nosub",
    "e2m2:nan_top:nozero", "ue4m0:none:nozero", "e8m1:none:bias149", "e8m3:ieee", "int8", "int4", "uint4",
    "int16", "int8:symmetric:f6", "uint3:f-64", "nf4", "posit8es2", "posit16es1", BOOK,
)  # fmt: skip
BLOCKS = (
    "mxfp4", "mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxint8", "mxfp4:rule=ceil",
    "mxfp8_e4m3:rule=even", "mxfp8_e5m2:rule=rceil", "nvfp4", "int4:g32", "uint4:g32:asym", "int8:channel",
    "int8:tensor", "nf4:b64", "e4m3fn:tensor", "e4m3fn:t16x16", "int4:g32:scale=e4m3fn",
)  # fmt: skip
COMPILED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    ("e4m3fn", ("ties_to_even", "up", "stochastic_a", "stochastic_b", "stochastic_c")),
    ("mxfp8_e4m3", ("ties_to_even",)),
    ("mxfp4:rule=ceil", ("ties_to_even",)),
    ("mxfp6_e2m3:rule=even", ("ties_to_even",)),
    ("mxfp8_e5m2:rule=rceil", ("ties_to_even",)),
    ("mxint8", ("ties_to_even", "up")),
    ("nvfp4", ("ties_to_even",)),
    ("e8m0fnu", ("ties_to_even", "stochastic_a")),
    ("nf4", ("ties_to_even", "up")),
    (BOOK, ("ties_to_even", "up")),
    ("posit16es1", ("ties_to_even",)),
    ("e5m2fnuz", ("ties_to_even",)),
    ("e2m1fn", ("ties_to_even", "up")),
    ("bfloat16", ("ties_to_even", "up")),
    ("e3m0:none", ("ties_to_even",)),
    ("int8", ("ties_to_even",)),
    ("nf4:b64", ("ties_to_even",)),
    ("int4:g32", ("ties_to_even",)),
)


def casts_of(fmt: Any, quick: bool) -> Iterator[nf.Cast]:
    """Every rounding and overflow policy the format has; NaN as zero where it has none."""
    element = nf.element_of(fmt)
    roundings = ["ties_to_even", "ties_away", "toward_zero", "up", "down"]
    policies = ["saturate", "saturate_finite", "overflow"] if element.has_nan or element.has_infinity else ["saturate"]
    for rounding, overflow in product(roundings[: 2 if quick else None], policies[: 1 if quick else None]):
        yield nf.Cast(rounding=rounding, overflow=overflow, nan="zero")  # type: ignore[arg-type]
    if not isinstance(fmt, nf.Scaled):
        for rounding in ("to_odd", "stochastic_a", "stochastic_b", "stochastic_c"):
            yield nf.Cast(rounding=rounding, nan="zero", random_bits=11, seed=2**40 + 5)  # type: ignore[arg-type]


def bits(x: NDArray[Any]) -> NDArray[Any]:
    """The bits of a float array."""
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


def check(name: Any, cast: nf.Cast, run: Any, x: NDArray[Any], device: str) -> dict[str, Any]:
    """Differences of values and of gradients between `run` on the device and the numpy path."""
    fmt = nf.get(name)
    want, mask, reference = expected(fmt, cast, x)
    leaf = torch.from_numpy(x).to(device).requires_grad_()
    got = run(leaf)
    got.sum().backward()
    wrong = np.flatnonzero(bits(got.detach().cpu().numpy()) != bits(want))
    assert leaf.grad is not None
    stopped = (leaf.grad == 0).cpu().numpy()
    plain = torch.from_numpy(x).to(device)
    again = run(plain).cpu().numpy()
    row = {
        "format": fmt.name if len(fmt.name) < 40 else fmt.name[:40],
        "rounding": cast.rounding,
        "overflow": cast.overflow,
        "reference": reference,
        "elements": int(x.size),
        "wrong": int(wrong.size),
        "wrong_without_gradient": int((bits(again) != bits(want)).sum()),
        "wrong_gradients": int((stopped != mask).sum()),
    }
    if wrong.size:
        at = wrong[:4]
        flat, values, right = (a.reshape(-1)[at] for a in (x, got.detach().cpu().numpy(), want))
        row["first"] = [[float(a).hex(), repr(b), repr(c)] for a, b, c in zip(flat, values, right, strict=True)]
    return row


def expected(fmt: Any, cast: nf.Cast, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_], str]:
    """Values and where gradients stop by the numpy path; by tensor operations on the CPU where numba does not run."""
    try:
        import formats.kernels.table  # noqa: F401
    except ImportError:
        leaf = torch.from_numpy(x).requires_grad_()
        values = torch_ops.quantize(leaf, fmt, -1, cast)
        values.sum().backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        return values.detach().numpy(), (leaf.grad == 0).numpy(), "torch on the CPU"
    with np.errstate(invalid="ignore"):  # signalling NaNs are cast too
        return nf.quantize(x, fmt, cast=cast), saturated(x, nf.encode(x, fmt, cast=cast), cast), "numpy"


def probes(fmt: Any, cast: nf.Cast, count: int) -> NDArray[np.float32]:
    """Inputs that suit a format: blocks for block formats, without the infinities their rules refuse."""
    if isinstance(fmt, nf.Scaled):
        rows = max(64, count // 64 // 64 * 16)
        finite = fmt.rule in ("absmax", "te_nvfp4")
        return np.concatenate([block_edges(64), block_probes(rows, 64, finite) * np.float32(1)])
    return scalar_probes(fmt, cast, count)


def eager(device: str, quick: bool, deadline: float) -> list[dict[str, Any]]:
    """Every format and cast without compilation."""
    rows: list[dict[str, Any]] = []
    for name in (*SCALARS, *BLOCKS):
        fmt = nf.get(name)
        for number, cast in enumerate(casts_of(fmt, quick)):
            if time.monotonic() > deadline:
                return [*rows, {"stopped": "out of time"}]
            count = 1 << (10 if quick else 24 if number == 0 and fmt in map(nf.get, ("e4m3fn", "e5m2")) else 18)
            x = probes(fmt, cast, count)
            rows.append(
                guarded(
                    {"format": str(name)[:40], "rounding": cast.rounding, "overflow": cast.overflow},
                    lambda f=fmt, c=cast, x=x: check(f, c, lambda t: torch_ops.quantize(t, f, -1, c), x, device),
                )
            )
    return rows


def compiled(device: str, quick: bool, deadline: float) -> list[dict[str, Any]]:
    """Fewer formats, compiled whole."""
    rows: list[dict[str, Any]] = []
    for name, roundings in COMPILED[:3] if quick else COMPILED:
        fmt = nf.get(name)
        for rounding in roundings[:1] if quick else roundings:
            if time.monotonic() > deadline:
                return [*rows, {"stopped": "out of time"}]
            cast = nf.Cast(rounding=rounding, nan="zero")  # type: ignore[arg-type]
            torch._dynamo.reset()
            run = torch.compile(lambda t, f=fmt, c=cast: torch_ops.quantize(t, f, -1, c), fullgraph=True, dynamic=False)
            x = probes(fmt, cast, 1 << (10 if quick else 20))
            start = time.monotonic()
            row = guarded(
                {"format": str(name)[:40], "rounding": rounding},
                lambda f=fmt, c=cast, r=run, x=x: check(f, c, r, x, device),
            )
            rows.append({**row, "seconds": round(time.monotonic() - start, 1)})
    return rows


def guarded(label: dict[str, Any], call: Any) -> dict[str, Any]:
    """The call's row, or the label with the error."""
    try:
        row: dict[str, Any] = call()
        return row
    except NotImplementedError as refusal:
        return {**label, "refused": str(refusal)[:200]}
    except Exception as error:
        return {**label, "error": f"{type(error).__name__}: {error}"[:600]}
