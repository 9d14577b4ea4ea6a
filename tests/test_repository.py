"""The documents agree with the code."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from segcode.classes import CAMVID
from segcode.cli import main
from segcode.model.checkpoint import LoadedModel, save_model
from segcode.model.config import ModelConfig
from segcode.model.segcode import build_segcode
from segcode.model.shipped import shipped_models
from segcode.streets import Streets
from segcode.training.experiment import read_experiment

ROOT = Path(__file__).parents[1]
PAPER = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.toml"))


def version() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_the_topmost_change_is_that_of_the_version():
    topmost = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert topmost is not None
    assert topmost[1] == version()


def test_the_citation_is_of_the_version():
    assert f"\nversion: {version()}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


FUNCTIONS = sorted(set(re.findall(r"\[`([\w.]+)`\]\(api\.md#([\w.]+)\)", PAPER)))
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAPER)))


@pytest.mark.parametrize(("name", "path"), FUNCTIONS)
def test_every_function_that_the_paper_page_names_exists(name, path):
    assert path.endswith(f".{name}")
    found = import_module(path.removesuffix(f".{name}"))
    for attribute in name.split("."):
        found = getattr(found, attribute)


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_every_test_that_the_paper_page_names_exists(file, name):
    assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_row_of_the_paper_page_has_a_function_and_a_test():
    table = PAPER[PAPER.index("| paper | what |") :].split("\n\n")[0]
    for row in table.splitlines()[2:]:
        assert "](api.md#segcode." in row, row
        assert "`tests/" in row, row


@pytest.mark.parametrize("equation", range(1, 9))
def test_every_equation_has_its_row(equation):
    rows = [line.split("|")[1] for line in PAPER.splitlines() if "](api.md#" in line and "`tests/" in line]
    assert any(f"Eq. {equation}" in row or re.search(rf"Eq\. \d, {equation}", row) for row in rows)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_every_experiment_parses_and_names_its_command(path):
    read_experiment(path)
    assert f"segcode train experiments/{path.name}" in path.read_text(encoding="utf-8")


def test_the_papers_experiment_is_its_recipe():
    experiment = read_experiment(ROOT / "experiments/paper.toml")
    assert (experiment.epochs, experiment.batch) == (80, 8)
    assert (experiment.model.code_size, experiment.loss.kl_weight, experiment.loss.zero_code) == (128, 8.0, 0.0)
    assert (experiment.optimiser.learning_rate, experiment.optimiser.schedule) == (1e-4, "constant")
    assert experiment.optimiser.weight_decay == 0


@pytest.fixture
def model_of_streets(tmp_path, monkeypatch):
    """An untrained model by the name "streets" in a checkout that ships none."""
    if "streets" not in shipped_models():
        torch.manual_seed(0)
        untrained = LoadedModel(build_segcode(ModelConfig(width=4)).eval(), CAMVID, "tests")
        save_model(tmp_path / "streets", untrained, "# untrained")
        monkeypatch.setattr("segcode.model.shipped.WEIGHTS", tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/data.md"])
def test_the_python_of_a_page_runs(page, model_of_streets):
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    if "refined" in names:
        assert names["refined"].labels.shape == names["street"].labels.shape
        assert len(names["others"]) == 8


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_the_commands_of_a_page_that_need_no_data_run_in_their_order(page, model_of_streets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^    (segcode .*drawn.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    assert {command[0] for command in commands} >= {"data", "predict", "refine", "sample"}
    for command in commands:
        with pytest.raises(SystemExit) as stop:
            main(["1" if option == "8" else option for option in command])
        assert not stop.value.code, command


def test_the_strokes_and_points_of_the_pages_lie_on_their_class():
    labels = Streets(8, 0, 240, 320)[0].labels
    for page in ("README.md", "docs/tutorial.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        labelled = re.findall(r"street_000000.*?--stroke (\w+)=([\d,:]+)", text)
        labelled += re.findall(r"--point (\w+)=([\d,]+)", text)
        assert len(labelled) == 3
        for name, pixels in labelled:
            for pixel in pixels.split(":"):
                x, y = map(int, pixel.split(","))
                assert labels[y, x] == CAMVID.index(name), (page, name, pixel)


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md"]), ids=lambda page: page.name)
def test_links_between_the_documents_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_is_short_and_the_documentation_too():
    pages = (ROOT / "docs").glob("*.md")
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 500
    assert sum(len(page.read_text(encoding="utf-8").split()) for page in pages) <= 15_000


def test_the_import_rows_of_the_architecture_page_are_those_of_the_contract():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert "```\n" + "\n".join(tools["importlinter"]["contracts"][0]["layers"]) + "\n```" in page


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_lists_its_targets():
    listing = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    for target in ("setup", "demo", "test", "check", "docs", "clean"):
        assert f"make {target} " in listing
