"""Formats on a CUDA device: the numpy path's bits, eager and compiled; studies/h200_formats.py checks far more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.cast import DETERMINISTIC, STOCHASTIC
from tests.formats.cases import SCALARS, probes, scalar
from tests.formats.checks import same_bits, same_codes

torch = pytest.importorskip("torch")
torch_ops = pytest.importorskip("formats.torch_ops")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore"),  # of Inductor, about the device it is on
]
ZERO = nf.Cast(nan="zero")
BOOK = nf.Codebook(label="squares", bits=8, entries=tuple(i * abs(i) / 7 for i in range(-128, 128)), ties="even")
BLOCKS = ("mxfp4", "mxfp8_e4m3", "mxint8", "mxfp8_e5m2:rule=rceil", "nvfp4", "int4:g32", "uint4:g32:asym", "nf4:b64",
          "int8:channel", "int8:tensor", "e4m3fn:t16x16")  # fmt: skip


def block_inputs() -> Any:
    """Normals at every scale and subnormals, without infinities."""
    rng = np.random.default_rng(1)
    spread = rng.normal(0, 1, (64, 64)) * 2.0 ** rng.integers(-149, 120, (64, 1))
    tiny = rng.integers(-(2**22), 2**22, (64, 64)) * 2.0**-149
    return np.concatenate([spread, tiny, rng.normal(0, 3, (64, 64))]).astype(np.float32)


def check_cuda(run: Any, fmt: Any, cast: nf.Cast, x: Any) -> None:
    """Values and gradients of one call on the device, against the CPU's."""
    here, there = torch.from_numpy(x).requires_grad_(), torch.from_numpy(x).cuda().requires_grad_()
    want, got = nf.quantize(here, fmt, cast=cast), run(there)
    same_bits(str(fmt), got.detach().cpu().numpy(), want.detach().numpy())
    (got * 2).sum().backward()
    (want * 2).sum().backward()
    assert torch.equal(there.grad.cpu(), here.grad)


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("name", SCALARS)
def test_scalars(name: str, rounding: Any) -> None:
    fmt, cast = scalar(name), nf.Cast(rounding=rounding, nan="zero")
    check_cuda(lambda x: nf.quantize(x, fmt, cast=cast), fmt, cast, probes(fmt, np.float32))


@pytest.mark.parametrize("rounding", ["ties_to_even", "up"])
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name: str, rounding: Any) -> None:
    cast = nf.Cast(rounding=rounding, nan="zero")
    check_cuda(lambda x: nf.quantize(x, name, cast=cast), name, cast, block_inputs())


@pytest.mark.parametrize("fmt", ["e4m3fn", "int8", "nf4", BOOK, *BLOCKS], ids=lambda fmt: getattr(fmt, "label", fmt))
def test_compiled(fmt: Any) -> None:
    torch._dynamo.reset()
    run = torch.compile(lambda x: torch_ops.quantize(x, fmt, cast=ZERO), fullgraph=True)
    scaled = isinstance(nf.get(fmt), nf.Scaled)
    check_cuda(run, fmt, ZERO, block_inputs() if scaled else probes(nf.get(fmt), np.float32))


@pytest.mark.parametrize("rounding", STOCHASTIC)
def test_stochastic_codes_are_the_same_everywhere(rounding: Any) -> None:
    x = block_inputs()
    for bits in (1, 13, 32):
        cast = nf.Cast(rounding=rounding, random_bits=bits, seed=2**40)
        for name in ("e4m3fn", "bfloat16"):
            got = torch_ops.encode_codes(name, torch.from_numpy(x).cuda(), cast).cpu().numpy()
            same_codes(name, x.reshape(-1), got.reshape(-1), nf.encode_codes(name, x, cast).reshape(-1))


def test_nan_raise_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"Cast\(nan='raise'\).*cannot on device cuda:0, and int8 has no NaN"):
        nf.quantize(torch.zeros(3, device="cuda"), "int8")


def test_what_stays_on_the_cpu_says_so() -> None:
    with pytest.raises(ValueError, match=r"x is on device cuda:0; this path runs on the CPU, pass x.cpu\(\)"):
        nf.encode(torch.zeros(3, device="cuda"), "e4m3fn")
