"""What a call holds beside its input and its output, arrays of every kind of memory, and sizes beyond 2**31."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import pytest

import formats as nf
from formats.blocks.blocking import PIECE, SLAB, Cut, block_range, element_index, pieces, plan_cut, slabs
from formats.layout import pack, pack_at, unpack, unpack_at
from formats.plans.scalar import code_dtype
from tests.formats.cases import BLOCKS
from tests.formats.checks import same_bits

MIB = 1 << 20
EVERY_KIND = (
    "mxfp4",
    "mxfp6_e2m3",
    "mxint8",
    "nvfp4",
    "nf4:b64",
    "int3:g128",
    "uint4:g128:asym",
    "e4m3fn:t128x128",
    "int8:channel",
    "e5m2:tensor",
)


def cut_of(shape: tuple[int, ...], block: tuple[int, ...], axis: int = -1, flat: bool = False) -> Cut:
    return plan_cut(shape, nf.Block(shape=block, flat=flat), axis, True)


CUTS = [
    cut_of((3, 5, 96), (32,)),
    cut_of((3, 5, 96), (32,), 0),
    cut_of((7, 11, 13), (4,), 1),
    cut_of((9, 14), (4, 4)),
    cut_of((3, 9, 14), (4, 4), 0),
    cut_of((6, 10, 14), (2, 3, 4), 1),
    cut_of((1000,), (0,)),
    cut_of((5, 1000), (0, 1)),
    cut_of((37, 41), (64,), flat=True),
    cut_of((37, 41), (0,), flat=True),
    cut_of((1,), (32,)),
]


@pytest.mark.parametrize("limit", [1, 8, 100, 10**6])
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: f"{cut.shape}-{cut.extent}-{cut.axis}")
def test_a_walk_covers_the_stored_array_once_and_in_order(cut: Cut, limit: int) -> None:
    """Slabs hold whole blocks that follow each other; pieces of a slab follow each other and stay within blocks."""
    position = block = 0
    for slab in slabs(cut, limit):
        first, count = block_range(cut, slab)
        assert (slab.start, first) == (position, block)
        assert slab.size == count * cut.size
        inner = slab.start
        for piece in pieces(cut, slab, limit):
            assert piece.start == inner
            assert piece.shape[-1] % piece.length == 0
            inner += piece.size
        assert inner == slab.start + slab.size
        position, block = position + slab.size, block + count
    assert (position, block) == (prod(cut.padded), prod(cut.grid))


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: f"{cut.shape}-{cut.extent}-{cut.axis}")
def test_the_index_of_an_element_is_its_place_in_the_array(cut: Cut) -> None:
    x = np.arange(prod(cut.shape)).reshape(cut.shape)
    source = x.reshape(-1) if cut.flat else np.moveaxis(x, cut.axis, -1)
    stored = np.pad(source, [(0, p - n) for n, p in zip(source.shape, cut.padded, strict=True)], constant_values=-1)
    for slab in slabs(cut, 50):
        for piece in pieces(cut, slab, 20):
            want = stored.reshape(-1)[piece.start : piece.start + piece.size]
            index = element_index(cut, piece)
            got = index + np.arange(piece.size) if isinstance(index, int) else index
            assert (got[want >= 0] == want[want >= 0]).all()


def test_sizes_beyond_two_to_the_31_are_counted_right() -> None:
    """Positions are Python integers, indices int64: a walk over 6 * 2**31 elements, looked at near its ends."""
    shape = (3 * 2**16, 2**16)
    cut = cut_of(shape, (32,), 0)
    slab = list(slabs(cut, 2**30))[-1]
    assert slab.start + slab.size == prod(shape) == 6 * 2**31
    first, count = block_range(cut, slab)
    assert first + count == prod(shape) // 32
    piece = list(pieces(cut, slab))[-1]
    index = element_index(cut, piece)
    assert not isinstance(index, int)
    assert index.dtype == np.int64
    assert index[-1] == prod(shape) - 1
    flat = cut_of(shape, (64,), flat=True)
    assert element_index(flat, list(slabs(flat, 2**30))[-1]) == prod(shape) - 2**30
    whole = next(slabs(cut_of(shape, (0,), flat=True)))
    last = [piece.start for piece in pieces(flat, whole, 2**28)][-2:]
    assert last == [prod(shape) - 2**29, prod(shape) - 2**28]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32])
def test_a_stream_written_in_parts_is_the_stream(bits: int) -> None:
    rng = np.random.default_rng(bits)
    codes = rng.integers(0, 2**bits, 200, dtype=np.uint64).astype(code_dtype(bits))
    whole = pack(codes, bits)
    for _ in range(20):
        stops = [0, *sorted(rng.integers(0, 200, 6).tolist()), 200]
        data = np.full(whole.size, 255, np.uint8)
        for start, stop in pairwise(stops):
            pack_at(codes[start:stop], bits, data, start)
            assert (unpack_at(whole, bits, start, stop - start) == codes[start:stop]).all()
        assert (data == whole).all()
    assert (unpack(whole, bits, 200) == codes).all()


@pytest.mark.parametrize("name", EVERY_KIND)
@pytest.mark.parametrize("shape", [(0,), (0, 64), (4, 0), (2, 0, 3)])
def test_an_empty_array_has_empty_planes(name: str, shape: tuple[int, ...]) -> None:
    if "t128" in name and len(shape) < 2:
        pytest.skip("a tile has two axes")
    for dtype in (np.float32, np.float64):
        x = np.zeros(shape, dtype)
        for axis in range(-len(shape), len(shape)):
            encoded = nf.encode(x, name, axis=axis, pad=True)
            assert encoded.nbytes == len(encoded.to_bytes()) == 0
            assert nf.decode(encoded, dtype).shape == nf.quantize(x, name, axis=axis, pad=True).shape == shape
            assert encoded.codes.size == encoded.scales.size == 0
            assert nf.encode(x, name, axis=axis, pad=True, out=encoded) is encoded


@pytest.mark.parametrize("name", BLOCKS)
def test_every_format_of_the_catalogue_takes_an_empty_array(name: str) -> None:
    x = np.zeros((0, 256), np.float32)
    encoded = nf.encode(x, name)
    assert encoded.to_bytes() == b""
    assert nf.decode(encoded).shape == nf.quantize(x, name).shape == (0, 256)


@pytest.mark.parametrize("name", ["nf4:b64", "e5m2:tensor", "int4:b1"])
def test_a_scalar_array_is_a_flat_block_of_one(name: str) -> None:
    x = np.float32(3.0).reshape(())
    encoded = nf.encode(x, name, pad=True)
    assert nf.decode(encoded).shape == nf.quantize(x, name, pad=True).shape == ()
    assert abs(float(nf.decode(encoded)) - 3) < 1e-6
    with pytest.raises(ValueError, match=r"x with shape \(\) has no axis for blocks"):
        nf.encode(x, "mxfp4")


@pytest.mark.parametrize("name", EVERY_KIND)
def test_memory_of_any_kind_is_read_as_its_values(name: str) -> None:
    """Read-only, strided, reversed, byte-swapped, unaligned; and pieces much smaller than the array."""
    x = np.random.default_rng(4).normal(size=(256, 640)).astype(np.float32)
    want, data = nf.quantize(x, name), nf.encode(x, name).to_bytes()
    fixed = x.copy()
    fixed.flags.writeable = False
    wide = np.zeros((512, 1280), np.float32)
    wide[::2, ::2] = x
    bytes_ = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = bytes_[1:].view(np.float32).reshape(x.shape)
    unaligned[...] = x
    backwards = x[::-1, ::-1].copy()[::-1, ::-1]
    for view in (fixed, wide[::2, ::2], np.asfortranarray(x), x.astype(">f4"), unaligned, backwards):
        same_bits(name, nf.quantize(view, name), want)
        encoded = nf.encode(view, name)
        assert encoded.to_bytes() == data
        same_bits(name, nf.decode(encoded), want)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_blocks_do_not_depend_on_the_pieces_they_are_taken_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes with pieces of about a hundred elements, cut through blocks and bytes."""
    x = np.random.default_rng(5).normal(size=(37, 3, 69)).astype(np.float32)
    want = [nf.encode(x, name, axis=axis, pad=True).to_bytes() for axis in range(3)]
    values = [nf.quantize(x, name, axis=axis, pad=True) for axis in range(3)]
    from formats.blocks import blocking, relative
    from formats.rules import powers, recipe, statistics

    for module in (blocking, relative):
        monkeypatch.setattr(module, "PIECE", 100)
    for function in (blocking.pieces, blocking.slabs):
        monkeypatch.setattr(function, "__defaults__", (100,))
    for encoder in (powers.PowerEncoder, recipe.RecipeEncoder, statistics.StatisticEncoder):
        monkeypatch.setattr(encoder, "limit", 100)
    monkeypatch.setattr("formats.rules.job.SLAB", 100)
    monkeypatch.setattr("formats.rules.job.Job.pieces.__defaults__", (100,))
    for axis in range(3):
        encoded = nf.encode(x, name, axis=axis, pad=True)
        assert encoded.to_bytes() == want[axis]
        same_bits(name, nf.decode(encoded), values[axis])
        same_bits(name, nf.quantize(x, name, axis=axis, pad=True), values[axis])


