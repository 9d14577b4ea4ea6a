from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from other_segmenters import NAMES, softmax
from segcode.errors import DataError
from segcode.numbers import FLOOR, Numbers

LOGITS = np.random.default_rng(0).normal(0, 3, (4, 5, 7)).astype(np.float32)
PROBABILITIES = softmax(LOGITS)


def read(output, stated=None, classes=NAMES, size=None):
    return Numbers(classes, stated).logits(output, "a.npy", size)


def test_logits_stay_and_the_log_of_probabilities_is_taken():
    assert np.array_equal(read(LOGITS), LOGITS)
    assert np.allclose(softmax(read(PROBABILITIES)), PROBABILITIES, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 9), st.floats(0.1, 8), st.integers(0, 1000), st.booleans())
def test_a_softmax_of_any_sharpness_is_told_from_its_logits_in_either_precision(classes, spread, seed, half):
    logits = np.random.default_rng(seed).normal(0, spread, (classes, 8, 8))
    kind = np.float16 if half else np.float32
    numbers = Numbers()
    numbers.logits(softmax(logits).astype(kind), "a.npy")
    assert numbers.found is not None
    assert numbers.found.meaning == "probabilities"
    if logits.min() < 0:
        assert np.array_equal(Numbers().logits(logits.astype(kind), "a.npy"), logits.astype(kind))


def test_what_they_are_taken_for_is_said_once():
    said: list[str] = []
    numbers = Numbers(NAMES, report=said.append)
    for name in "ab":
        numbers.logits(PROBABILITIES, f"{name}.npy")
    assert len(said) == 1
    assert said[0].startswith("a.npy has 4 x 5 x 7 numbers from ")
    assert f"taken for probabilities; their log is taken, {FLOOR:g} for smaller ones" in said[0]


def test_zeros_among_probabilities_become_the_log_of_the_floor():
    certain = np.zeros((4, 5, 7), np.float32)
    certain[2] = 1
    assert read(certain)[0, 0, 0] == pytest.approx(np.log(FLOOR))


def test_scores_are_divided_by_their_sum():
    sigmoids = 1 / (1 + np.exp(-LOGITS))
    assert np.allclose(softmax(read(sigmoids, "scores")), sigmoids / sigmoids.sum(0), atol=1e-4)


@pytest.mark.parametrize(
    ("output", "stated", "message"),
    [
        (PROBABILITIES, "logits", r"no logits, as stated: they are probabilities"),
        (LOGITS, "probabilities", r"numbers from -.*no probabilities, as stated: their sums are not 1"),
        (LOGITS, "scores", "no scores, as stated: some are below 0"),
        (np.zeros((4, 5, 7)), "scores", "some sums are 0"),
        (PROBABILITIES * 0.5, None, r"sums over the classes are 0\.5 to 0\.5: neither probabilities"),
        (PROBABILITIES * 100, None, "are 100 to 100: neither probabilities"),
        (PROBABILITIES.transpose(1, 2, 0), None, r"5 x 7 x 4, with the classes last: .* transpose\(2, 0, 1\)"),
        (LOGITS[:3], None, r"3 x 5 x 7, so it has 3 classes, but 4 are named \(road, sidewalk, car, sky\)"),
        (LOGITS[0], None, "5 x 7: give classes x rows x columns"),
        (LOGITS.argmax(0), None, "numbers of the kind int64: .* labels:DIR"),
        (LOGITS.astype(complex), None, "the kind complex128"),
        (np.where(LOGITS > 2, np.nan, LOGITS), None, "NaN or infinite"),
        ([[1.0], [1.0, 2.0]], None, "is no array"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_found(output, stated, message):
    with pytest.raises(DataError, match=f"a.npy.*{message}"):
        read(output, stated)


def test_rows_and_columns_that_are_exchanged_are_seen_by_the_size_of_the_image():
    with pytest.raises(DataError, match=r"for an image of 7 x 5 .*transpose\(0, 2, 1\)"):
        read(LOGITS, size=(7, 5))
    assert read(LOGITS, size=(14, 10)).shape == (4, 5, 7)  # a network of fixed size squeezes its images


def test_what_the_first_output_was_taken_for_holds_for_the_others():
    numbers = Numbers(NAMES)
    numbers.logits(PROBABILITIES, "a.npy")
    with pytest.raises(DataError, match=r"b.npy .* no probabilities, which a.npy was taken for"):
        numbers.logits(LOGITS, "b.npy")


def test_half_precision_and_other_byte_orders_are_read():
    for output in (LOGITS.astype(np.float16), LOGITS.astype(">f4"), torch.from_numpy(LOGITS).bfloat16()):
        assert read(output).dtype == np.float32
        assert np.allclose(read(output), LOGITS, atol=0.1)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_more_numbers_than_fit_become_means_of_squares(monkeypatch, tmp_path, kind):
    logits = np.random.default_rng(0).normal(0, 3, (4, 12, 20)).astype(kind)
    np.save(tmp_path / "a.npy", logits)
    monkeypatch.setattr("segcode.numbers.MOST", 4 * 12 * 20 / 3.9)
    means = logits.astype(np.float32).reshape(4, 6, 2, 10, 2).mean((2, 4))
    for output in (logits, torch.from_numpy(logits), np.load(tmp_path / "a.npy", mmap_mode="r")):
        assert np.allclose(read(output), means, atol=1e-5)
    probabilities = softmax(logits.astype(np.float32))
    means = probabilities.reshape(4, 6, 2, 10, 2).mean((2, 4))
    assert np.allclose(np.exp(read(probabilities)), means, atol=1e-5)
    assert read(logits[:, :11, :19]).shape == (4, 6, 10)
    with pytest.raises(DataError, match="transpose"):
        read(logits.transpose(1, 2, 0))


def test_negative_log_probabilities_are_not_taken_for_logits():
    logits = np.random.default_rng(0).normal(size=(3, 4, 5))
    loss = np.log(np.exp(logits).sum(0)) - logits
    with pytest.raises(DataError, match="these are negative log-probabilities: give them with a minus sign"):
        Numbers().logits(loss, "a")
    assert np.allclose(Numbers().logits(-loss, "a"), -loss)
