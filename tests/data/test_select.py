import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import InMemory, noise

from segcode.classes import CAMVID
from segcode.data.select import Subset, select
from segcode.errors import ConfigError
from segcode.sample import Sample

NAMES = ["0001TP_1", "0001TP_10", "0001TP_11", "0016E5_1"]
SOURCE = InMemory([Sample(name, noise(seed)) for seed, name in enumerate(NAMES)])


def test_a_subset_has_the_samples_that_it_names() -> None:
    subset = Subset(SOURCE, ["0016E5_1", "0001TP_1"])
    assert subset.names == ("0016E5_1", "0001TP_1")
    assert subset.classes == CAMVID
    assert [subset[i].name for i in range(len(subset))] == ["0016E5_1", "0001TP_1"]
    assert np.array_equal(subset[0].image, noise(3))


def test_a_subset_of_unknown_or_no_names_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no sample is called '0016E5_2': did you mean '0016E5_1'\?"):
        Subset(SOURCE, ["0016E5_2"])
    with pytest.raises(ConfigError, match="no samples are left"):
        select(SOURCE, leave_out=["0"])


def test_choosing_nothing_leaves_the_source_as_it_is() -> None:
    assert select(SOURCE) is SOURCE


@pytest.mark.parametrize(
    ("only", "leave_out", "chosen"),
    [
        (["0001TP_"], [], NAMES[:3]),
        (["0001TP_1"], [], NAMES[:1]),  # a whole name is not also a beginning
        (["0016E5_1", "0001TP_11"], [], NAMES[2:]),
        ([], ["0001TP_"], NAMES[3:]),
        (["0001TP_"], ["0001TP_10"], [NAMES[0], NAMES[2]]),
    ],
)
def test_names_and_beginnings_choose(only: list[str], leave_out: list[str], chosen: list[str]) -> None:
    assert select(SOURCE, only, leave_out).names == tuple(chosen)


def test_a_beginning_that_fits_nothing_gives_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'0001PT_', or begins so: did you mean '0001TP_'\?"):
        select(SOURCE, only=["0001PT_"])


@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_only_and_leave_out_are_complements(names: set[str]) -> None:
    kept, left = select(SOURCE, only=names).names, select(SOURCE, leave_out=names).names
    assert sorted(kept + left) == sorted(NAMES)
    assert set(kept) == names
