"""One place for the compiler's options, and for what its cache on disk must not do."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_STAMP = "kernels.sha256"
_checked: set[Path] = set()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile for one thread without bounds checks, keep the machine code on disk, release the GIL while running.

    No fast-math: rounding tricks below rely on IEEE addition being left alone. Where no folder can be written the code
    is compiled anew in every process.
    """
    _drop_stale_code(Path(inspect.getfile(function)).parent)
    options: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "nogil": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "no locator available": nowhere to keep it
        return numba.njit(**options)(function)


def _drop_stale_code(folder: Path) -> None:
    """Delete a folder's cached machine code when any kernel source has changed.

    numba compares the time of a function's own file only, but inlines callees from other files: after an edit of one,
    callers elsewhere would run the old code.
    """
    if folder in _checked:
        return
    _checked.add(folder)
    cache = folder / "__pycache__"
    here = Path(__file__).parent
    sources = sorted({*folder.glob("*.py"), *here.glob("*.py")})
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    stamp = cache / _STAMP
    try:
        if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
            return
        for pattern in ("*.nbi", "*.nbc"):
            for stale in cache.glob(pattern):
                stale.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        stamp.write_text(digest, encoding="ascii")
    except OSError:
        return  # a read-only installation: its files do not change either
