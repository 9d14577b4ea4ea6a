from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from segcode.data.resize import resize_labels
from segcode.errors import DataError, TruthError
from segcode.refinement.config import PriorKind, RefinementConfig
from segcode.refinement.objective import Divergence, Point
from segcode.refinement.refiner import SOLVERS, Refiner, check_image
from segcode.refinement.solution import Status
from segcode.tensors import IGNORE
from segcode.truth.mask import label_truth, mask_truth
from segcode.truth.truth import Truth
from tiny import TINY

SIZE = (40, 60)
STRONG = RefinementConfig(evidence=500.0, hold=0.0, infer_whole=False)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)


@pytest.fixture
def stroke():
    mask = np.zeros(SIZE, bool)
    mask[5:12, 10:30] = True
    return mask


@pytest.mark.parametrize("size", [(40, 60), (1, 1), (33, 100), (200, 7)])
def test_maps_come_back_at_the_size_of_the_image(tiny_model, size):
    first = Refiner(tiny_model).set_image(np.zeros((*size, 3), np.uint8))
    assert first.labels.shape == first.uncertainty.shape == first.entropy().shape == size


def test_images_of_the_training_size_are_not_resampled(tiny_model):
    image = np.random.default_rng(0).integers(0, 255, (*TINY.size, 3), np.uint8)
    first = Refiner(tiny_model).set_image(image)
    features = tiny_model.features(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    assert np.array_equal(first.labels, tiny_model.decoder.base(features)[0].argmax(0).numpy())


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("energy", ["cross_entropy", "euclidean"])
def test_truth_lowers_the_cost_and_makes_its_class_more_likely(tiny_model, image, stroke, solver, energy):
    refiner = Refiner(tiny_model, RefinementConfig(energy=energy, solver=solver, evidence=500.0))
    first = refiner.set_image(image)
    wrong = int((np.bincount(first.labels[stroke], minlength=4)).argmin())
    refined = refiner.refine(mask_truth(stroke, wrong, 4))
    assert refined.solution.costs[-1] < refined.solution.costs[0]
    before, after = (m.logits.softmax(0)[wrong, 4:10, 8:24].mean() for m in (first, refined))
    assert after > before


def test_full_truth_lowers_the_error_of_the_whole_map(tiny_model, image):
    refiner = Refiner(tiny_model, STRONG)
    first = refiner.set_image(image)
    labels = refiner.sample(1, seed=4)[0].labels  # a map that the code can express
    refined = refiner.refine(label_truth(labels, 4))
    assert (refined.labels == labels).mean() > (first.labels == labels).mean()


def test_empty_truth_is_the_zero_code(tiny_model, image, stroke):
    refiner = Refiner(tiny_model)
    first = refiner.set_image(image)
    refiner.refine(mask_truth(stroke, 2, 4))
    again = refiner.refine(Truth.empty(SIZE, 4))
    assert np.array_equal(again.labels, first.labels)
    assert again.solution.status is Status.NO_TRUTH
    assert not again.solution.code.any()


def test_an_empty_mask_is_empty_truth(tiny_model, image):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    assert refiner.refine(mask_truth(np.zeros(SIZE, bool), 1, 4)).solution.status is Status.NO_TRUTH


def test_a_warm_start_ends_where_a_cold_one_does(tiny_model, image, stroke):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    truth = mask_truth(stroke, 2, 4)
    refiner.refine(mask_truth(stroke, 0, 4))
    warm = refiner.refine(truth).solution
    refiner.reset()
    cold = refiner.refine(truth).solution
    assert warm.costs[-1] == pytest.approx(cold.costs[-1], rel=1e-3)
    assert refiner.refine(truth).solution.steps == 0


def test_pasted_truth_stands_as_given(tiny_model, image, stroke):
    refiner = Refiner(tiny_model)
    truth = mask_truth(stroke, 3, 4)
    refiner.set_image(image)
    assert (refiner.refine(truth).pasted(truth)[stroke] == 3).all()


def test_a_complete_mask_takes_the_class_away_elsewhere(tiny_model, image, stroke):
    refiner = Refiner(tiny_model, STRONG)
    first = refiner.set_image(image)
    common = int(np.bincount(first.labels.ravel()).argmax())
    truth = mask_truth(stroke & False, common, 4, complete=True)
    refined = refiner.refine(truth)
    assert (refined.labels == common).sum() < (first.labels == common).sum()
    assert not (refined.pasted(truth) == common).any()


def test_samples_differ_repeat_and_shrink_with_truth(tiny_model, image):
    refiner = Refiner(tiny_model, STRONG)
    refiner.set_image(image)
    prior = torch.stack([m.logits for m in refiner.sample(8, seed=1)])
    again = torch.stack([m.logits for m in refiner.sample(8, seed=1)])
    labels = refiner.sample(1, seed=4)[0].labels
    refiner.refine(label_truth(labels, 4))
    posterior = torch.stack([m.logits for m in refiner.sample(8, seed=1)])
    assert torch.equal(prior, again)
    assert 0 < posterior.std(0).mean() < prior.std(0).mean()


def test_encoding_depends_on_the_labels(tiny_model, image):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    a, b = (refiner.encode(np.full(SIZE, label, np.uint8)).logits for label in (0, 3))
    assert not torch.equal(a, b)


def test_thinning_a_large_region_hardly_moves_the_map(tiny_model, image):
    mask = np.zeros(SIZE, bool)
    mask[:, :40] = True
    logits = []
    for pixels in (400, 10_000):
        refiner = Refiner(tiny_model, RefinementConfig(pixels=pixels, hold=0.0))
        refiner.set_image(image)
        logits.append(refiner.refine(mask_truth(mask, 2, 4)).logits)
    first = refiner.set_image(image).logits
    assert (logits[0] - logits[1]).norm() < 0.1 * (logits[1] - first).norm()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda r: r.refine(Truth.empty((10, 10), 4)), "10 x 10 pixels, the image has 40 x 60"),
        (lambda r: r.refine(Truth.empty(SIZE, 9)), "9 classes, the model has 4"),
        (lambda r: r.encode(np.zeros((3, 3), np.uint8)), "3 x 3 pixels, the image has 40 x 60"),
    ],
)
def test_truth_that_does_not_fit_is_refused(tiny_model, image, act, message):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    with pytest.raises(TruthError, match=message):
        act(refiner)


