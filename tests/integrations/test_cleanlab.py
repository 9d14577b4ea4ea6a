from __future__ import annotations

import numpy as np
import pytest

from segcode.classes import ClassSet
from segcode.errors import DataError
from segcode.integrations.cleanlab import label_arrays
from segcode.refinement.refiner import Refiner
from segcode.sample import Sample
from segcode.tensors import IGNORE
from tiny import TINY, make_model

CLASSES = ClassSet(("road", "sky", "building", "car"), ((1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12)))


class Images:
    classes = CLASSES

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.sizes = sizes
        self.names = tuple(f"image {place}" for place in range(len(sizes)))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        draw = np.random.default_rng(index)
        labels = draw.integers(0, 4, self.sizes[index], np.uint8)
        labels[0] = IGNORE
        return Sample(self.names[index], draw.integers(0, 255, (*self.sizes[index], 3), np.uint8), labels)


def test_labels_are_those_of_the_source_and_probabilities_those_of_the_initial_prediction():
    refiner, source = Refiner(make_model(TINY)), Images((32, 48), (32, 48))
    labels, pred_probs = label_arrays(refiner, source, CLASSES)
    assert (labels.shape, pred_probs.shape) == ((2, 32, 48), (2, 4, 32, 48))
    for place in range(2):
        sample = source[place]
        assert np.array_equal(pred_probs[place], refiner.set_image(sample.image).probabilities())
        assert np.array_equal(labels[place, 1:], sample.labels[1:])


def test_void_pixels_have_the_predicted_class():
    labels, pred_probs = label_arrays(Refiner(make_model(TINY)), Images((32, 48)), CLASSES)
    assert np.array_equal(labels[0, 0], pred_probs[0, :, 0].argmax(0))


@pytest.mark.parametrize(
    ("source", "message"),
    [(Images((32, 48), (32, 40)), "'image 1' is 32 x 40, the first image 32 x 48"), (Images(), "has no images")],
)
def test_images_of_two_sizes_and_none_at_all_are_refused(source, message):
    with pytest.raises(DataError, match=message):
        label_arrays(Refiner(make_model(TINY)), source, CLASSES)