@pytest.mark.parametrize("name", ["mxfp8_e4m3", "int8:g32", "float16", "int16"])
def test_codes_are_no_window_on_the_plane(name: str) -> None:
    encoded = nf.encode(np.ones((2, 64), np.float32), name)
    before = encoded.to_bytes()
    encoded.codes[...] = 0
    encoded.planes["codes"].codes[...] = 0
    assert encoded.to_bytes() == before


def beside(call: Callable[[], Any]) -> tuple[int, Any]:
    """Bytes held at the worst moment of a call, and what it returned."""
    tracemalloc.start()
    result = call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, result


def check_memory(name: str, x: Any, axis: int, allowed: int, few: Any) -> None:
    """NumPy reports every buffer to tracemalloc. few: for the calls before, which compile and fill caches of plans."""
    nf.decode(nf.encode(few, name, axis=axis, pad=True))
    nf.quantize(few, name, axis=axis, pad=True)
    peak, encoded = beside(lambda: nf.encode(x, name, axis=axis, pad=True))
    assert peak <= encoded.nbytes + allowed, f"encode: {(peak - encoded.nbytes) / MIB:.1f} MiB"
    peak, y = beside(lambda: nf.decode(encoded))
    assert peak <= y.nbytes + allowed, f"decode: {(peak - y.nbytes) / MIB:.1f} MiB"
    if encoded.format.name.startswith("nvfp4"):
        peak, y = beside(lambda: nf.decode(encoded, order="as_published", tensor_amax=5.0))
        assert peak <= y.nbytes + allowed, f"decode as published: {(peak - y.nbytes) / MIB:.1f} MiB"
    peak, y = beside(lambda: nf.quantize(x, name, axis=axis, pad=True))
    assert peak <= y.nbytes + allowed, f"quantize: {(peak - y.nbytes) / MIB:.1f} MiB"


