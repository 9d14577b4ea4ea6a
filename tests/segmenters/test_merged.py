from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from segcode.classes import ClassSet
from segcode.data.folder import read_class_file
from segcode.errors import ConfigError
from segcode.prediction import CallableSegmenter, InitialPrediction
from segcode.segmenters.from_export import FactoredCode
from segcode.segmenters.merged import merge, merged_groups

OWN = ClassSet(("road", "car", "truck", "sky"), ((1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)))
IMAGE = np.zeros((4, 6, 3), np.uint8)


def predict(_):
    return np.random.default_rng(0).normal(size=(4, 2, 3))


def merged(folder, text: str):
    (folder / "classes.toml").write_text(text)
    wanted = read_class_file(folder / "classes.toml")
    return merge(CallableSegmenter(predict), merged_groups(wanted, OWN)), wanted


def test_a_merged_class_has_the_probability_of_its_members(tmp_path):
    text = '[[class]]\nname = "vehicle"\nof = ["car", "truck"]\nkey = "v"\nid = 9\n'
    text += '[[class]]\nname = "rest"\nof = ["*"]\nid = 3\n'
    segmenter, wanted = merged(tmp_path, text)
    assert (wanted.classes.names, wanted.classes.raw_ids, wanted.keys) == (("vehicle", "rest"), (9, 3), ("v", None))
    own = softmax(predict(IMAGE), 0)
    made = softmax(segmenter.predict(IMAGE).base_logits, 0)
    assert made == pytest.approx(np.stack([own[1] + own[2], own[0] + own[3]]), abs=1e-6)


def test_a_new_class_is_unlikely_everywhere(tmp_path):
    text = '[[class]]\nname = "drone"\nof = []\n[[class]]\nname = "all"\nof = ["*"]\n'
    made = softmax(merged(tmp_path, text)[0].predict(IMAGE).base_logits, 0)
    assert (made[0] < 0.01).all()
    assert (made[0] > 0).all()


class WithCode:
    """A segmenter with a code path."""

    code = FactoredCode(
        *(np.random.default_rng(1).standard_normal(shape, np.float32) for shape in ((2, 3, 4, 2), (1, 2, 2, 5)))
    )

    def predict(self, image, name=None):
        return InitialPrediction(predict(image), code=self.code)


def test_new_classes_leave_the_code_of_the_others_as_it_is():
    code, codes, pixels = WithCode.code, np.ones((1, 5), np.float32), np.array([[1, 2]])
    made = merge(WithCode(), ((2,), (), (0,), (1,), (3,))).predict(IMAGE).code
    assert (made.size, made.code_size) == (code.size, 5)
    for placed, own in ((made.added(codes), code.added(codes)), (made.jacobian(pixels), code.jacobian(pixels))):
        assert np.array_equal(placed[:, [2, 3, 0, 4]], own)
        assert (placed[:, 1] == 0).all()


def test_merged_classes_have_no_code():
    assert merge(WithCode(), ((0, 1), (2,), (3,))).predict(IMAGE).code is None


def test_a_segmenter_whose_classes_only_get_other_names_stays_what_it_is():
    segmenter = CallableSegmenter(predict)
    assert merge(segmenter, ((0,), (1,), (2,), (3,))) is segmenter
    assert merge(segmenter, ((1,), (0,), (2,), (3,))) is not segmenter


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[class]]\nname = "road"\n[[class]]\nname = "sky"\n', "'car' is in 0 classes of the list: add it to `of`"),
        ('[[class]]\nname = "road"\n[[class]]\nname = "all"\nof = ["road", "*"]\n', "'road' is in 2 classes"),
        ('[[class]]\nname = "raod"\n[[class]]\nname = "all"\nof = ["*"]\n', "no class is called 'raod'.*road"),
        ('[[class]]\nname = "a"\nkey = "AB"\n[[class]]\nname = "all"\nof = ["*"]\n', "key is 'AB'"),
    ],
)  # fmt: skip
def test_a_list_that_does_not_fit_the_model_is_refused_with_the_class(tmp_path, text, reason):
    with pytest.raises(ConfigError, match=reason):
        merged(tmp_path, text)
