"""Whether kernels that torch.compile makes for the CPU would be taken for one another.

Inductor's C++ libraries each hold a function `kernel`, which their entry looks up by name, and Python loads them as it
loads extension modules. With RTLD_GLOBAL in sys.setdlopenflags, which `import pyosys` leaves there, the first library's
`kernel` then answers for all that are loaded later: two functions compiled by torch 2.13 return the first one's values.
Triton had the like: https://github.com/pytorch/pytorch/issues/96229.
"""

from __future__ import annotations

import ctypes
import os
import sys

_NAME = "kernel"


def check_symbols(door: str) -> None:
    """Refuse to be compiled for the CPU where the compiled code would call another's kernels.

    Raises RuntimeError. Nothing is seen here of kernels loaded before without RTLD_GLOBAL: those harm nobody.
    """
    if sys.platform == "win32":  # has neither the flags nor one space of names
        return
    if sys.getdlopenflags() & os.RTLD_GLOBAL:
        raise RuntimeError(
            f"{door}: sys.getdlopenflags() holds RTLD_GLOBAL, as importing pyosys leaves it, and torch.compile's CPU "
            "kernels, which share one name, would be taken for one another; call sys.setdlopenflags(os.RTLD_NOW) "
            "before anything is compiled"
        )
    if is_global(_NAME):
        raise RuntimeError(
            f"{door}: a library loaded with RTLD_GLOBAL has a symbol {_NAME!r}, which every kernel that torch.compile "
            "makes for the CPU would call instead of its own; begin a new process and call "
            "sys.setdlopenflags(os.RTLD_NOW) in it before anything is compiled"
        )


def is_global(name: str) -> bool:
    """Whether a symbol is found in the process' common space of names."""
    return hasattr(ctypes.CDLL(None), name)
