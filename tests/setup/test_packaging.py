"""The distribution: what it requires, what constraints.txt pins, and a wheel that works away from the checkout."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("formats", "hwsim", "mappers", "studies")
NEVER = {"torchvision", "timm"}  # both replace the pinned torch with another build
# torch's own libraries differ by platform and build, so no one constraints file can pin them all.
PLATFORM_PACKAGES = re.compile(r"(nvidia|cuda|triton|pytorch-triton)(-|$)")


def pins() -> dict[str, str]:
    """Canonical name -> version of every line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found: dict[str, str] = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in lines)):
        name, equals, version = line.partition("==")
        assert equals, f"constraints.txt: {line!r} is no pin NAME==VERSION"
        assert Version(version).local is None, f"constraints.txt: {line!r} names one build"
        found[canonicalize_name(name)] = version
    return found


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """Canonical name -> installed version of everything that `requirements` bring on this platform."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in requirements]
    while todo:
        requirement, asked_by_extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": asked_by_extra}):
            continue
        distribution = importlib.metadata.distribution(name)
        if name != "bitcost":
            found[name] = distribution.version
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                todo += [(Requirement(text), extra) for text in distribution.requires or ()]
    return found


def unpinned(installed: dict[str, str], pinned: dict[str, str]) -> list[str]:
    """What is installed in another version than pinned, or not pinned at all."""
    return sorted(
        f"{name} {version}: pinned {pinned.get(name)}"
        for name, version in installed.items()
        if not PLATFORM_PACKAGES.match(name) and Version(version).public != pinned.get(name)
    )


def test_constraints_pin_everything_installed() -> None:
    installed = closure(["bitcost[all,test,lint]"])
    assert {"torch", "numpy", "llvmlite", "pytest", "ruff", "setuptools"} <= installed.keys()
    assert unpinned(installed, pins()) == []
    assert pins()["torch"] == "2.13.0"
    assert not NEVER & (installed.keys() | pins().keys())


def test_pin_checker_sees_a_missing_and_a_wrong_pin() -> None:
    installed = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "nvidia-nccl": "1", "tqdm": "4.70.1"}
    assert unpinned(installed, {"numpy": "2.4.5", "torch": "2.13.0"}) == [
        "numpy 2.4.6: pinned 2.4.5",
        "tqdm 4.70.1: pinned None",
    ]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: building in the checkout would leave build/ there."""
    folder = tmp_path_factory.mktemp("a wheel")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (built,) = folder.glob("bitcost-*.whl")
    return built


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--no-index", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_wheel_requires_no_torch_without_an_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = Parser().parsestr(archive.read(metadata).decode("utf-8"))
    requirements = [Requirement(text) for text in message.get_all("Requires-Dist", [])]
    plain = {item.name for item in requirements if item.marker is None or item.marker.evaluate({"extra": ""})}
    assert {Requirement(text).name for text in project()["dependencies"]} == plain  # type: ignore[attr-defined]
    assert plain == {"numpy", "numba", "sympy", "networkx", "ml_dtypes", "safetensors"}
    assert {"torch", "studies", "models", "all", "test", "lint"} <= set(message.get_all("Provides-Extra", []))
    assert not NEVER & {item.name for item in requirements}
    assert message["License-Expression"] == "Apache-2.0"


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = wheel.parent / "source"
    files = (path for package in PACKAGES for path in (source / package).rglob("*") if path.is_file())
    names = {path.relative_to(source).as_posix() for path in files}
    assert shipped == {name for name in names if not name.startswith("studies/results/")}
    assert any(name.endswith(".json") for name in shipped)


USE_THE_WHEEL = """
import pathlib, sys
import formats as nf, hwsim as hw, mappers as mp, studies.common
checkout, target = sys.argv[1:]
for package in (nf, hw, mp, studies):
    assert pathlib.Path(package.__file__).is_relative_to(target), package.__file__
assert checkout not in sys.path
assert studies.common.git_hash() == ""
assert all(hw.MacPE("int8", "int8").area_um2(name).value > 0 for name in hw.technologies())
assert all(mp.load(name).macs() for name in mp.graphs())
import studies.plots, studies.workloads.byte_lm
with studies.plots.style():
    pass
studies.workloads.byte_lm.load()
print("installed", studies.common.bitcost_version())
"""


def test_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Installed alone into an empty folder, run from elsewhere, with the dependencies visible and the checkout not."""
    target, elsewhere = tmp_path / "the target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip("install", "--no-deps", "--target", str(target), str(wheel))
    # -S: the environment's .pth files, which make the checkout importable, are not read.
    python = [sys.executable, "-S", "-W", "error"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), sysconfig.get_path("purelib")])}

    def run(*arguments: str) -> str:
        command = [*python, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=elsewhere, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", USE_THE_WHEEL, str(ROOT), str(target)).startswith("installed ")
    listed = run("-m", "studies", "list")
    from studies.__main__ import find_studies

    assert [line.split()[0] for line in listed.splitlines()] == list(find_studies())
    assert list(elsewhere.iterdir()) == []
