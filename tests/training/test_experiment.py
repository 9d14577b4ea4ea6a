from __future__ import annotations

import pytest

from segcode.errors import ConfigError
from segcode.training.experiment import Experiment, read_experiment
from segcode.training.module import WARM_UP, cosine


def write(folder, text):
    path = folder / "experiment.toml"
    path.write_text(text)
    return path


def test_a_file_holds_only_what_differs_from_the_paper(tmp_path):
    experiment = read_experiment(write(tmp_path, "epochs = 3\n[model]\nwidth = 8\nsize = [64, 96]\n"))
    assert (experiment.epochs, experiment.model.width, experiment.model.size) == (3, 8, (64, 96))
    assert experiment.optimiser == Experiment().optimiser


def test_the_defaults_are_the_papers_recipe():
    recipe = Experiment()
    assert (recipe.epochs, recipe.batch, recipe.optimiser.learning_rate) == (80, 8, 1e-4)
    assert (recipe.loss.kl_weight, recipe.loss.zero_code, recipe.model.code_size) == (8, 0, 128)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown key 'epoch': did you mean 'epochs'"),
        ("[model]\nwidht = 8", r"\[model\]: unknown key 'widht': did you mean 'width'"),
        ("[model]\nwidth = 'wide'", "model.width is 'wide'"),
        ("[data]\nkind = 'camvit'", "data.kind is 'camvit'"),
        ("[model]\ncode_stride = 3", "model.code_stride is 3"),
        ("epochs = 0", "epochs is 0"),
        ("[loss]\nsamples = 0", "loss.samples is 0"),
        ("[loss]\nkl_warmup = 8", "loss.kl_warmup is 8"),
        ("[augment]\nscale = [0, 1]", "augment.scale.0 is 0"),
        ("[augment]\nscale = [2, 1]", "give the smaller factor first"),
        ("[optimiser]\nlearning_rate = -1", "optimiser.learning_rate is -1"),
        ("[optimiser]\naveraging = 1", "optimiser.averaging is 1"),
        ("[data]\nworkers = -2", "data.workers is -2"),
        ("epochs = ", "not valid TOML"),
        ("[optimiser]\nlearning_rate = inf", "optimiser.learning_rate is inf"),
        ("[optimiser]\nlearning_rate = nan", "optimiser.learning_rate is nan"),
        ("[optimiser]\nlearning_rate = true", "optimiser.learning_rate is True"),
        ("[optimiser]\ngradient_norm = inf", "optimiser.gradient_norm is inf"),
        ("[loss]\nkl_weight = nan", "loss.kl_weight is nan"),
        ("[loss]\nbalance = nan", "loss.balance is nan"),
        ("[augment]\nscale = [1, inf]", "augment.scale.1 is inf"),
        ("epochs = 3.0", "epochs is 3.0"),
        ("epochs = '3'", "epochs is '3'"),
        ("epochs = true", "epochs is True"),
        (f"seed = {2**70}", "seed is 1180591620717411303424"),
        (f"batch = {2**31}", "batch is 2147483648"),
        (f"[model]\nsize = [{2**40}, 3]", "size is .* below 2"),
        ("model = 3", "model is 3"),
        ("[data.kind]\nx = 1", "data.kind is"),
    ],
)
def test_mistakes_are_named_with_their_cure(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_experiment(write(tmp_path, text))


def test_changes_replace_what_the_file_says(tmp_path):
    path = write(tmp_path, "epochs = 3\n[model]\nwidth = 8")
    changes = ["epochs=5", "model.code_size = 32", 'data.leave_out=["a", "b"]', 'start="streets"']
    changed = read_experiment(path, changes)
    assert (changed.epochs, changed.model.width, changed.model.code_size) == (5, 8, 32)
    assert (changed.data.leave_out, changed.start) == (("a", "b"), "streets")
    assert read_experiment(path).epochs == 3


@pytest.mark.parametrize("change", ["epochs", "start=streets", "model.width="])
def test_what_is_no_change_is_named(tmp_path, change):
    with pytest.raises(ConfigError, match=rf"'{change}' is no KEY=VALUE"):
        read_experiment(write(tmp_path, ""), [change])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        read_experiment(tmp_path / "nowhere.toml")


def test_the_cosine_schedule_rises_then_falls_to_nothing():
    rates = [cosine(i / 1000) for i in range(1001)]
    peak = rates.index(max(rates))
    assert peak == round(1000 * WARM_UP)
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
