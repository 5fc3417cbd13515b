"""Quantization under torch.compile: traced whole, and the bits of the numpy path from Inductor's C++ as from eager.

backend="aot_eager" runs what Dynamo and AOTAutograd made of the function, without a code generator; "inductor" needs a
C++ compiler.
"""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

import formats as nf
from tests.formats.checks import same_bits

torch = pytest.importorskip("torch")
torch_ops = pytest.importorskip("formats.torch_ops")

# Inductor's own imports warn of functions torch is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::DeprecationWarning:torch")

ZERO = nf.Cast(nan="zero")
BOOK = nf.Codebook(label="squares", bits=8, entries=tuple(i * abs(i) / 7 for i in range(-128, 128)), ties="even")
FORMATS = ("e4m3fn", "e5m2fnuz", "int8", "nf4", BOOK, "bfloat16", "float64", "mxfp4", "mxint8", "nvfp4", "int4:g32",
           "uint4:g32:asym", "nf4:b64", "e4m3fn:t16x16")  # fmt: skip
COMPILER = shutil.which("g++") or shutil.which("clang++")
SPACED = " " in torch.__file__  # Inductor hands the linker torch's folder without quotes
needs_compiler = pytest.mark.skipif(
    COMPILER is None or SPACED,
    reason="Inductor needs g++ or clang++, and torch under a path without a space",
)


@pytest.fixture(autouse=True)
def _fresh_caches() -> None:
    torch._dynamo.reset()


def compiled(backend: str, fmt: Any, cast: Any = ZERO, **arguments: Any) -> Any:
    """quantize as one graph: fullgraph refuses anything Dynamo cannot follow."""
    return torch.compile(lambda x: torch_ops.quantize(x, fmt, cast=cast, **arguments), fullgraph=True, backend=backend)


def inputs(fmt: Any) -> list[Any]:
    """Normals, every exponent, subnormals; bit patterns where no scale is asked to hold an infinity."""
    rng = np.random.default_rng(5)
    spread = rng.normal(0, 1, (32, 64)) * 2.0 ** rng.integers(-40, 40, (32, 64))
    tiny = rng.integers(-(2**20), 2**20, (32, 64)) * 2.0**-149
    found = [rng.normal(0, 3, (32, 64)), spread, tiny]
    arrays = [part.astype(np.float32) for part in found]
    if not isinstance(nf.get(fmt), nf.Scaled):
        bits = rng.integers(0, 2**32, (32, 64), dtype=np.uint32) | np.uint32(1 << 22)
        arrays.append(bits.view(np.float32))
    return arrays


def check_compiled(backend: str, fmt: Any, cast: nf.Cast = ZERO) -> None:
    """Values without and with a gradient, and the gradient, against the eager CPU path."""
    run = compiled(backend, fmt, cast)
    for x in inputs(fmt):
        want = nf.quantize(x, fmt, cast=cast)
        same_bits(f"{backend} {fmt}", run(torch.from_numpy(x)).numpy(), want)
        one, two = (torch.from_numpy(x).requires_grad_() for _ in range(2))
        got = run(one)
        same_bits(f"{backend} {fmt} with a gradient", got.detach().numpy(), want)
        (got * 2).sum().backward()
        (nf.quantize(two, fmt, cast=cast) * 2).sum().backward()
        assert torch.equal(one.grad, two.grad)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: getattr(fmt, "label", fmt))
def test_traced_whole(fmt: Any) -> None:
    check_compiled("aot_eager", fmt)


@pytest.mark.parametrize("rounding", ["ties_away", "toward_zero", "up", "down", "to_odd", "stochastic_c"])
def test_every_rounding_is_traced(rounding: Any) -> None:
    check_compiled("aot_eager", "e4m3fn", nf.Cast(rounding=rounding, overflow="overflow", seed=7))