@pytest.mark.parametrize(("shape", "dtype"), [((4, 4), "u1"), ((4, 4, 4), "u1"), ((4, 4, 3), "f8"), ((0, 4, 3), "u1")])
def test_what_is_no_rgb_image_of_bytes_is_refused(shape, dtype):
    with pytest.raises(DataError, match="give rows x columns x 3"):
        check_image(np.zeros(shape, dtype))


def test_an_image_must_be_set_first(tiny_model):
    with pytest.raises(TruthError, match="set_image"):
        Refiner(tiny_model).sample(1)


def test_the_covariance_is_that_of_the_samples(tiny_model, image, stroke):
    refiner = Refiner(tiny_model, STRONG)
    refiner.set_image(image)
    untold = refiner.covariance
    refiner.refine(mask_truth(stroke, 2, 4))
    assert not torch.allclose(refiner.covariance, untold)
    codes = refiner._codes(20_000, seed=0)
    assert torch.allclose(codes.T.cov(), refiner.covariance, atol=0.05)
    refiner.reset()
    assert torch.equal(refiner.covariance, untold)


def test_a_code_that_overthrows_the_first_prediction_is_unlikely(tiny_model, image):
    held, free = (Refiner(tiny_model, replace(STRONG, hold=hold)) for hold in (1.0, 0.0))
    for refiner in (held, free):
        refiner.set_image(image)
    assert torch.allclose(free.covariance, torch.eye(TINY.code_size), atol=1e-5)
    assert held.covariance.trace() < 0.9 * free.covariance.trace()


def test_truth_narrows_what_the_code_leaves_open(tiny_model, image):
    refiner = Refiner(tiny_model, STRONG)
    refiner.set_image(image)
    before = refiner.predictive()
    refiner.refine(label_truth(refiner.sample(1, seed=4)[0].labels, 4))
    after = refiner.predictive()
    assert np.allclose(before.probabilities.sum(0), 1, atol=1e-5)
    assert before.probabilities.shape == (4, *SIZE)
    assert (before.spread >= 0).all()
    assert after.spread.mean() < before.spread.mean()


