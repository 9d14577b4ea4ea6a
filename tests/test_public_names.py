import ast
import inspect
import subprocess
import sys

import pytest

import segcode

PUBLIC = {
    "BatchRefiner",
    "CAMVID",
    "CITYSCAPES",
    "ClassSet",
    "FieldConstants",
    "InitialPrediction",
    "LoadedModel",
    "ModelConfig",
    "OpenedSegmenter",
    "Refiner",
    "SegCode",
    "SegmentationMap",
    "Segmenter",
    "Truth",
    "box_truth",
    "label_truth",
    "load_model",
    "mask_truth",
    "open_segmenter",
    "point_truth",
    "polygon_truth",
    "scribble_truth",
}


def test_the_public_names_are_these():
    assert set(segcode.__all__) == PUBLIC
    assert set(dir(segcode)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_has_a_docstring_and_is_what_it_is_called(name):
    thing = getattr(segcode, name)
    assert thing.__doc__
    assert getattr(thing, "__name__", name) == name


def test_type_checkers_see_the_same_names():
    tree = ast.parse(inspect.getsource(segcode))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert {alias.name for line in block.body if isinstance(line, ast.ImportFrom) for alias in line.names} == PUBLIC


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Refine'"):
        _ = segcode.Refine


def test_importing_the_package_imports_nothing_heavy():
    code = "import segcode, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
