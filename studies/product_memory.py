"""Peak memory of one emulated product, in a process of its own: `python -m studies.product_memory CASE M K N`.

The kernel's own mark (VmHWM of /proc, set back before the call) sees what compiled code and BLAS allocate too, which
tracemalloc does not. What the first product of a process loads stays and is no part of later ones: compiled kernels
and, for exact sums, torch where it is installed, whose int8 product they use. It is measured apart, on a small product
of the same depth. A first run in another process fills the cache of compiled kernels.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import formats as nf
from studies.common import CHECKOUT, Row

MIB = 1 << 20
SEED = 20_261_123
OPERANDS = "e4m3fn"
CASES: dict[str, dict[str, Any]] = {
    "exact": {},
    "hopper_fp8": {"accumulator": "hopper_fp8"},
    "bfloat16 chain": {"accumulator": nf.FloatChain("bfloat16")},
    "lmul_formula": {"multiplier": "lmul_formula"},
}
SMALL = 64  # rows and columns of the first product, enough for threads to start


def unavailable() -> str | None:
    """Why peaks cannot be measured here, or None."""
    try:
        _resident("VmHWM")
    except (OSError, StopIteration):
        return "peak memory needs Linux's /proc/self/status with VmHWM; there is none here"
    return None


def _resident(mark: str) -> int:
    """Bytes resident now (VmRSS) or at the worst moment (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{mark}:")).split()[1])


def _give_back() -> None:
    """Free memory goes back to the system, where the C library can: otherwise the call could hide in it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def peak_beside(call: Callable[[], Any]) -> tuple[int, Any]:
    """Bytes resident at the worst moment of a call beyond those before it, and what it returned (counted too).

    Raises RuntimeError where an earlier, higher peak would hide the call's.
    """
    _give_back()
    with contextlib.suppress(OSError):  # an older peak stays; seen below
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _resident("VmRSS")
    if _resident("VmHWM") > before + MIB:
        raise RuntimeError("peak_beside: the peak cannot be set back here (/proc/self/clear_refs), and it was higher")
    result = call()
    return _resident("VmHWM") - before, result


def measure(case: str, shape: tuple[int, int, int]) -> Row:
    """One row, of this process, which must be fresh. shape: M, K, N of float32 operands whose values are e4m3fn's."""
    m, k, n = shape
    rng = np.random.default_rng(SEED)
    a, b = (nf.quantize(rng.standard_normal(s, dtype=np.float32), OPERANDS) for s in ((m, k), (k, n)))
    how = {"a_format": OPERANDS, "b_format": OPERANDS, **CASES[case]}
    first, _ = peak_beside(lambda: nf.matmul(a[:SMALL], b[:, :SMALL], **how))
    peak, product = peak_beside(lambda: nf.matmul(a, b, **how))
    return {
        "case": case,
        "how": ", ".join(f"{key}={value}" for key, value in CASES[case].items()) or "exact",
        "m": m,
        "k": k,
        "n": n,
        "operands_mib": (a.nbytes + b.nbytes) / MIB,
        "result_mib": product.nbytes / MIB,
        "beyond_mib": (peak - product.nbytes) / MIB,
        "first_small_product_mib": first / MIB,
    }


def in_own_process(case: str, shape: tuple[int, int, int]) -> Row:
    """`measure` in a fresh process, after one of a small product that fills the cache of compiled kernels."""
    for sizes in ((SMALL, shape[1], SMALL), shape):
        command = [sys.executable, "-m", "studies.product_memory", case, *map(str, sizes)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=CHECKOUT)
    row: Row = json.loads(done.stdout)
    return row


def main(arguments: Sequence[str]) -> None:
    """Print the row of one case as JSON."""
    case, *sizes = arguments
    m, k, n = map(int, sizes)
    print(json.dumps(measure(case, (m, k, n))))


if __name__ == "__main__":
    main(sys.argv[1:])