def test_a_proposal_is_the_encoders_and_needs_no_solve(tiny_model, image, stroke):
    refiner = Refiner(tiny_model)
    first = refiner.set_image(image)
    proposed = refiner.propose(mask_truth(stroke, 2, 4))
    assert proposed.solution is None
    assert not torch.equal(proposed.logits, first.logits)
    assert torch.equal(
        refiner.encode(np.full(SIZE, 1, np.uint8)).logits,
        refiner.propose(label_truth(np.full(SIZE, 1, np.uint8), 4)).logits,
    )


def test_the_prior_is_the_models_own_unless_another_is_asked_for(tiny_model, image, stroke):
    def refined(kind: PriorKind) -> np.ndarray:
        refiner = Refiner(tiny_model, RefinementConfig(prior=kind))
        refiner.set_image(image)
        return refiner.refine(mask_truth(stroke, 2, 4)).logits.numpy()

    assert tiny_model.config.prior == "standard"
    assert np.array_equal(refined("model"), refined("standard"))
    assert not np.array_equal(refined("model"), refined("encoder"))
    tiny_model.config = replace(tiny_model.config, prior="encoder")
    assert np.array_equal(refined("model"), refined("encoder"))


def test_whether_a_class_is_told_as_a_whole_may_be_left_to_the_truth(tiny_model, image, stroke):
    truth = mask_truth(stroke, 2, 4)
    maps = {}
    for infer in (True, False):
        refiner = Refiner(tiny_model, RefinementConfig(infer_whole=infer))
        refiner.set_image(image)
        maps[infer] = refiner.refine(truth)
        assert maps[infer].ruled_out.any() == infer
    assert not torch.equal(maps[True].logits, maps[False].logits)


def test_a_class_that_seems_to_be_told_as_a_whole_is_nowhere_else(tiny_model, image):
    refiner = Refiner(tiny_model)
    first = refiner.set_image(image)
    common = int(np.bincount(first.labels.ravel()).argmax())
    mask = np.zeros(SIZE, bool)
    mask[:12, :12] = True
    truth = mask_truth(mask, common, 4)
    refined = refiner.refine(truth)
    for labels in (refined.labels, *(sample.labels for sample in refiner.sample(2)), refined.pasted(truth)):
        assert not (labels[~mask] == common).any()
    assert not refiner.predictive(2).probabilities[common][~mask].any()
    assert refiner.predictive(2).probabilities.sum(0) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(refined.entropy()).all()
    inferred = refiner.infer(truth)
    assert torch.equal(inferred.ruled_out, refined.ruled_out)
    assert torch.equal(inferred.logits, first.logits)
    assert torch.equal(refined.ruled_out.flatten(1).any(1), torch.arange(4) == common)
    refiner.reset()
    assert not refiner.sample(1)[0].ruled_out.any()


def test_the_encoders_prior_pulls_towards_its_proposal(tiny_model, image, stroke):
    weak = RefinementConfig(prior="encoder", evidence=0.0, hold=0.0)
    refiner = Refiner(tiny_model, weak)
    refiner.set_image(image)
    truth = mask_truth(stroke, 2, 4)
    assert torch.allclose(refiner.refine(truth).logits, refiner.propose(truth).logits, atol=1e-2)


def test_any_code_has_a_map(tiny_model, image, stroke):
    refiner = Refiner(tiny_model, STRONG)
    first = refiner.set_image(image)
    refined = refiner.refine(mask_truth(stroke, 2, 4))
    assert np.array_equal(refiner.decode(torch.zeros(TINY.code_size)).labels, first.labels)
    assert torch.equal(refiner.decode(refined.solution.code).logits, refined.logits)
    with pytest.raises(DataError, match="the code has 5 numbers, the model's codes have 6"):
        refiner.decode(torch.zeros(5))


def test_a_map_that_is_started_from_is_the_first_prediction(tiny_model, image, stroke):
    refiner = Refiner(tiny_model, STRONG)
    refiner.set_image(image)
    sample = refiner.sample(1, seed=4)[0]
    started = refiner.start_from(sample.code)
    untold = refiner.refine(Truth.empty(SIZE, 4))
    for labels in (started, untold):
        assert np.array_equal(labels.labels, sample.labels)
        assert torch.equal(labels.code, sample.code)
    refined = refiner.refine(mask_truth(stroke, 2, 4))
    assert torch.allclose(refiner.decode(refined.code).logits, refined.logits, atol=1e-4)
    assert torch.allclose(refined.code, sample.code + refined.solution.code)


