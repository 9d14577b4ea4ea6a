"""segcode's model in the real FiftyOne: `make test-integrations`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from fiftyone.core.config import FiftyOneConfigError

from segcode.classes import CAMVID
from segcode.data.sources import open_source
from segcode.export.picture import write_picture
from segcode.integrations.fiftyone import SegcodeModel, fields_of
from segcode.model.checkpoint import load_model
from segcode.refinement.refiner import Refiner
from segcode.truth.scribble import point_truth

STREET = open_source("streets", None, "test")[2].image
TREE = CAMVID.index("tree")


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("images") / "street.png"
    write_picture(path, STREET)
    return path


@pytest.fixture
def dataset(street) -> Iterator[fo.Dataset]:
    try:
        dataset = fo.Dataset()
    except FiftyOneConfigError as problem:
        pytest.skip(f"FiftyOne has no database here: {problem}")
    dataset.add_sample(fo.Sample(filepath=str(street)))
    yield dataset
    dataset.delete()


@pytest.fixture(scope="module")
def first():
    return Refiner(load_model("streets")).set_image(STREET)


def shown(sample: fo.Sample) -> np.ndarray:
    """The map that a sample has, as classes."""
    return sample["segcode_map"].get_mask() - 1


def test_a_sample_gets_the_map_and_its_entropy(street, first, tmp_path):
    sample, model = fo.Sample(filepath=str(street)), SegcodeModel("streets")
    assert isinstance(model, fo.Model)
    assert model.media_type == "image"
    sample.add_labels(model.predict(STREET, sample=sample), "segcode")
    assert np.array_equal(shown(sample), first.labels)
    assert model.mask_targets == dict(enumerate(CAMVID.names, 1))
    heat = sample["segcode_uncertainty"]
    assert np.array_equal(heat.get_map(), first.entropy())
    assert 0 <= heat.get_map().min() <= heat.get_map().max() <= heat.range[1]
    sample["segcode_map"].export_mask(str(tmp_path / "mask.png"))
    assert np.array_equal(fo.Segmentation(mask_path=str(tmp_path / "mask.png")).get_mask() - 1, first.labels)


def test_a_refined_map_is_exported_likewise(street):
    refiner = Refiner(load_model("streets"))
    refiner.set_image(STREET)
    refined = refiner.refine(point_truth([(120, 160)], TREE, len(CAMVID), STREET.shape[:2]))
    sample = fo.Sample(filepath=str(street))
    sample.add_labels(fields_of(refined), "segcode")
    assert shown(sample)[120, 160] == TREE
    assert sample["segcode_uncertainty"].get_map()[120, 160] == 0


def test_a_segmenter_that_reads_files_finds_them_by_the_name_of_the_samples(street, first, tmp_path):
    np.save(tmp_path / "street.npy", first.logits)
    model = SegcodeModel(f"arrays:{tmp_path}", classes="camvid")
    sample = fo.Sample(filepath=str(street))
    sample.add_labels(model.predict(STREET, sample=sample), "segcode")
    assert (shown(sample) == first.labels).mean() > 0.99


def test_apply_model_fills_the_fields_of_a_data_set(dataset, first):
    model = SegcodeModel("streets")
    dataset.apply_model(model, label_field="segcode", skip_failures=False)
    dataset.mask_targets["segcode_map"] = model.mask_targets
    dataset.save()
    assert np.array_equal(shown(dataset.first()), first.labels)
