"""Imports go left only (formats <- hwsim <- mappers <- studies), start fast, and need no extra."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("formats", "hwsim", "mappers", "studies")  # each may import itself and those before it
EXTRAS = ("torch", "matplotlib", "pandas", "transformers", "tokenizers")


def imported_names(source: str) -> list[tuple[int, str]]:
    """(line, dotted name) of every import in `source`, inside functions too, and of import_module("...") calls."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            found.append((node.lineno, node.module))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.append((node.lineno, node.args[0].value))
    return found


def wrong_way(package: str, source: str) -> list[str]:
    """The imports in `source`, a module of `package`, that go to the right or into the tests."""
    forbidden = {*PACKAGES[PACKAGES.index(package) + 1 :], "tests"}
    return [
        f"line {line}: import {name}" for line, name in imported_names(source) if name.partition(".")[0] in forbidden
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_left(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"no modules found in {package}"
    wrong = {str(path.relative_to(ROOT)): wrong_way(package, path.read_text(encoding="utf-8")) for path in files}
    assert not {path: lines for path, lines in wrong.items() if lines}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("formats", "import hwsim"),
        ("formats", "from hwsim.array import Gemm"),
        ("hwsim", "def f():\n    import numpy, mappers.trace"),
        ("mappers", "import importlib\nx = importlib.import_module('studies.common')"),
        ("studies", "from tests import conftest"),
    ],
)
def test_checker_sees_wrong_imports(package: str, source: str) -> None:
    assert len(wrong_way(package, source)) == 1


def test_checker_accepts_right_imports() -> None:
    source = (
        "from __future__ import annotations\nimport formats as nf\nfrom . import plots\nfrom hwsim.array import Gemm"
    )
    assert wrong_way("mappers", source) == []


def run_python(code: str) -> str:
    """Stdout of `code` in a fresh interpreter on one thread, in the checkout."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_formats_is_light() -> None:
    """< 0.3 s of CPU time (wall time depends on the neighbours), the best of five, and nothing heavy with it."""
    code = "import time; start = time.process_time(); import formats; print(time.process_time() - start)"
    seconds = [float(run_python(code)) for _ in range(5)]
    assert min(seconds) < 0.3, seconds
    heavy = ("numba", "sympy", "networkx", *EXTRAS)
    loaded = run_python(f"import sys, formats; print([name for name in {heavy} if name in sys.modules])")
    assert loaded == "[]"


def test_packages_import_without_extras() -> None:
    """What `pip install bitcost` alone brings is enough to import all four packages and to list the studies."""
    code = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocker())
import formats, hwsim, mappers, studies
from studies.__main__ import main
raise SystemExit(main(["list"]))
"""
    assert run_python(code)


def test_listing_studies_imports_none() -> None:
    """`python -m studies list` reads the sources: numpy stays out, and so does every study."""
    code = """
import sys
from studies.__main__ import find_studies, main
main(["list"])
print([name for name in ("numpy", *("studies." + name for name in find_studies())) if name in sys.modules])
"""
    assert run_python(code).splitlines()[-1] == "[]"
