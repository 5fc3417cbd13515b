"""The shipped byte model: its size, its loss on text it has not seen, and another implementation of it."""

import json
from importlib import resources

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra bitcost[torch]")

from studies.workloads import byte_lm, corpus, scores  # noqa: E402

# python -m studies.workloads.train_byte_lm: 2.4e8 bytes on an H200; the value of this evaluation text on CPython 3.11.7
DIGEST_3_11_7 = "9d8866f258c427953f54c4bea40703c8c81c9a6129e50ba78818f3d551e46210"
BITS_3_11_7 = 1.33148


@pytest.fixture(scope="module")
def text() -> corpus.Corpus:
    return corpus.load()


@pytest.fixture(scope="module")
def model() -> byte_lm.ByteLM:
    return byte_lm.load()


@pytest.fixture(scope="module")
def losses(model: byte_lm.ByteLM, text: corpus.Corpus) -> np.ndarray:
    return byte_lm.window_losses(model, text.tokens)


def test_parameter_count_and_file_size(model: byte_lm.ByteLM) -> None:
    per_layer = 4 * 128 * 128 + 3 * 128 * 384 + 2 * 128
    expected = 2 * 256 * 128 + 4 * per_layer + 128
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == byte_lm.PARAMETERS == 918_656
    assert len((resources.files("studies.workloads") / "data" / byte_lm.WEIGHTS).read_bytes()) < 2_000_000


def test_loss_on_unseen_text(losses: np.ndarray, text: corpus.Corpus) -> None:
    # measured 1.331 on 3.11.7; LZMA needs 1.71 bits/byte for all 1.03 MB of the listed files as one stream
    assert losses.shape == (text.n_windows,)
    assert 1.0 < losses.mean() < 1.6
    log = json.loads((resources.files("studies.workloads") / "data" / "byte_lm_training.json").read_text())
    assert log["train_tokens"] == 238_944_256  # 260 bytes a parameter
    assert log["evaluation_bits_per_byte"][log["kept"]] == pytest.approx(BITS_3_11_7, abs=1e-4)
    if text.digest == DIGEST_3_11_7:
        # float32 sums in another order: 1e-4 is far above their rounding, far below any format's effect
        assert losses.mean() == pytest.approx(BITS_3_11_7, abs=1e-4)


def test_evaluation_is_deterministic_and_independent_of_the_batch(
    model: byte_lm.ByteLM, text: corpus.Corpus, losses: np.ndarray
) -> None:
    assert np.array_equal(byte_lm.window_losses(model, text.tokens[:32]), losses[:32])
    odd = byte_lm.window_losses(model, text.tokens[:20], batch=7)
    np.testing.assert_allclose(odd, losses[:20], rtol=1e-5)


def test_a_damaged_model_loses(model: byte_lm.ByteLM, text: corpus.Corpus, losses: np.ndarray) -> None:
    damaged = byte_lm.load()
    with torch.no_grad():
        weight = damaged.layers[1].mlp.down_proj.weight
        step = weight.abs().amax(dim=1, keepdim=True) / 3  # three bits per channel
        weight.copy_(torch.round(weight / step) * step)
    result = scores.paired(byte_lm.window_losses(damaged, text.tokens[:64]), losses[:64], text.file_index[:64])
    assert result.difference > 4 * result.standard_error > 0


def test_uniform_and_certain_predictions_cost_eight_and_zero_bits() -> None:
    targets = torch.randint(256, (3, 50), generator=torch.Generator().manual_seed(1))
    assert byte_lm.bits_per_byte(torch.zeros(3, 50, 256), targets).numpy() == pytest.approx(8.0, rel=1e-6)
    certain = 100.0 * torch.nn.functional.one_hot(targets, 256)
    assert byte_lm.bits_per_byte(certain, targets).numpy() == pytest.approx(0.0, abs=1e-6)
    assert byte_lm.bits_per_byte(certain, (targets + 1) % 256).min() > 100


def test_no_byte_sees_its_future(model: byte_lm.ByteLM, text: corpus.Corpus) -> None:
    rows = torch.from_numpy(text.tokens[:2, :256].astype(np.int64))
    changed = rows.clone()
    changed[:, 100:] = 0
    with torch.no_grad():
        before, after = model(rows), model(changed)
    # another summation order is possible, so not bit equality
    torch.testing.assert_close(before[:, :100], after[:, :100], rtol=1e-4, atol=1e-4)
    assert (before[:, 101:] - after[:, 101:]).abs().max() > 1


def test_equals_transformers_llama(model: byte_lm.ByteLM, text: corpus.Corpus) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra bitcost[models]")
    config = transformers.LlamaConfig(
        vocab_size=256,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
    )
    llama = transformers.LlamaForCausalLM(config).eval()
    weights = {f"{'' if name.startswith('lm_head') else 'model.'}{name}": p for name, p in model.named_parameters()}
    llama.load_state_dict(weights)
    rows = torch.from_numpy(text.tokens[:4, :256].astype(np.int64))
    with torch.no_grad():
        expected, found = llama(rows).logits, model(rows)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)  # logits reach 20; float32 sums differ in order


def test_traced_graph_is_the_model_and_counts_its_work(model: byte_lm.ByteLM, text: corpus.Corpus) -> None:
    import mappers as mp

    rows = torch.from_numpy(text.tokens[:3, :256].astype(np.int64))
    graph = mp.trace(model, (rows,))
    outputs = mp.execute(graph, (rows,), model.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(outputs, model(rows), rtol=1e-5, atol=1e-5)
    linear = 4 * (4 * 128 * 128 + 3 * 128 * 384) + 128 * 256
    attention = 4 * 2 * 128 * 256  # per byte, the full square
    assert linear + attention == 1_146_880
    macs = graph.macs()
    found = macs.subs({symbol: {"B": 3, "S": 256}[symbol.name] for symbol in macs.free_symbols})
    assert found == 3 * 256 * (linear + attention)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros((4, 257), dtype=np.int64), r"uint8 \[windows, length \+ 1\] asked for, got int64 \(4, 257\)"),
        (np.zeros(257, dtype=np.uint8), r"got uint8 \(257,\); pass Corpus.tokens"),
        (np.zeros((4, 1), dtype=np.uint8), r"got uint8 \(4, 1\)"),
    ],
    ids=["dtype", "axes", "length"],
)
def test_window_losses_refuses_other_arrays(model: byte_lm.ByteLM, tokens: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        byte_lm.window_losses(model, tokens)
    with pytest.raises(ValueError, match="batch 0; pass a batch of at least 1"):
        byte_lm.window_losses(model, np.zeros((4, 257), dtype=np.uint8), batch=0)


def test_training_takes_five_steps_and_falls(tmp_path: object, text: corpus.Corpus) -> None:
    from studies.workloads import train_byte_lm

    tokens = torch.from_numpy(text.tokens.reshape(-1).copy())
    recipe = train_byte_lm.Recipe(batch=4, context=32, steps=5, warmup_steps=2)
    trainer = train_byte_lm.Trainer(recipe, tokens, compiled=False)
    observed = []
    for step in range(5):
        trainer.rate.fill_(train_byte_lm.rate_at(step, 5, recipe))
        trainer.step()
        observed.append(trainer.loss.item())
    assert observed[0] == pytest.approx(np.log(256), abs=0.6)
    assert observed[-1] < observed[0] - 0.3
    assert [train_byte_lm.rate_at(step, 5, recipe) for step in (0, 1, 2, 5)] == [2e-3, 4e-3, 4e-3, 0.0]