def test_a_code_has_the_same_map_wherever_the_start_is(tiny_model, image):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    one, other = torch.randn(2, TINY.code_size, generator=torch.Generator().manual_seed(0))
    logits = refiner.decode(other).logits
    refiner.start_from(one)
    assert torch.allclose(refiner.decode(other).logits, logits, atol=1e-4)


def test_after_a_start_maps_are_held_to_it_and_samples_lie_around_it(tiny_model, image, stroke):
    refiner = Refiner(tiny_model, RefinementConfig(evidence=0.03, infer_whole=False))
    refiner.set_image(image)
    code = refiner.sample(1, seed=4)[0].code * 3
    truth = mask_truth(stroke, 2, 4)
    before = refiner.refine(truth).code
    refiner.start_from(code)
    assert torch.allclose(refiner._codes(4000, seed=0).mean(0), code, atol=0.1)
    assert (refiner.refine(truth).code - code).norm() < (before - code).norm()


def test_a_start_forgets_the_truth(tiny_model, image):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    refiner.refine(mask_truth(np.eye(*SIZE, dtype=bool), 2, 4, complete=True))
    assert not refiner.start_from(torch.zeros(TINY.code_size)).ruled_out.any()
    assert not refiner.sample(1)[0].ruled_out.any()


def test_a_reset_goes_back_to_zero_code(tiny_model, image, stroke):
    refiner = Refiner(tiny_model)
    first = refiner.set_image(image)
    truth = mask_truth(stroke, 2, 4)
    refined = refiner.refine(truth)
    refiner.start_from(torch.ones(TINY.code_size))
    refiner.reset()
    assert torch.equal(refiner.refine(Truth.empty(SIZE, 4)).logits, first.logits)
    refiner.reset()
    assert torch.equal(refiner.refine(truth).logits, refined.logits)


def test_a_start_of_another_length_is_refused_and_changes_nothing(tiny_model, image):
    refiner = Refiner(tiny_model)
    first = refiner.set_image(image)
    with pytest.raises(DataError, match="the code has 5 numbers, the model's codes have 6"):
        refiner.start_from(torch.zeros(5))
    assert torch.equal(refiner.refine(Truth.empty(SIZE, 4)).logits, first.logits)


def test_a_class_that_is_told_of_all_is_nowhere_else(tiny_model, image):
    refiner = Refiner(tiny_model, RefinementConfig(infer_whole=False))
    first = refiner.set_image(image)
    common = int(np.bincount(first.labels.ravel()).argmax())
    mask = np.zeros(SIZE, bool)
    mask[:8, :8] = True
    refined = refiner.refine(mask_truth(mask, common, 4, complete=True))
    assert not (refined.labels == common)[~mask].any()
    assert torch.equal(refined.elsewhere.whole, torch.arange(4) == common)
    assert not refiner.refine(mask_truth(mask, common, 4)).ruled_out.any()


def test_where_every_class_is_ruled_out_none_is(tiny_model, image):
    """Complete masks of all classes that leave a hole contradict each other there."""
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    truth = Truth.empty(SIZE, 4)
    for index in range(4):
        mask = np.zeros(SIZE, bool)
        mask[10 * index : 10 * index + 8] = True
        truth = truth.beside(mask_truth(mask, index, 4, complete=True))
    refined = refiner.refine(truth)
    assert not refined.ruled_out.any()
    assert np.isfinite(refined.entropy()).all()
    assert np.isfinite(refiner.predictive(2).probabilities).all()


def test_sparse_labels_tell_no_class_as_a_whole(tiny_model):
    """Though they speak of every cell of the network's grid."""
    refiner = Refiner(tiny_model)
    first = refiner.set_image(np.zeros((160, 240, 3), np.uint8))
    labels = np.full((160, 240), IGNORE, np.uint8)
    labels[::2, ::2] = first.labels[::2, ::2]
    assert not refiner.refine(label_truth(labels, 4)).ruled_out.any()
    held = next(term for term in refiner._objective.terms if isinstance(term, Divergence) and term.known is not None)
    torch.testing.assert_close(held.target, held.base.softmax(1))


