"""Paired differences and agreement of embeddings, against the formulas written out."""

import numpy as np
import pytest

from studies.workloads import scores


def test_with_one_sample_a_group_the_standard_error_is_the_usual_one() -> None:
    random = np.random.default_rng(1)
    reference, noise = random.normal(2, 1, 200), random.normal(0.1, 0.05, 200)
    result = scores.paired(reference + noise, reference, np.arange(200))
    assert result.difference == pytest.approx(noise.mean(), rel=1e-12)
    assert result.standard_error == pytest.approx(noise.std(ddof=1) / 200**0.5, rel=1e-9)
    assert (result.samples, result.groups) == (200, 200)
    assert result.mean - result.reference == pytest.approx(result.difference)


def test_copies_within_a_group_add_no_certainty() -> None:
    random = np.random.default_rng(2)
    reference, noise = random.normal(2, 1, 50), random.normal(0.1, 0.05, 50)
    once = scores.paired(reference + noise, reference, np.arange(50))
    repeated = scores.paired(np.repeat(reference + noise, 8), np.repeat(reference, 8), np.repeat(np.arange(50), 8))
    assert repeated.standard_error == pytest.approx(once.standard_error, rel=1e-9)
    naive = scores.paired(np.repeat(reference + noise, 8), np.repeat(reference, 8), np.arange(400))
    assert naive.standard_error < 0.4 * once.standard_error


def test_the_standard_error_covers() -> None:
    # difference 0 by construction: |z| < 2 in about 95 % of runs, with 40 groups of 5 dependent samples
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), 5)
    inside = 0
    for _ in range(400):
        noise = random.normal(0, 1, 40)[groups] + random.normal(0, 1, 200)
        result = scores.paired(noise, np.zeros(200), groups)
        inside += abs(result.difference) < 2 * result.standard_error
    assert 0.92 < inside / 400 < 0.98


def test_agreement_of_equal_and_of_unrelated_embeddings() -> None:
    random = np.random.default_rng(4)
    vectors = random.normal(size=(120, 384))
    same = scores.agreement(vectors * 3.0, vectors)
    assert same.cosine_mean == pytest.approx(1, abs=1e-12)
    assert same.cosine_p1 == pytest.approx(1, abs=1e-12)
    assert same.top10_overlap == 1
    other = scores.agreement(random.normal(size=(120, 384)), vectors)
    assert abs(other.cosine_mean) < 0.02
    assert other.top10_overlap == pytest.approx(10 / 119, abs=0.04)  # chance


def test_top10_overlap_against_a_plain_loop() -> None:
    random = np.random.default_rng(5)
    vectors = random.normal(size=(60, 16))
    changed = vectors + random.normal(scale=0.3, size=vectors.shape)

    def nearest(points: np.ndarray, text: int) -> set[int]:
        def cosine(other: int) -> float:
            a, b = points[text], points[other]
            return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))

        return set(sorted((other for other in range(60) if other != text), key=cosine)[-10:])

    expected = np.mean([len(nearest(vectors, text) & nearest(changed, text)) / 10 for text in range(60)])
    assert scores.agreement(changed, vectors).top10_overlap == pytest.approx(expected)


def test_errors_say_what_arrived() -> None:
    three = np.zeros(3)
    with pytest.raises(ValueError, match=r"one length asked for, got \(3,\), \(2,\), \(3,\)"):
        scores.paired(three, np.zeros(2), np.zeros(3, dtype=np.int64))
    with pytest.raises(ValueError, match=r"1 group\(s\) give no standard error"):
        scores.paired(three, three, np.zeros(3, dtype=np.int64))
    with pytest.raises(ValueError, match=r"more than 11 texts asked for, got \(11, 4\)"):
        scores.agreement(np.ones((11, 4)), np.ones((11, 4)))
    broken = np.ones((20, 4))
    broken[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7 of vectors has length nan"):
        scores.agreement(broken, np.ones((20, 4)))
