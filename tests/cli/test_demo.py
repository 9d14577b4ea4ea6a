import re

import numpy as np
import pytest
from command_line import files_in, make_model_folder, segcode

from segcode.classes import CAMVID
from segcode.cli.demo import Street, choose


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "camvid", CAMVID)


def test_the_demo_draws_refines_and_prints_what_it_gained(model, tmp_path):
    ran = segcode("demo", "-n", 1, "--model", model, "-o", tmp_path / "demo")
    assert ran.code == 0, ran.err
    names = files_in(tmp_path / "demo")
    assert {name.split("_", 2)[2] for name in names} == {"before_after.png", "samples.png", "uncertainty.png"}
    rows = [found for line in ran.out.splitlines() if (found := re.findall(r"([\d.]+) %", line))]
    (initial, initial_rest), (pasted, pasted_rest), (refined, refined_rest) = rows
    assert initial_rest == pasted_rest
    assert float(initial) < float(pasted)
    assert (refined, refined_rest) != (pasted, pasted_rest)
    (street,) = [line for line in ran.out.splitlines() if "street_" in line and "%" not in line and "/" not in line]
    repaired, broken = map(float, re.findall(r"\d+\.\d+", street))
    assert repaired - broken == pytest.approx(float(refined) - float(initial), abs=0.02)


def test_what_got_worse_is_told_beside_what_got_better():
    labels, before, after = np.array([[0, 1, 2, 3]]), np.array([[0, 0, 2, 0]]), np.array([[0, 1, 0, 0]])
    assert Street.of("x", before, after, labels) == Street("x", repaired=0.25, broken=0.25)


def test_the_seed_alone_chooses_the_streets():
    assert choose(6, 100, seed=0) == choose(6, 100, seed=0) != choose(6, 100, seed=1)
    assert choose(6, 4, seed=0) == [0, 1, 2, 3]
