"""torch.compile where its CPU kernels would be taken for one another is refused, and why it must be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import formats as nf

torch = pytest.importorskip("torch")
torch_ops = pytest.importorskip("formats.torch_ops")
symbols = pytest.importorskip("formats.torch_ops.symbols")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::DeprecationWarning:torch"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RTLD_GLOBAL"),
]

ROOT = Path(__file__).parents[2]
DOORS = {
    "quantize": lambda: torch_ops.quantize(torch.ones(2, 64), "e4m3fn"),
    "encode_codes": lambda: torch_ops.encode_codes("e4m3fn", torch.ones(2, 64)),
    "decode_codes": lambda: torch_ops.decode_codes("e4m3fn", torch.ones(2, 64, dtype=torch.uint8)),
}


@pytest.mark.parametrize("door", DOORS)
def test_refused_while_libraries_share_their_symbols(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr(sys, "getdlopenflags", lambda: os.RTLD_NOW | os.RTLD_GLOBAL)
    DOORS[door]()  # nothing is compiled, nothing is refused
    with pytest.raises(
        Exception, match=rf"{door}: sys.getdlopenflags\(\) holds RTLD_GLOBAL, as importing pyosys .* call"
    ):
        torch.compile(DOORS[door], fullgraph=True, backend="aot_eager")()


def test_refused_after_a_kernel_was_loaded_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    assert not symbols.is_global("kernel")
    assert symbols.is_global("malloc")
    monkeypatch.setattr(symbols, "_NAME", "malloc")
    with pytest.raises(
        Exception, match=r"quantize: a library loaded with RTLD_GLOBAL has a symbol 'malloc'.*new process"
    ):
        torch.compile(DOORS["quantize"], fullgraph=True, backend="aot_eager")()


def test_accepted_otherwise() -> None:
    torch._dynamo.reset()
    got = torch.compile(DOORS["quantize"], fullgraph=True, backend="aot_eager")()
    assert torch.equal(got, nf.quantize(torch.ones(2, 64), "e4m3fn"))


MIXED_UP = """
import os, sys, torch
sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
add, scale = torch.compile(lambda x: x + 1), torch.compile(lambda x: x * 3)
x = torch.arange(4.0)
print(add(x).tolist(), scale(x).tolist())
sys.setdlopenflags(os.RTLD_NOW)
from formats.torch_ops.symbols import check_symbols
try:
    check_symbols("quantize")
except RuntimeError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="Inductor needs a C++ compiler")
def test_torch_does_mix_them_up() -> None:
    """When this fails a torch has mended it, and from that version on nothing needs to be refused."""
    done = subprocess.run([sys.executable, "-c", MIXED_UP], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    values, refusal = done.stdout.splitlines()
    assert values == "[1.0, 2.0, 3.0, 4.0] [1.0, 2.0, 3.0, 4.0]"  # x * 3 is 0, 3, 6, 9
    assert "has a symbol 'kernel'" in refusal
