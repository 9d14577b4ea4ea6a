"""The rivals do what their papers say, on an untrained model of four classes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from segcode.classes import ClassSet
from segcode.data.augment import AugmentConfig
from segcode.errors import CheckpointError, ConfigError, DataError, TrainingError
from segcode.evaluation.baselines.dense_crf import DenseCRF, DenseCRFConfig, is_installed
from segcode.evaluation.baselines.f_brs import FBRS
from segcode.evaluation.baselines.head_training import HeadTraining, train_heads
from segcode.evaluation.baselines.heads import Heads, HeadsConfig, load_heads, save_heads
from segcode.evaluation.baselines.labelled import LabelledCells, linearised_by
from segcode.evaluation.baselines.probabilistic_u_net import LikeliestSample, OptimisedLatent
from segcode.evaluation.baselines.rivals import (
    RivalConstants,
    load_constants,
    load_rivals,
    make_rivals,
    save_constants,
    tune,
)
from segcode.evaluation.baselines.ssn import SSN, LowRank, at, ssn_loss
from segcode.evaluation.methods import Pasted
from segcode.model.segcode import SegCode, build_segcode
from segcode.refinement.refiner import Refiner
from segcode.sample import Sample
from segcode.tensors import IGNORE
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth
from tiny import TINY, make_model

SIZE = (64, 96)  # twice the network's grid
PHOTO = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
FOUR = ClassSet(("road", "sidewalk", "car", "sky"), ((128, 64, 128), (0, 0, 192), (64, 0, 128), (128, 128, 128)))
needs_crf = pytest.mark.skipif(not is_installed(), reason="pydensecrf2 is not installed: pip install 'segcode[rivals]'")


@pytest.fixture
def refiner(tiny_model) -> Refiner:
    refiner = Refiner(tiny_model)
    refiner.set_image(PHOTO)
    return refiner


@pytest.fixture
def heads(tiny_model) -> Heads:
    return make_heads(tiny_model)


def make_heads(model: SegCode) -> Heads:
    """Untrained heads that have something to say."""
    torch.manual_seed(1)
    heads = Heads(model, HeadsConfig(hidden=8)).eval()
    with torch.no_grad():
        for layer in (heads.low_rank.output, heads.latent.combiner[-1]):
            layer.weight *= 10
    return heads


EMPTY = Truth.empty(SIZE, 4)


def a_box(class_index: int = 2) -> Truth:
    mask = np.zeros(SIZE, bool)
    mask[20:40, 10:50] = True
    return mask_truth(mask, class_index, 4)


def misfit(logits: np.ndarray, truth: Truth, refiner: Refiner) -> float:
    return LabelledCells.of(truth, linearised_by(refiner)).misfit(torch.from_numpy(logits)[None])[0].item()


def base_of(refiner: Refiner) -> np.ndarray:
    return linearised_by(refiner).base_logits.numpy()


def all_methods(heads: Heads) -> list:
    return list(make_rivals(heads, RivalConstants()).values())


def test_every_rival_gives_finite_logits_that_do_not_depend_on_earlier_truth(refiner, heads):
    for method in all_methods(heads):
        method.begin(refiner, PHOTO)
        first = method.refine(a_box())
        method.refine(a_box(0))
        assert first.shape == (4, *(SIZE if isinstance(method, DenseCRF) else TINY.size)), method.name
        assert np.isfinite(first).all(), method.name
        assert np.allclose(method.refine(a_box()), first, atol=1e-3), method.name


def test_rivals_leave_no_gradient_in_the_model_or_the_heads(tiny_model, refiner, heads):
    for method in all_methods(heads):
        method.begin(refiner, PHOTO)
        method.refine(a_box())
    assert all(p.grad is None for module in (tiny_model, heads) for p in module.parameters())


@pytest.mark.parametrize("make", [lambda h: FBRS(0.3), lambda h: SSN(h.low_rank, 1.0)], ids=["f-BRS", "SSN"])
def test_without_truth_nothing_changes(refiner, heads, make):
    method = make(heads)
    method.begin(refiner, PHOTO)
    assert np.allclose(method.refine(EMPTY), base_of(refiner), atol=1e-6)


def test_the_misfit_is_the_cross_entropy_of_known_classes_and_of_sets(refiner):
    logits = torch.randn(4, *TINY.size)
    pixels = np.array([[3, 5], [30, 47]])
    allowed = np.array([[False, True, False, False], [True, False, True, True]])
    truth = Truth(TINY.size, pixels, allowed, np.array([3.0, 1.0]), np.zeros(4, bool))
    p = logits.softmax(0)
    expected = -3 * p[1, 3, 5].log() - (1 - p[1, 30, 47]).log()
    assert misfit(logits.numpy(), truth, refiner) == pytest.approx(float(expected), rel=1e-5)


def test_a_larger_label_weight_explains_the_labels_better(refiner, heads):
    for make in (lambda w: SSN(heads.low_rank, w), lambda w: OptimisedLatent(heads.latent, w)):
        losses = []
        for weight in (0.01, 1.0, 100.0):
            method = make(weight)
            method.begin(refiner, PHOTO)
            losses.append(misfit(method.refine(a_box()), a_box(), refiner))
        assert losses == sorted(losses, reverse=True)


def test_rivals_need_a_segcode_model(heads):
    other = Refiner(lambda image: np.zeros((4, 8, 12)))
    other.set_image(PHOTO)
    with pytest.raises(ConfigError, match="features of a segcode model"):
        FBRS(0.3).begin(other, PHOTO)


def test_f_brs_lowers_the_loss_of_the_revealed_pixels_the_more_the_freer_it_is(refiner):
    truth = a_box()
    losses = [misfit(base_of(refiner), truth, refiner)]
    for regulariser in (10.0, 0.1, 0.0):
        method = FBRS(regulariser)
        method.begin(refiner, PHOTO)
        losses.append(misfit(method.refine(truth), truth, refiner))
    assert all(later < earlier for earlier, later in pairwise(losses)), losses


def test_ssn_conditioning_makes_the_labelled_pixels_right(refiner, heads):
    method = SSN(heads.low_rank, label_weight=100.0)
    method.begin(refiner, PHOTO)
    for class_index in range(4):
        rows, columns = LabelledCells.of(a_box(class_index), linearised_by(refiner)).pixels.T
        assert (method.refine(a_box(class_index)).argmax(0)[rows, columns] == class_index).all()


def test_ssn_loss_is_the_cross_entropy_where_the_covariance_vanishes():
    base = torch.randn(2, 4, 6, 8)
    labels = torch.randint(4, (1, 6, 8)).expand(2, -1, -1).clone()
    nothing = LowRank(torch.zeros(2, 4, 3, 6, 8), torch.zeros(2, 4, 6, 8))
    loss = ssn_loss(base, nothing, labels, samples=5)
    assert float(loss) == pytest.approx(float(torch.nn.functional.cross_entropy(base, labels)), rel=1e-5)


def test_the_head_at_chosen_pixels_is_the_head_there(refiner, heads):
    chosen = torch.tensor([0, 7, 60])
    features = linearised_by(refiner).features
    with torch.no_grad():
        everywhere, there = heads.low_rank(features), heads.low_rank(features, chosen)
    for maps, values in zip(everywhere, there, strict=True):
        assert torch.allclose(at(maps, chosen), values, atol=1e-5)


def test_ssn_loss_counts_no_void():
    base = torch.randn(1, 4, 6, 8)
    low_rank = LowRank(torch.randn(1, 4, 3, 6, 8), torch.rand(1, 4, 6, 8))
    void = torch.full((1, 6, 8), IGNORE)
    assert float(ssn_loss(base, low_rank, void, samples=5)) == pytest.approx(0.0, abs=1e-6)


def test_a_shared_factor_explains_labels_that_err_together():
    """Half of the images are all of class 0, half of class 1: correlated logits are likelier than independent ones."""
    labels = torch.tensor([0, 1])[:, None, None].expand(2, 8, 8).clone()
    base = torch.zeros(2, 2, 8, 8)
    apart = torch.zeros(2, 2, 1, 8, 8)
    together = apart + torch.tensor([1.0, -1.0]).view(2, 1, 1, 1) * 3
    none = torch.zeros(2, 2, 8, 8)
    torch.manual_seed(0)
    losses = [float(ssn_loss(base, LowRank(f, none), labels, samples=200)) for f in (apart, together)]
    assert losses[1] < 0.2 * losses[0]


def test_best_of_16_takes_the_likeliest(refiner, heads):
    method = LikeliestSample(heads.latent)
    method.begin(refiner, PHOTO)
    truth = a_box()
    losses = [misfit(method.logits(z[None])[0].detach().numpy(), truth, refiner) for z in method.drawn]
    assert len(losses) == 16
    assert max(losses) - min(losses) > 1e-3  # else the draws are all alike
    assert misfit(method.refine(truth), truth, refiner) == pytest.approx(min(losses), rel=1e-5)


def test_without_truth_the_latent_is_the_priors_mean(refiner, heads):
    best, optimised = LikeliestSample(heads.latent), OptimisedLatent(heads.latent, 1.0)
    for method in (best, optimised):
        method.begin(refiner, PHOTO)
        assert np.allclose(method.refine(EMPTY), best.logits(best.mean)[0].detach(), atol=1e-5)


def test_the_optimised_latent_explains_the_truth_better_than_the_best_draw(refiner, heads):
    best, optimised = LikeliestSample(heads.latent), OptimisedLatent(heads.latent, label_weight=100.0)
    for method in (best, optimised):
        method.begin(refiner, PHOTO)
    for class_index in range(4):
        truth = a_box(class_index)
        assert misfit(optimised.refine(truth), truth, refiner) < misfit(best.refine(truth), truth, refiner)


@needs_crf
def test_the_crf_clamps_the_labelled_pixels(refiner):
    method = DenseCRF(Pasted(), DenseCRFConfig())
    method.begin(refiner, PHOTO)
    for class_index in range(4):
        truth = a_box(class_index)
        assert (method.refine(truth).argmax(0)[truth.known_mask] == class_index).all()


@needs_crf
def test_the_crf_keeps_excluded_classes_out(refiner):
    method = DenseCRF(Pasted(), DenseCRFConfig())
    method.begin(refiner, PHOTO)
    mask = np.ones(SIZE, bool)
    mask[0, 0] = False
    frequent = int(np.bincount(base_of(refiner).argmax(0).ravel()).argmax())
    truth = mask_truth(~mask, frequent, 4, "exhaustive")
    assert (method.refine(truth).argmax(0) == frequent).sum() <= 1


@needs_crf
def test_a_crf_without_edges_is_the_method_before_it(refiner):
    method = DenseCRF(Pasted(), DenseCRFConfig(smoothing=0.0, bilateral=0.0))
    method.begin(refiner, PHOTO)
    initial = torch.from_numpy(refiner.prediction.base_logits).softmax(0)
    expected = torch.nn.functional.interpolate(initial[None], SIZE, mode="bilinear", align_corners=False)[0].log()
    assert np.allclose(method.refine(EMPTY), expected, atol=1e-3)


@needs_crf
def test_the_crf_smooths(refiner):
    """Grains of another class, on noise that the map does not follow, go away; a broad region stays."""

    class Grainy(Pasted):
        def refine(self, truth: Truth) -> np.ndarray:
            logits = np.zeros((4, *SIZE), np.float32)
            logits[0] = 1.0
            logits[1, :, 48:] = 2.0
            logits[2, ::8, ::8] = 3.0
            return logits

    method = DenseCRF(Grainy(), DenseCRFConfig(smoothing=3.0, smoothing_deviation=2.0))
    method.begin(refiner, PHOTO)
    labels = method.refine(EMPTY).argmax(0)
    assert (labels[:, 4:44] == 0).all()
    assert (labels[:, 52:] == 1).all()


def test_a_missing_library_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr("segcode.evaluation.baselines.dense_crf.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'segcode\[rivals\]'"):
        DenseCRF(Pasted(), DenseCRFConfig())


class Toy:
    """Images whose left part is of one class, the right one of another, as the images' colours say."""

    classes = FOUR
    names = tuple("abcdefgh")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        labels = np.full(TINY.size, index % 4, np.uint8)
        labels[:, 20:] = (index + 1) % 4
        image = np.repeat(labels[..., None] * 60, 3, axis=2).astype(np.uint8)
        return Sample(self.names[index], image, labels)