def _kind(fmt: Any) -> tuple[Any, ...]:
    """What decides how a format is walked: its rule, blocks, layout, levels of scales."""
    if isinstance(fmt, nf.Sum):
        return ("sum",)
    scaled = isinstance(fmt.scale.format, nf.Scaled)
    return fmt.rule, fmt.layout, fmt.block.flat, 0 in fmt.block.shape, scaled, type(fmt.element).__name__


ALL = (*BLOCKS, *(name for name in nf.names() if isinstance(nf.get(name), nf.Sum)))
ONE_OF_A_KIND = {_kind(nf.get(name)): name for name in reversed(ALL)}
SEARCHED = ("ant", "olive", "bcq", "llm_fp4_w4", "dgq", "bitmod")  # they take a microsecond an element or so


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces and slabs of a few thousand elements, so that a small array is many of them."""
    from formats.blocks import blocking
    from formats.rules import powers, recipe, statistics

    for function in (blocking.pieces, blocking.slabs):
        monkeypatch.setattr(function, "__defaults__", (1 << 12,))
    for module in ("blocks.codec.CODES", "blocks.codec.SLAB", "blocks.sums.LIMIT", "rules.job.SLAB",
                   "rules.powers.SLAB", "rules.recipe.LIMIT", "rules.recipe.PIECE"):  # fmt: skip
        monkeypatch.setattr(f"formats.{module}", 1 << 12)
    monkeypatch.setattr("formats.rules.job.Job.pieces.__defaults__", (1 << 12,))
    monkeypatch.setattr("formats.recipes.chooser.GROUP", 1 << 12)
    for encoder in (powers.PowerEncoder, recipe.RecipeEncoder, statistics.StatisticEncoder):
        monkeypatch.setattr(encoder, "limit", 1 << 12)


@pytest.mark.parametrize("name", ONE_OF_A_KIND.values())
@pytest.mark.usefixtures("small_pieces")
def test_a_call_of_every_kind_holds_little(name: str) -> None:
    """A quarter of the input at most, where all codes or one float an element would be a quarter, or all of it."""
    counted = name.startswith(("ternary_absmedian", "shiftlog"))  # by tables of 65,536 counts
    rows = 64 if name.startswith(SEARCHED) else 4096 if counted else 1024
    x = np.random.default_rng(3).standard_normal((rows, 1024), dtype=np.float32)
    check_memory(name, x, -1, x.nbytes // 4 + (MIB // 4 if rows == 64 else MIB // 8), x)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("name", [*ALL, *(n for n in EVERY_KIND if n not in ALL), "mxfp4:rule=rceil", "int4:g100"])
def test_a_call_holds_little_beside_input_and_output(name: str, axis: int) -> None:
    """256 MB of input, on a shape that needs padding along both axes but where groups must fill rows."""
    if name.startswith(SEARCHED) and axis == 0:
        pytest.skip("minutes; the walk is that of the other axis")
    groups = name.startswith(("qserve", "dgq"))
    x = np.random.default_rng(3).standard_normal((8192, 8192) if groups else (8191, 8189), dtype=np.float32)
    check_memory(name, x, axis, 64 * MIB, x[:256, :256].copy())


def test_pieces_fit_the_caches() -> None:
    assert PIECE * 8 <= MIB
    assert SLAB * 4 <= 4 * MIB