def test_labels_at_the_images_size_are_the_maps(tiny_model, image):
    refiner = Refiner(tiny_model, RefinementConfig(infer_whole=False))
    first = refiner.set_image(image)
    assert np.array_equal(first.labels_at(SIZE), first.labels)
    common = int(np.bincount(first.labels.ravel()).argmax())
    mask = np.zeros(SIZE, bool)
    mask[10:20, 10:25] = True
    refined = refiner.refine(mask_truth(mask, common, 4, complete=True))
    assert np.array_equal(refined.labels_at(SIZE), refined.labels)


def test_labels_at_another_size_are_of_the_scores_there_and_obey_what_is_ruled_out(tiny_model, image):
    refiner = Refiner(tiny_model, RefinementConfig(infer_whole=False))
    first = refiner.set_image(image)
    size = (97, 131)
    scores = torch.nn.functional.interpolate(first.logits[None], size, mode="bilinear")[0]
    assert np.array_equal(first.labels_at(size), scores.argmax(0).numpy())
    common = int(np.bincount(first.labels.ravel()).argmax())
    mask = np.zeros(SIZE, bool)
    mask[10:20, 10:25] = True
    large = resize_labels(mask.astype(np.uint8), *size).astype(bool)
    refined = refiner.refine(mask_truth(mask, common, 4, complete=True)).labels_at(size)
    assert not (refined == common)[~large].any()
    assert (refined == common)[large].any()


def test_the_entropy_of_what_is_known_lies_between_sure_and_even(tiny_model, image):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    known = refiner.predictive()
    expected = -(known.probabilities * np.log(known.probabilities)).sum(0)
    assert known.entropy() == pytest.approx(expected, abs=1e-5)
    assert (known.entropy() <= np.log(4) + 1e-5).all()
    assert (known.entropy() >= known.spread - 0.1).all()


def test_following_a_stroke_comes_to_where_refining_comes(tiny_model, image, stroke):
    truth, begun = mask_truth(stroke, 2, 4), mask_truth(stroke & (np.arange(SIZE[1]) < SIZE[1] // 3), 2, 4)
    assert 0 < len(begun) < len(truth)
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    refiner.follow(begun)
    ways = [refiner.follow(truth) for _ in range(8)]
    assert all(one.solution.steps <= 2 for one in ways)
    assert np.allclose(ways[-1].code, refiner.refine(truth).code, atol=1e-3)
    assert ways[0].solution.steps > ways[-1].solution.steps


def test_a_stroke_that_grows_is_followed_with_the_matrix_of_before(tiny_model, image, stroke, monkeypatch):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    columns = np.arange(SIZE[1])
    refiner.refine(mask_truth(stroke & (columns < SIZE[1] // 2), 2, 4))
    monkeypatch.setattr(Point, "matrix", lambda *_: pytest.fail("made anew"))
    assert refiner.follow(mask_truth(stroke & (columns <= SIZE[1] // 2), 2, 4)).solution.status is Status.CONVERGED


@pytest.mark.parametrize("prior", ["standard", "learnt", "encoder"])
def test_the_label_encoder_is_asked_for_its_own_prior_alone(tiny_model, image, stroke, prior):
    asked = []
    tiny_model.label_encoder.register_forward_hook(lambda *call: asked.append(call))
    refiner = Refiner(tiny_model, RefinementConfig(prior=prior))
    refiner.set_image(image)
    refiner.refine(mask_truth(stroke, 2, 4))
    refiner.follow(mask_truth(stroke, 3, 4))
    assert len(asked) == (2 if prior == "encoder" else 0)


def test_memory_is_that_of_the_image(tiny_model, image, stroke):
    refiner = Refiner(tiny_model)
    refiner.set_image(image)
    taken = refiner.memory
    assert taken > refiner.image.nbytes + sum(level.nbytes for level in refiner.features.values())
    refiner.refine(Truth.empty(SIZE, 4))
    assert refiner.memory == taken
    refiner.refine(mask_truth(stroke, 2, 4))
    assert refiner.memory > taken  # J at the truth's pixels, remembered
