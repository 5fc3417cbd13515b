"""`python -m studies`: lists by reading the sources, runs one study, redraws it, and explains what it cannot do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import studies
import studies.common  # before a test puts another folder in its place
from studies import __main__ as cli

TOY = '''"""A study for the tests."""

QUESTION = "Is two more than one?"


def add_arguments(parser):
    parser.add_argument("--count", type=int, default=2)


def run(out, args):
    (out / "toy.csv").write_text(f"count\\n{args.count}\\n")
    draw(out / "toy.csv", out)


def draw(csv_path, out):
    (out / "toy.svg").write_text("drawn from " + csv_path.read_text())
'''
BARE = """QUESTION: str = "Does it need torch?"


def run(out, args):
    from studies.common import require

    require("no_such_package", "torch")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands in for studies/, holding the studies toy, bare and broken; the working directory too."""
    place = tmp_path / "studies"
    place.mkdir()
    (place / "toy.py").write_text(TOY)
    (place / "bare.py").write_text(BARE)
    (place / "broken.py").write_text('QUESTION = "Is it broken?"\nimport no_such_package\n')
    (place / "common.py").write_text('raise RuntimeError("listing imports nothing")\nquestion = "no"\n')
    (place / "two.py").write_text("QUESTION = 1 + 1\n")
    monkeypatch.setattr(cli.find_studies, "__defaults__", (place,))
    monkeypatch.setattr(studies, "__path__", [str(place), *studies.__path__])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("toy", "bare", "broken"):
        sys.modules.pop(f"studies.{name}", None)


def test_list_names_each_study_and_its_question(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "bare    Does it need torch?",
        "broken  Is it broken?",
        "toy     Is two more than one?",
    ]
    assert cli.main([]) == 0
    assert "usage: python -m studies list | NAME" in capsys.readouterr().out
    assert cli.main(["list", "toy"]) == 2
    assert "list takes no arguments, got toy" in capsys.readouterr().err


def test_run_makes_the_default_folder(folder: Path) -> None:
    assert cli.main(["toy"]) == 0
    assert (folder / "out/toy/toy.csv").read_text() == "count\n2\n"
    assert (folder / "out/toy/toy.svg").is_file()


def test_run_passes_its_own_options(folder: Path) -> None:
    assert cli.main(["toy", "--out", "a folder/deep", "--count", "7"]) == 0
    assert (folder / "a folder/deep/toy.csv").read_text() == "count\n7\n"


def test_redraw_reads_the_table_alone(folder: Path) -> None:
    (folder / "old").mkdir()
    (folder / "old/toy.csv").write_text("count\n5\n")
    assert cli.main(["toy", "--redraw", "old"]) == 0
    assert (folder / "old/toy.svg").read_text() == "drawn from count\n5\n"
    assert cli.main(["toy", "--redraw", "old", "--out", "new"]) == 0
    assert (folder / "new/toy.svg").is_file()
    assert not (folder / "new/toy.csv").exists()


def test_redraw_without_a_table_or_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["toy", "--redraw", "nowhere"])
    assert "there is no table nowhere/toy.csv; run `python -m studies toy` first" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["bare", "--redraw", "."])
    assert "study bare draws no figures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("toi", "no study named 'toi'; did you mean toy?"),
        ("brokn", "did you mean broken?"),
        ("zzz", "no study named 'zzz'; there are: bare, broken, toy."),
        ("common", "no study named 'common'"),
        ("../toy", "no study named '../toy'"),
    ],
)
def test_unknown_study(folder: Path, capsys: pytest.CaptureFixture[str], name: str, says: str) -> None:
    assert cli.main([name]) == 2
    assert says in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_wrong_option_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["toy", "--cuont", "7"])
    assert "unrecognized arguments: --cuont 7" in capsys.readouterr().err


def test_missing_extra_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bare"]) == 1
    expected = 'bare: needs no_such_package, which is not installed: pip install "bitcost[torch]"\n'
    assert capsys.readouterr().err == expected


def test_other_import_errors_keep_their_traceback(folder: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        cli.main(["broken"])


def test_the_shipped_studies_have_what_the_command_needs() -> None:
    """Each defines run, and asks a question that fits a line; run from anywhere, the command lists them."""
    found = cli.find_studies()
    for name, question in found.items():
        assert question.endswith("?"), name
        assert "\n" not in question, name
        source = (cli.STUDIES_FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert "\ndef run(" in source, name
    done = subprocess.run(
        [sys.executable, "-m", "studies", "list"],
        capture_output=True,
        text=True,
        cwd=cli.STUDIES_FOLDER.parent,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        timeout=60,
        check=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(found)
