"""For every test: one thread, repeatable hypothesis runs, Python's own way of loading libraries, and GPU tests that say
why they are skipped."""

import functools
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# Before anything loads numpy or torch: their thread pools spin while they wait, which slows a shared machine down.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# No deadline and no complaint about slow draws: a busy neighbour is not a failure.
settings.register_profile(
    "bitcost", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("bitcost")


_load_flags = sys.getdlopenflags() if hasattr(sys, "getdlopenflags") else 0


@functools.cache
def why_no_gpu() -> str | None:
    """Why GPU tests cannot run here; None where they can."""
    try:
        import torch
    except ImportError:
        return 'needs a CUDA device: torch is not installed (pip install "bitcost[torch]")'
    if not torch.cuda.is_available():
        return f"needs a CUDA device: torch {torch.__version__} sees none"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Undo what importing pyosys does to all later imports (formats/torch_ops/symbols.py says what comes of it), and
    skip a test marked gpu where there is no CUDA device."""
    if hasattr(sys, "setdlopenflags"):
        sys.setdlopenflags(_load_flags)
    if item.get_closest_marker("gpu") is not None and (reason := why_no_gpu()) is not None:
        pytest.skip(reason)
