"""Cached machine code is dropped when any kernel source changes, not only a function's own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from formats.kernels import jit


def test_changed_sources_drop_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "_checked", set())
    source, cache = tmp_path / "callee.py", tmp_path / "__pycache__"
    source.write_text("x = 1\n")
    cache.mkdir()
    code = cache / "caller.f-1.py311.1.nbc"
    code.write_bytes(b"old")
    jit._drop_stale_code(tmp_path)  # no stamp yet: unknown code is not trusted
    assert not code.exists()
    code.write_bytes(b"new")
    jit._checked.clear()
    jit._drop_stale_code(tmp_path)
    assert code.exists()
    source.write_text("x = 2\n")
    jit._checked.clear()
    jit._drop_stale_code(tmp_path)
    assert not code.exists()