@needs_compiler
def test_inductor() -> None:
    check_compiled("inductor", "mxfp4")  # the slow tests do all kinds: a first compilation takes twenty seconds


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: getattr(fmt, "label", fmt))
def test_inductor_on_every_kind(fmt: Any) -> None:
    check_compiled("inductor", fmt)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("rounding", ["ties_away", "toward_zero", "up", "down", "to_odd", "stochastic_c"])
def test_inductor_on_every_rounding(rounding: Any) -> None:
    for fmt in ("e4m3fn", "bfloat16", "e3m0:none"):
        overflow: Any = "saturate" if fmt == "e3m0:none" else "overflow"
        check_compiled("inductor", fmt, nf.Cast(rounding=rounding, overflow=overflow, nan="zero", seed=7))


def test_the_check_sees_a_wrong_bit() -> None:
    wrong = torch.compile(lambda x: -torch_ops.quantize(-x, "e4m3fn"), fullgraph=True, backend="aot_eager")
    x = np.array([0.0], np.float32)
    same_bits("as it is", wrong(torch.from_numpy(x)).numpy(), nf.quantize(x, "e4m3fn"))
    up = torch.compile(
        lambda x: -torch_ops.quantize(-x, "e4m3fn", cast=nf.Cast(rounding="up")), fullgraph=True, backend="aot_eager"
    )
    x = np.array([0.3], np.float32)
    with pytest.raises(AssertionError, match="1 of 1 wrong"):
        same_bits("mirrored", up(torch.from_numpy(x)).numpy(), nf.quantize(x, "e4m3fn", cast=nf.Cast(rounding="up")))


def test_other_formats_and_casts_compile_anew() -> None:
    """One function, called with names, objects and casts: never the graph of another."""
    run = torch.compile(lambda x, fmt, cast: torch_ops.quantize(x, fmt, cast=cast), fullgraph=True, backend="aot_eager")
    x = torch.randn(4, 64)
    for fmt in ("e4m3fn", nf.get("e4m3fn"), nf.get("e5m2"), BOOK):
        for cast in (ZERO, nf.Cast(rounding="up", nan="zero")):
            assert torch.equal(run(x, fmt, cast), nf.quantize(x, fmt, cast=cast)), (fmt, cast)


def test_a_format_let_go_is_not_taken_for_the_next() -> None:
    run = torch.compile(lambda x, fmt: torch_ops.quantize(x, fmt), fullgraph=True, backend="aot_eager")
    x = torch.randn(64) * 8
    for bits in (1, 2, 3, 4):
        fmt = nf.Minifloat(exponent_bits=4, trailing_significand_bits=bits, specials="fn")
        assert torch.equal(run(x, fmt), nf.quantize(x, fmt))
        del fmt


def test_casts_may_be_made_inside_and_formats_may_not() -> None:
    inside = torch.compile(
        lambda x, up: torch_ops.quantize(x, "int8", cast=nf.Cast(rounding="up" if up else "down", nan="zero")),
        fullgraph=True,
        backend="aot_eager",
    )
    x = torch.randn(4, 64)
    for up in (True, False):
        cast = nf.Cast(rounding="up" if up else "down", nan="zero")
        assert torch.equal(inside(x, up), nf.quantize(x, "int8", cast=cast))
    made = torch.compile(lambda x: torch_ops.quantize(x, nf.FixedPoint(bits=8), cast=ZERO), backend="aot_eager")
    with pytest.raises(Exception, match="a format made inside a compiled function cannot be read; make it outside"):
        made(x)


def test_two_tables_in_one_graph() -> None:
    other = nf.Codebook(label="cubes", bits=8, entries=tuple(i**3 / 99 for i in range(-128, 128)))
    run = torch.compile(
        lambda x: (
            torch_ops.quantize(x, BOOK, cast=ZERO)
            + torch_ops.quantize(x, other, cast=ZERO)
            + torch_ops.quantize(x * 2, BOOK, cast=ZERO)
        ),
        fullgraph=True,
        backend="aot_eager",
    )
    x = torch.randn(4, 64)
    want = [nf.quantize(y, fmt, cast=ZERO) for y, fmt in ((x, BOOK), (x, other), (x * 2, BOOK))]
    assert torch.equal(run(x), want[0] + want[1] + want[2])