def test_training_lowers_both_losses_and_leaves_the_model_as_it_is(tiny_model):
    before = {k: v.clone() for k, v in tiny_model.state_dict().items()}
    plain = AugmentConfig(scale=(1.0, 1.0), aspect=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    config = HeadTraining(epochs=16, batch=4, learning_rate=1e-2, pixels=64)
    heads, losses = train_heads(tiny_model, FOUR, Toy(), config, plain)
    assert len(losses) == 16
    assert losses[-1].ssn < 0.9 * losses[0].ssn
    assert losses[-1].punet < 0.9 * losses[0].punet
    assert not heads.training
    assert all(torch.equal(v, before[k]) for k, v in tiny_model.state_dict().items())


def test_heads_that_diverge_stop_at_the_step(tiny_model):
    with pytest.raises(TrainingError, match=r"not finite in epoch \d, step \d: lower --beta"):
        train_heads(tiny_model, FOUR, Toy(), HeadTraining(epochs=3, beta=float("inf")))


def test_other_classes_or_no_image_are_refused(tiny_model):
    other = ClassSet(("a", "b", "c", "d"), FOUR.colours)
    with pytest.raises(DataError, match="the data has the classes road"):
        train_heads(tiny_model, other, Toy(), HeadTraining())
    none = Toy()
    none.names = ()
    with pytest.raises(DataError, match="there is no image"):
        train_heads(tiny_model, FOUR, none, HeadTraining())


def test_heads_round_trip(tmp_path, tiny_model, heads, refiner):
    save_heads(tmp_path / "rivals", heads, tiny_model)
    again = load_heads(tmp_path / "rivals", tiny_model)
    assert not again.training
    assert again.config == heads.config
    assert all(torch.equal(v, heads.state_dict()[k]) for k, v in again.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["rivals"]
    names = [rival.name for rival in load_rivals(tmp_path / "rivals", tiny_model)]
    assert names[:4] == [
        "f-BRS", "SSN", "probabilistic U-Net, best of 16", "probabilistic U-Net, z optimised",
    ]  # fmt: skip
    assert names[4:] == (["pasted, DenseCRF", "segcode, DenseCRF"] if is_installed() else [])


def test_heads_fit_a_model_in_half_precision(tmp_path, tiny_model, heads):
    save_heads(tmp_path / "rivals", heads, tiny_model)
    rounded = make_model(TINY)
    rounded.load_state_dict({name: value.half() for name, value in tiny_model.state_dict().items()})
    load_heads(tmp_path / "rivals", rounded)


def test_tuning_keeps_what_makes_a_rival_best(heads):
    """The accuracy is highest for an f-BRS of a tenth of its regulariser, and for an SSN as it is."""

    def accuracy(method):
        return {"f-BRS": -getattr(method, "regulariser", 0), "SSN": -abs(getattr(method, "label_weight", 0) - 1)}.get(
            method.name, 0.0
        )

    tuned = tune(heads, RivalConstants(), accuracy)
    assert tuned.f_brs == pytest.approx(0.03)
    assert replace(tuned, f_brs=0.3) == RivalConstants()


def test_tuned_constants_are_kept_beside_the_heads(tmp_path, tiny_model, heads):
    save_heads(tmp_path / "rivals", heads, tiny_model)
    assert load_constants(tmp_path / "rivals") == RivalConstants()
    constants = replace(RivalConstants(), ssn=7.0, crf=DenseCRFConfig(smoothing=0.9))
    save_constants(tmp_path / "rivals", constants)
    assert load_constants(tmp_path / "rivals") == constants
    assert load_rivals(tmp_path / "rivals", tiny_model)[1].label_weight == 7.0
    (tmp_path / "rivals" / "constants.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_constants(tmp_path / "rivals")


def test_heads_of_another_model_are_refused(tmp_path, tiny_model, heads):
    save_heads(tmp_path / "rivals", heads, tiny_model)
    for other in (make_model(replace(TINY, width=8)), build_segcode(TINY)):
        with pytest.raises(CheckpointError, match="another model"):
            load_heads(tmp_path / "rivals", other)


def test_an_existing_folder_is_not_touched(tmp_path, tiny_model, heads):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(CheckpointError, match="exists: name a new folder"):
        save_heads(tmp_path, heads, tiny_model)
    assert [p.name for p in tmp_path.iterdir()] == ["note"]


def test_damaged_heads_are_named(tmp_path, tiny_model, heads):
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_heads(tmp_path, tiny_model)
    folder = tmp_path / "rivals"
    save_heads(folder, heads, tiny_model)
    intact = (folder / "heads.safetensors").read_bytes()
    (folder / "heads.safetensors").write_bytes(intact[: len(intact) // 2])
    with pytest.raises(CheckpointError, match="changed or damaged"):
        load_heads(folder, tiny_model)
    (folder / "heads.safetensors").write_bytes(intact)
    config = json.loads((folder / "config.json").read_text())
    for content in ("{", "[]", "{}", json.dumps(config | {"heads": {"rang": 3}})):
        (folder / "config.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"config\.json (is damaged|lacks|or heads\.safetensors was changed)"):
            load_heads(folder, tiny_model)
