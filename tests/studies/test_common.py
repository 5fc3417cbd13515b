"""Tables that read back equal and say where they come from; progress lines; extras."""

import io
import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.common import (
    CHECKOUT,
    MissingExtraError,
    Progress,
    Provenance,
    bitcost_version,
    git_hash,
    read_csv,
    require,
    write_csv,
)

PROVENANCE = Provenance(study="toy", seed=3, notes=(("corpus", "stdlib: 12 files"),))
READS_BACK_AS_ANOTHER = ["", "12", "-1.5", "nan", "Infinity", "true", "1e5", "１２", "two\nlines"]


def survives(text: str) -> bool:
    """Whether a text cell may be written: it does not look like another type (the rule, written independently)."""
    try:
        float(text.replace("_", "x"))
    except ValueError:
        return text not in ("", "true", "false") and not set(text) & {"\r", "\n"}
    return text != text.strip()


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8).filter(survives),
)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6))
def test_tables_read_back_equal_in_value_and_type(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]]
) -> None:
    path = tmp_path_factory.mktemp("table") / "toy.csv"
    written = [dict(zip(("name", 'a, quoted "column"', "#third"), row, strict=True)) for row in rows]
    write_csv(written, path, PROVENANCE)
    table = read_csv(path)
    assert [repr(row) for row in table.rows] == [repr(row) for row in written]
    assert table.header == {"study": "toy", "seed": "3", "corpus": "stdlib: 12 files"}


def test_table_on_disk_is_what_a_spreadsheet_expects(tmp_path: Path) -> None:
    rows = [
        {"format": "mxfp4", "area_um2": np.float32(0.1), "n": np.int64(7), "proved": np.bool_(False), "low": None},
        {"format": "int4:g128", "area_um2": math.inf, "n": 0, "proved": True, "low": -0.0},
    ]
    write_csv(rows, tmp_path / "deep/toy.csv", PROVENANCE)
    assert (tmp_path / "deep/toy.csv").read_text().splitlines() == [
        "# study: toy",
        "# seed: 3",
        "# corpus: stdlib: 12 files",
        "format,area_um2,n,proved,low",
        "mxfp4,0.10000000149011612,7,false,",
        "int4:g128,inf,0,true,-0.0",
    ]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["toy.csv"]
    assert read_csv(tmp_path / "deep/toy.csv").column("n") == [7, 0]


def test_pandas_reads_the_same_table(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_csv([{"format": "mxfp4", "area_um2": 0.5}], tmp_path / "toy.csv", PROVENANCE)
    frame = pandas.read_csv(tmp_path / "toy.csv", comment="#")
    assert frame.to_dict("records") == [{"format": "mxfp4", "area_um2": 0.5}]


@pytest.mark.parametrize("text", READS_BACK_AS_ANOTHER)
def test_text_that_would_change_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"row 0, column 'name': the text .* would not read back as that text"):
        write_csv([{"name": text}], tmp_path / "toy.csv", PROVENANCE)
    assert not (tmp_path / "toy.csv").exists()


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.csv"
    with pytest.raises(ValueError, match=r"no rows for toy\.csv"):
        write_csv([], path, PROVENANCE)
    with pytest.raises(ValueError, match="needs at least one"):
        write_csv([{}], path, PROVENANCE)
    with pytest.raises(ValueError, match="must not start with '#'"):
        write_csv([{"#a": 1}], path, PROVENANCE)
    with pytest.raises(ValueError, match=r"row 1 differs from row 0 in its columns: \['b', 'c'\]"):
        write_csv([{"a": 1, "b": 2}, {"a": 1, "c": 2}], path, PROVENANCE)
    with pytest.raises(TypeError, match="row 0, column 'a' is a Fraction"):
        write_csv([{"a": Fraction(1, 2)}], path, PROVENANCE)
    path.write_text("# study: toy\na,b\n1,2\n3\n")
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        read_csv(path)
    path.write_text("# study: toy\n")
    with pytest.raises(ValueError, match="no table under its 1 header lines"):
        read_csv(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(KeyError, match="no column 'c'; there are a, b"):
        read_csv(path).column("c")


def test_provenance_of_a_run_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    header = dict(Provenance.now(study="toy", seed=0, notes={"n": 12}).items())
    assert header["date"] == "1970-01-01T00:00:00+00:00"
    assert header["bitcost_version"] == bitcost_version() != ""
    assert header["seed"] == "0"
    assert header["n"] == "12"
    assert header["platform"].endswith(f"Python {sys.version.split()[0]}")
    assert header["device"].endswith("cores")
    assert Provenance.now(study="toy", device="H200").device == "H200"
    assert "seed" not in dict(Provenance.now(study="toy").items())


def test_provenance_refuses_what_would_not_read_back() -> None:
    with pytest.raises(ValueError, match="note 'seed' must be an identifier other than"):
        Provenance(study="toy", notes=(("seed", "1"),))
    with pytest.raises(ValueError, match="note 'two words' must be an identifier"):
        Provenance(study="toy", notes=(("two words", "1"),))
    with pytest.raises(ValueError, match="must be one line"):
        Provenance(study="toy", device="a\nb")


def test_provenance_repr_rebuilds_it() -> None:
    assert eval(repr(PROVENANCE)) == PROVENANCE
    assert hash(PROVENANCE) == hash(eval(repr(PROVENANCE)))


def test_git_hash_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    assert git_hash(tmp_path) == ""
    git("init", "-q")
    assert git_hash(tmp_path) == "", "no commit yet"
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "--no-verify", "-m", "one")
    assert git_hash(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("")
    assert not git_hash(tmp_path).endswith("-dirty")
    (tmp_path / "file").write_text("two")
    assert git_hash(tmp_path) == git("rev-parse", "HEAD") + "-dirty"
    (tmp_path / "inside").mkdir()
    assert git_hash(tmp_path / "inside") == "", "a folder inside somebody else's repository"


def test_checkout_is_the_folder_above_the_package() -> None:
    assert (CHECKOUT / "studies/common.py").is_file()


def test_progress_lines() -> None:
    stream = io.StringIO()
    progress = Progress("toy", steps=2, stream=stream)
    progress("first")
    progress("second")
    Progress("open", stream=stream)("step")
    lines = stream.getvalue().splitlines()
    assert [line.partition("] ")[2] for line in lines] == ["toy 1/2: first", "toy 2/2: second", "open: step"]
    assert all(line.startswith("[") and " s] " in line for line in lines)


def test_require_names_the_extra() -> None:
    assert require("json", "studies") is json
    for module in ("no_such_package", "no_such_package.inner"):
        with pytest.raises(MissingExtraError, match=r'needs no_such_package.*: pip install "bitcost\[studies\]"'):
            require(module, "studies")
    assert issubclass(MissingExtraError, ImportError)


def test_require_passes_a_broken_package_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        require("broken_package", "studies")
    assert not isinstance(caught.value, MissingExtraError)
