import numpy as np
import pytest
import torch
from pictures import InMemory, ids, noise
from torch.utils.data import DataLoader

from segcode.data.dataset import Item, LabelledImages
from segcode.data.resize import resize_image, resize_labels
from segcode.errors import DataError
from segcode.sample import Sample

SOURCE = InMemory([Sample(str(seed), noise(seed), ids(seed, [0, 5, 255])) for seed in range(5)])


@pytest.mark.parametrize("preload", [False, True])
def test_an_item_is_the_resized_sample(preload: bool) -> None:
    image, labels = LabelledImages(SOURCE, 4, 10, preload)[3]
    sample = SOURCE[3]
    assert sample.labels is not None
    assert np.array_equal(image.permute(1, 2, 0).numpy(), resize_image(sample.image, 4, 10))
    assert np.array_equal(labels.numpy(), resize_labels(sample.labels, 4, 10))
    assert image.dtype == labels.dtype == torch.uint8


def test_preloaded_samples_are_read_once() -> None:
    source = InMemory(list(SOURCE.samples))
    images = LabelledImages(source, 6, 8, preload=True)
    source.samples.clear()
    assert np.array_equal(images[4].labels.numpy(), resize_labels(SOURCE[4].labels, 6, 8))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_loader_makes_items_of_batches(workers: int) -> None:
    batches = list(DataLoader(LabelledImages(SOURCE, 6, 8), batch_size=2, num_workers=workers))
    assert isinstance(batches[0], Item)
    assert [len(batch.image) for batch in batches] == [2, 2, 1]
    assert batches[0].image.shape == (2, 3, 6, 8)
    assert batches[0].labels.shape == (2, 6, 8)


@pytest.mark.parametrize("preload", [False, True])
def test_a_sample_without_labels_is_named(preload: bool) -> None:
    with pytest.raises(DataError, match="'unknown' has no labels"):
        LabelledImages(InMemory([Sample("unknown", noise(0))]), 6, 8, preload)[0]


def test_a_damaged_file_stops_the_preloading() -> None:
    with pytest.raises(DataError, match="truncated"):
        LabelledImages(InMemory([*SOURCE.samples, DataError("truncated")]), 6, 8, preload=True)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_shown_only_on_a_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", terminal)
    LabelledImages(SOURCE, 4, 10, preload=True)
    assert ("Reading images" in capsys.readouterr().err) == terminal