@pytest.mark.parametrize("name", ["e4m3fn", "mxfp4", "nf4:b64"])
def test_shapes_may_change_without_end(name: str) -> None:
    run = compiled("aot_eager", name)
    for rows in (*range(2, 16), 33):
        x = torch.randn(rows, 64)
        assert torch.equal(run(x), nf.quantize(x, name, cast=ZERO))


def weighted(x: Any, weight: Any, name: str) -> Any:
    return (torch_ops.quantize(x, name, cast=ZERO) * weight).sum()


@pytest.mark.parametrize("name", ["e4m3fn", "mxfp4", "nf4:b64"])
def test_functional_transforms(name: str) -> None:
    x, weight = torch.randn(4, 64), torch.arange(256.0).reshape(4, 64)
    leaf = x.clone().requires_grad_()
    (nf.quantize(leaf, name, cast=ZERO) * weight).sum().backward()
    assert torch.equal(torch.func.grad(weighted)(x, weight, name), leaf.grad)
    if torch.__version__ < "2.13":
        pytest.skip("torch.vmap has no rule for Tensor.view(dtype) before torch 2.13")
    rows = torch.vmap(torch.func.grad(weighted), in_dims=(0, 0, None))(x, weight, name)
    assert torch.equal(rows, leaf.grad)


def test_samples_of_a_vmap_draw_alike() -> None:
    """As the door says: an element draws by its place in the tensor the function sees, which is one sample."""
    if torch.__version__ < "2.13":
        pytest.skip("torch.vmap has no rule for Tensor.view(dtype) before torch 2.13")
    cast = nf.Cast(rounding="stochastic_b", random_bits=8, seed=3)
    x = torch.rand(512).expand(4, 512).contiguous()
    rows = torch.vmap(lambda row: nf.quantize(row, "e4m3fn", cast=cast))(x)
    assert torch.equal(rows, nf.quantize(x[0].clone(), "e4m3fn", cast=cast).expand(4, 512))
    assert not torch.equal(rows, nf.quantize(x, "e4m3fn", cast=cast))
    assert "torch.vmap" in str(torch_ops.quantize.__doc__)


@pytest.mark.parametrize("name", ["e4m3fn", "mxfp4", "nf4:b64"])
def test_export(name: str) -> None:
    class Module(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch_ops.quantize(x, name, cast=ZERO)

    x = torch.randn(4, 64)
    assert torch.equal(torch.export.export(Module(), (x,)).module()(x), nf.quantize(x, name, cast=ZERO))


@pytest.mark.parametrize(
    ("fmt", "cast", "message"),
    [
        (
            "int8",
            None,
            r"Cast\(nan='raise'\).* cannot under torch.compile.*, and int8 has no NaN; pass nan='zero' or",
        ),
        (
            "nvfp4",
            None,
            r"Cast\(nan='raise'\).* under torch.compile or torch.func, and rule 'te_nvfp4'.*pass nan='zero'",
        ),
        ("e4m3fn", "up", r"cast must be a formats.Cast"),
        ("e4m3nf", None, r"unknown format 'e4m3nf'"),
    ],
)
def test_refusals_reach_the_user(fmt: str, cast: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        compiled("aot_eager", fmt, cast)(torch.ones(2, 64))


def test_a_tensor_amax_may_be_a_tensor() -> None:
    run = torch.compile(
        lambda x, amax: torch_ops.quantize(x, "nvfp4", cast=ZERO, tensor_amax=amax), fullgraph=True, backend="aot_eager"
    )
    x = torch.randn(4, 64)
    for amax in (3.0, 8.0):
        eager = torch_ops.quantize(x, "nvfp4", cast=ZERO, tensor_amax=amax)
        assert torch.equal(run(x, torch.tensor(amax)), eager)
    assert torch.equal(run(x, x.abs().amax()), nf.quantize(x, "nvfp4", cast=ZERO))
