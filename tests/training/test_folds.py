from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from segcode.classes import ClassSet
from segcode.data.select import Subset
from segcode.data.sources import open_source
from segcode.errors import CheckpointError, ConfigError, DataError
from segcode.sample import Sample
from segcode.training.experiment import DataConfig, Experiment
from segcode.training.folds import (
    StoredPredictions,
    describe_predictions,
    fold_experiments,
    folds_of,
    write_predictions,
)
from tiny import TINY, make_model

NAMES = ["a_1", "b_1", "a_2", "c_9", "b_2"]


def test_a_sequence_is_a_fold():
    assert folds_of(NAMES, "sequence") == {"a": ["a_1", "a_2"], "b": ["b_1", "b_2"], "c": ["c_9"]}


def test_parts_are_of_equal_size_in_the_order_of_the_names():
    assert folds_of(NAMES, "2") == {"part1": ["a_1", "a_2", "b_1"], "part2": ["b_2", "c_9"]}


@pytest.mark.parametrize(
    ("names", "folds", "message"),
    [
        (NAMES, "random", "give 'sequence'"),
        (["x_1", "x_2"], "sequence", "2 or more"),
        (NAMES, "1", "2 or more"),
        (["x", "y", "z"], "sequence", "each of 3 images"),
    ],
)
def test_what_makes_no_folds_is_refused(names, folds, message):
    with pytest.raises(ConfigError, match=message):
        folds_of(names, folds)


def test_each_image_is_left_out_of_the_network_that_predicts_it():
    experiment = Experiment(data=DataConfig(kind="streets"))
    seen = []
    for _, plan, left_out in fold_experiments(experiment, "4"):
        assert set(left_out.names) <= set(plan.data.leave_out)
        seen += left_out.names
    assert sorted(seen) == sorted(open_source("streets", None, "train").names)


def test_a_fold_whose_sequence_is_that_of_all_validation_images_validates_with_training_images(monkeypatch):
    class Named:
        classes = open_source("streets", None, "val").classes

        def __init__(self, names):
            self.names = names

        def __len__(self):
            return len(self.names)

        def __getitem__(self, index):
            return Sample(self.names[index], np.zeros((4, 4, 3), np.uint8))

    splits = {"train": Named(("a_1", "b_1")), "val": Named(("b_2", "b_3"))}
    monkeypatch.setattr("segcode.training.folds.open_source", lambda kind, root, split: splits[split])
    plans = {name: plan.data for name, plan, _ in fold_experiments(Experiment(), "sequence")}
    assert (plans["a"].validation, plans["b"].validation) == ("val", "train")
    assert plans["a"].leave_out == ("a_1",)
    assert plans["b"].leave_out == ("b_1",)  # a name of no split that is read would be refused


@pytest.fixture
def written(tmp_path):
    """Predictions of one image, and their data."""
    source = Subset(open_source("streets", None, "val", 32, 48), [open_source("streets", None, "val").names[0]])
    model = make_model(replace(TINY, classes=len(source.classes)))
    describe_predictions(tmp_path, source.classes, write_predictions(tmp_path, model, source))
    return tmp_path, model, source


def test_predictions_are_read_as_they_were_written(written):
    folder, model, source = written
    logits = StoredPredictions(folder, source.classes)(source[0])
    image = torch.from_numpy(source[0].image).permute(2, 0, 1)[None].float() / 255
    assert torch.allclose(logits, model.decoder.base(model.features(image))[0], atol=2e-2, rtol=1e-2)


def test_predictions_of_classes_in_another_order_are_refused(written):
    folder, _, source = written
    reversed_classes = ClassSet(source.classes.names[::-1], source.classes.colours[::-1])
    with pytest.raises(DataError, match=r"are of the classes sky, .* the data has bicyclist"):
        StoredPredictions(folder, reversed_classes)


@pytest.mark.parametrize("content", [None, b"no array", b"", "byte"])
def test_a_prediction_that_is_not_what_was_written_is_refused_by_its_file(written, content):
    folder, _, source = written
    path = folder / f"{source.names[0]}.npy"
    if content is None:
        path.unlink()
    elif content == "byte":
        changed = bytearray(path.read_bytes())
        changed[-5] ^= 1
        path.write_bytes(changed)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"is missing|changed or damaged") as found:
        StoredPredictions(folder, source.classes)(source[0])
    assert str(path) in str(found.value)


def test_predictions_without_their_description_are_refused(written):
    folder, _, source = written
    (folder / "predictions.json").unlink()
    with pytest.raises(CheckpointError, match=r"predictions\.json cannot be read"):
        StoredPredictions(folder, source.classes)


def test_a_prediction_that_is_not_finite_in_half_precision_is_not_written(tmp_path):
    source = Subset(open_source("streets", None, "val", 32, 48), [open_source("streets", None, "val").names[0]])
    model = make_model(replace(TINY, classes=len(source.classes)))
    with torch.no_grad():
        model.decoder.of_zero.last.of_image.weight.mul_(1e6)
    with pytest.raises(DataError, match="not finite"):
        write_predictions(tmp_path, model, source)
