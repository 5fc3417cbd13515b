"""Evaluation text: only files whose sha256 is listed, enough of them, the same every time, none trained on."""

import hashlib
import json
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from studies.workloads import corpus, list_corpus


@pytest.fixture(scope="module")
def matches() -> corpus.Matches:
    return corpus.match()


def _copy(matches: corpus.Matches, target: Path, paths: list[str]) -> Path:
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(matches.root) / path, target / path)
    return target


def test_this_interpreter_has_enough_listed_text(matches: corpus.Matches) -> None:
    # the ten listed releases have 0.97 to 1.06 MB; a patch release left off the list would still have had over 0.87 MB
    assert matches.n_bytes >= corpus.MINIMUM_WINDOWS * corpus.CONTEXT
    for path, text in matches.texts.items():
        digest = hashlib.sha256(text).hexdigest()
        assert any(file.path == path and file.sha256 == digest and file.bytes == len(text) for file in corpus.listed())


def test_every_listed_version_is_held_out_and_mostly_its_own_text() -> None:
    files = corpus.listed()
    assert sum(file.bytes for file in files if "3.11.7" in file.snapshots) == 1_031_435
    assert len({(file.path, file.sha256) for file in files}) == len(files)
    for file in files:
        assert corpus.is_held_out(file.path)
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.overlap <= list_corpus.OVERLAP_LIMIT


def test_the_training_text_is_what_the_log_says_and_holds_no_listed_path() -> None:
    log = json.loads((resources.files("studies.workloads") / "data" / "byte_lm_training.json").read_text())["data"]
    library = list_corpus.read_library(corpus.standard_library())
    train = [path for path in sorted(library) if not corpus.is_held_out(path)]
    assert not {file.path for file in corpus.listed()} & set(train)
    if len(train) != log["train_files"]:
        pytest.skip(f"the model was trained on the library of CPython 3.11.7, tests included; {len(train)} files here")
    text = b"\0".join(library[path] for path in train)
    if len(text) != log["train_bytes"]:
        pytest.skip("another release than CPython 3.11.7")
    assert hashlib.sha256(text).hexdigest() == log["train_sha256"]


def test_windows_are_deterministic_distinct_and_cut_from_the_files(matches: corpus.Matches) -> None:
    first, second = corpus.load(), corpus.load(Path(matches.root))
    assert first.digest == second.digest == hashlib.sha256(first.tokens.tobytes()).hexdigest()
    assert first.tokens.shape == (1024, 257)
    assert first.n_bytes == 262_144
    assert len(np.unique(first.tokens, axis=0)) == 1024
    for row, index in zip(first.tokens[::50], first.file_index[::50], strict=True):
        start = matches.texts[first.paths[index]].index(row.tobytes())
        assert start >= 0
    everything = corpus.load(windows=None)
    assert everything.n_windows > 3000
    assert np.array_equal(everything.tokens[:1024], first.tokens)
    assert "262,144 bytes (1,024 windows of 256)" in str(first)


def test_a_modified_file_is_refused(matches: corpus.Matches, tmp_path: Path) -> None:
    root = _copy(matches, tmp_path, list(matches.texts))
    assert corpus.match(root).texts == matches.texts
    victim = max(matches.texts, key=lambda path: len(matches.texts[path]))
    text = bytearray(matches.texts[victim])
    text[len(text) // 2] ^= 1
    (root / victim).write_bytes(text)
    changed = corpus.match(root)
    assert changed.refused == (victim,)
    assert set(matches.texts) - set(changed.texts) == {victim}
    assert victim not in corpus.load(root).paths
    # the bytes of a listed file under another listed path are refused too
    other = next(path for path in matches.texts if path != victim)
    (root / victim).write_bytes(matches.texts[other])
    assert corpus.match(root).refused == (victim,)


def test_too_little_text_is_an_error_that_says_what_arrived(matches: corpus.Matches, tmp_path: Path) -> None:
    few = sorted(matches.texts, key=lambda path: len(matches.texts[path]))[:40]
    root = _copy(matches, tmp_path, few)
    expected = (
        r"262,144 bytes of listed standard-library text asked for; Python \S+ gave [\d,]+ in whole windows: [\d,]+"
        r" bytes in 40 listed files under .* \(0 refused for another sha256, \d+ absent\)\."
        r" CPython 3\.11 to 3\.15 with its library sources works"
    )
    for windows in (corpus.MINIMUM_WINDOWS, None):
        with pytest.raises(ValueError, match=expected):
            corpus.load(root, windows)
    with pytest.raises(ValueError, match=r"256,000,000 bytes .* asked for"):
        corpus.load(windows=1_000_000)
    with pytest.raises(ValueError, match=r"100 windows asked for; below 1024 \(262,144 bytes\)"):
        corpus.load(windows=100)
    with pytest.raises(ValueError, match=r"is not a folder; pass the folder that holds os\.py"):
        corpus.load(tmp_path / "nowhere")


def test_sentence_pairs_are_prose_and_deterministic() -> None:
    pairs = corpus.sentence_pairs()
    assert pairs == corpus.sentence_pairs(pairs=200)[:150]
    assert len({pair.query for pair in pairs}) == len(pairs) == 150
    for pair in pairs:
        assert len(pair.query) >= 20
        assert len(pair.passage) >= 40
        assert ">>>" not in pair.query + pair.passage
        assert "  " not in pair.query + pair.passage


def test_sentence_pair_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"100000 docstring pairs asked for; .* hold \d+; ask for fewer"):
        corpus.sentence_pairs(pairs=100_000)
    with pytest.raises(ValueError, match="0 sentence pairs asked for; ask for at least 1"):
        corpus.sentence_pairs(pairs=0)
    newer = corpus.Matches(root="x", texts={"a.py": b"match ="}, refused=(), missing=())
    monkeypatch.setattr(corpus, "match", lambda root: newer)
    with pytest.raises(ValueError, match=r"cannot parse a\.py, whose sha256 is that of another release"):
        corpus.sentence_pairs()


def test_overlap_counts_the_bytes_of_repeated_strings() -> None:
    random = np.random.default_rng(7)
    train = random.integers(0, 256, 5000, dtype=np.uint8).tobytes()
    fresh = random.integers(0, 256, 400, dtype=np.uint8).tobytes()
    hashes = np.unique(list_corpus._string_hashes(train))
    assert list_corpus.overlap(fresh, hashes) == 0.0
    assert list_corpus.overlap(train[100:300], hashes) == 1.0
    assert list_corpus.overlap(fresh[:300] + train[40:140], hashes) == 0.25
    assert list_corpus.overlap(fresh[:300] + train[40:89], hashes) == 0.0  # 49 bytes are no string of 50
    assert list_corpus.overlap(b"short", hashes) == 0.0


def test_the_list_is_made_by_its_rule() -> None:
    common = {f"module_{index}.py": f"text {index}\n".encode() * 30 for index in range(60)}
    releases = {f"3.{minor}": dict(common) for minor in range(list_corpus.STABLE_IN)}
    for library in list(releases.values())[1:]:  # the last thirty differ in one release from the others
        library.update({f"module_{index}.py": common[f"module_{index}.py"] + b"#" for index in range(30, 60)})
    table = list_corpus.make_list("3.0", releases)
    random = [path for path in common if corpus.in_random_split(path)]
    assert table["held_out_paths"] == sorted({*random, *(f"module_{index}.py" for index in range(30))})
    assert "test" in "test/module.py"
    assert not list_corpus._suitable("test/module.py")
    assert not list_corpus._suitable("encodings/cp437.py")
