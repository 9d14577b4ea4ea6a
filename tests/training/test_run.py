from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

from segcode.classes import CAMVID
from segcode.efficientnet import imagenet_weights
from segcode.errors import CheckpointError, ConfigError, DataError
from segcode.model.checkpoint import LoadedModel, load_model, load_weights
from segcode.sample import Sample
from segcode.training import run
from segcode.training.callbacks import EpochReport
from segcode.training.experiment import read_experiment
from segcode.training.module import TrainingModule
from segcode.training.run import _sources, _start_from, train, train_folds


def test_training_learns(finished):
    rows = list(csv.DictReader((finished / "logs" / "csv" / "version_0" / "metrics.csv").open()))
    accuracy = [float(row["val/initial_accuracy"]) for row in rows if row["val/initial_accuracy"]]
    assert len(accuracy) == 5  # four epochs, and the weights of the best of them once more
    assert accuracy[-1] == max(accuracy) > 0.8


def test_logs_have_every_part_of_the_loss(finished):
    header = next(csv.reader((finished / "logs" / "csv" / "version_0" / "metrics.csv").open()))
    parts = {f"{stage}/{part}" for stage in ("train", "val") for part in ("total", "segmentation", "initial", "kl")}
    scores = {f"val/{code}_{score}" for code in ("initial", "encoded") for score in ("accuracy", "mean_iou")}
    assert parts | scores <= set(header)
    assert list((finished / "logs").glob("events*"))


def test_each_epoch_has_a_panel(finished):
    assert [p.name for p in sorted((finished / "panels").iterdir())] == [f"epoch_00{i}.png" for i in range(1, 5)]


def test_the_trained_model_loads_with_its_classes_and_card(finished):
    trained = load_model(finished / "model")
    assert trained.classes.names == ("dark", "light")
    assert trained.model.config.classes == 2
    assert trained.purpose == "blocks, dark or light"
    card = (finished / "model" / "README.md").read_text()
    assert "- For: blocks, dark or light." in card
    assert "| initial_accuracy |" in card


def test_checkpoints_load_without_pickle(finished):
    for name in ("best", "last"):
        assert "state_dict" in torch.load(finished / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_the_running_mean_of_the_weights_is_kept(finished):
    """Beside the weights that the training goes on with, and only the first in the model."""
    best = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    model = load_weights(finished / "model" / "model.safetensors")
    name = "label_encoder.mean.bias"  # in half precision, weights of more dimensions are in 8 bits
    mean, current = (best[key][f"model.{name}"].half().float() for key in ("state_dict", "current_model_state"))
    assert torch.equal(model[name], mean)
    assert not torch.equal(mean, current)


def test_a_killed_training_goes_on_exactly_as_if_it_had_not_been(experiment_file, finished, tmp_path):
    script = (
        "from pathlib import Path; from segcode.training.experiment import read_experiment;"
        "from segcode.training.run import train;"
        f"train(read_experiment(Path({str(experiment_file)!r})), Path({str(tmp_path)!r}), progress=False)"
    )
    last = tmp_path / "checkpoints" / "last.ckpt"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        while not last.exists() and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert torch.load(last, weights_only=True)["epoch"] < 3
    assert not (tmp_path / "model").exists()
    train(read_experiment(experiment_file), tmp_path, resume=True, progress=False)
    resumed, unbroken = (
        torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for out in (tmp_path, finished)
    )
    assert all(torch.equal(resumed[name], value) for name, value in unbroken.items())
    models = [load_file(out / "model" / "model.safetensors") for out in (tmp_path, finished)]
    assert all(torch.equal(models[0][name], value) for name, value in models[1].items())


LAST_STAGE = (
    "epochs=3",
    'optimiser.parts=["decoder.grid*", "decoder.of_code*", "label_encoder*"]',
)


def test_a_last_stage_goes_on_exactly_as_if_it_had_not_been_stopped(experiment_file, finished, tmp_path, monkeypatch):
    """With parts that stay and a model to start from."""
    plan = read_experiment(experiment_file, (*LAST_STAGE, f"start={str(finished / 'model')!r}"))

    def fail(report, trainer, module):
        if trainer.current_epoch == 1:
            raise ConnectionError("in the second epoch")

    with monkeypatch.context() as patched:
        patched.setattr(EpochReport, "on_train_epoch_end", fail)
        with pytest.raises(ConnectionError):
            train(plan, tmp_path / "stopped", progress=False)
    assert torch.load(tmp_path / "stopped" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0
    train(plan, tmp_path / "stopped", resume=True, progress=False)
    train(plan, tmp_path / "unbroken", progress=False)
    resumed, unbroken = (
        torch.load(tmp_path / out / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for out in ("stopped", "unbroken")
    )
    assert all(torch.equal(resumed[name], value) for name, value in unbroken.items())
    started = load_weights(finished / "model" / "model.safetensors")
    changed = {name for name, value in started.items() if not torch.equal(unbroken[f"model.{name}"], value)}
    assert {"decoder.grid.weight", "label_encoder.mean.weight"} <= changed
    assert not any(name.startswith(("features", "decoder.of_zero")) for name in changed)


def test_a_validation_of_void_alone_is_refused(experiment_file, finished, tmp_path):
    copytree(experiment_file.parent, tmp_path / "data")
    for path in (tmp_path / "data/labels/val").iterdir():
        Pillow.fromarray(np.full((32, 48), 255, np.uint8)).save(path)
    settings = (f"start={str(finished / 'model')!r}", f"data.root={str(tmp_path / 'data')!r}", "epochs=1")
    with pytest.raises(DataError, match="no pixel of the split 'val' is labelled"):
        train(read_experiment(experiment_file, (*LAST_STAGE, *settings)), tmp_path / "out", progress=False)


def test_what_is_unusual_in_the_files_is_told_once_for_each_split(experiment_file, tmp_path, capsys):
    root = Path(copytree(experiment_file.parent, tmp_path / "data"))
    exif = Pillow.Exif()
    exif[0x0112] = 3
    with Pillow.open(root / "images/train/1.png") as picture:
        picture.save(root / "images/train/1.png", exif=exif)
    changes = [f'data.root="{root}"', "epochs=1"]
    train(read_experiment(experiment_file, changes), tmp_path / "out", progress=False)
    err = capsys.readouterr().err
    (notes,) = [line for line in err.splitlines() if "have unusual files" in line]
    assert notes.startswith("train: 1 of 8 samples have unusual files, the first: ")
    assert "1.png is turned as its EXIF orientation 3 says" in notes
    assert "val: 1 of 2 images are trained on, too, the first: " in err


def test_the_seed_decides_a_training(experiment_file, tmp_path):
    plan = replace(read_experiment(experiment_file), epochs=1)
    first, again, other = (
        load_file(train(replace(plan, seed=seed), tmp_path / out, progress=False) / "model.safetensors")
        for out, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert all(torch.equal(again[name], value) for name, value in first.items())
    assert not torch.equal(other["decoder.grid.weight"], first["decoder.grid.weight"])


def test_a_finished_training_is_not_overwritten(experiment_file, finished):
    with pytest.raises(CheckpointError, match="add --resume"):
        train(read_experiment(experiment_file), finished, progress=False)


def test_the_last_checkpoint_is_that_of_the_last_epoch(finished):
    assert torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 3


def test_another_experiment_is_not_resumed(experiment_file, finished):
    other = replace(read_experiment(experiment_file), epochs=9)
    with pytest.raises(ConfigError, match="epochs is 9, but the training to resume has 4: the cosine schedule"):
        train(other, finished, resume=True, progress=False)


def test_a_training_starts_from_the_weights_of_another(experiment_file, finished, tmp_path):
    start = replace(read_experiment(experiment_file), epochs=1, start=str(finished / "model"))
    still = replace(start, optimiser=replace(start.optimiser, learning_rate=0.0))
    train(still, tmp_path / "still", progress=False)
    before, after = (load_model(out / "model").model for out in (finished, tmp_path / "still"))
    assert all(torch.equal(p, q) for p, q in zip(before.parameters(), after.parameters(), strict=True))


def test_a_start_gives_the_tensors_that_fit(experiment_file, finished, tmp_path, capsys):
    other = read_experiment(experiment_file)
    module = TrainingModule(replace(other, model=replace(other.model, classes=11, code_size=16)))
    grid = module.model.decoder.grid.weight.clone()
    _start_from(str(finished / "model"), module, CAMVID)
    assert "has the classes dark, light, and the data sky, building, pole" in capsys.readouterr().err
    started = load_model(finished / "model").model
    assert torch.equal(module.model.features.stem[0].weight, started.features.stem[0].weight)
    assert torch.equal(module.model.decoder.grid.weight, grid)


def test_what_is_left_out_does_not_choose_the_best_epoch(experiment_file, tmp_path):
    plan = read_experiment(experiment_file)
    names = _sources(plan)[1].names
    _, validation = _sources(replace(plan, data=replace(plan.data, leave_out=names[:1])))
    assert validation.names == names[1:]
    with pytest.raises(ConfigError, match="leaves nothing of the split"):
        _sources(replace(plan, data=replace(plan.data, leave_out=names)))


def test_what_is_left_out_is_not_trained_on(experiment_file):
    plan = read_experiment(experiment_file)
    names = _sources(plan)[0].names
    training, _ = _sources(replace(plan, data=replace(plan.data, leave_out=names[:1] + names[5:])))
    assert training.names == names[1:5]


class Named:
    """Samples that have names alone."""

    classes = CAMVID

    def __init__(self, *names: str) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError


def test_a_full_name_that_is_left_out_is_no_beginning_of_others(experiment_file, monkeypatch):
    """Whichever split it is of."""
    splits = {"train": Named("street_1", "street_10", "street_20"), "val": Named("street_11", "street_2")}
    monkeypatch.setattr(run, "open_source", lambda kind, root, split: splits[split])
    plan = read_experiment(experiment_file)
    training, validation = _sources(replace(plan, data=replace(plan.data, leave_out=("street_1",))))
    assert training.names == ("street_10", "street_20")
    assert validation.names == ("street_11", "street_2")
    with pytest.raises(ConfigError, match="leaves nothing of the split 'val'"):
        _sources(replace(plan, data=replace(plan.data, leave_out=("street_2", "street_11"))))
    splits["val"] = Named("street_2", "street_5")
    training, validation = _sources(replace(plan, data=replace(plan.data, leave_out=("street_2",))))
    assert training.names == ("street_1", "street_10", "street_20")
    assert validation.names == ("street_5",)


def test_parts_that_are_not_trained_stay_as_they_are(experiment_file, finished, tmp_path):
    plan = replace(read_experiment(experiment_file), epochs=1, start=str(finished / "model"))
    train(
        replace(plan, optimiser=replace(plan.optimiser, parts=("decoder.grid*", "decoder.of_code*"))),
        tmp_path / "x",
        progress=False,
    )
    before, after = (load_model(out / "model").model.state_dict() for out in (finished, tmp_path / "x"))
    same = {key: torch.equal(value, after[key]) for key, value in before.items()}
    assert all(same[key] for key in same if not key.startswith(("decoder.grid", "decoder.of_code")))
    assert not same["decoder.grid.weight"]


def test_a_start_without_a_fitting_tensor_is_refused(experiment_file, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "load_model", lambda _: LoadedModel(torch.nn.Linear(3, 3), CAMVID))
    with pytest.raises(CheckpointError, match="no tensor of 'other' fits"):
        _start_from("other", TrainingModule(read_experiment(experiment_file)), CAMVID)


LITE = ('model.backbone="efficientnet_lite0"', "model.width=2", 'start="imagenet"', "optimiser.encoder_rate=0.1")


def test_a_training_starts_from_imagenet_weights(experiment_file, tmp_path):
    """The trained model needs neither these weights nor their package."""
    plan = read_experiment(experiment_file, (*LITE, "epochs=1", "optimiser.averaging=0.0"))
    model = load_model(train(plan, tmp_path, progress=False)).model
    assert model.config.backbone == "efficientnet_lite0"
    mean = [
        (weight - model.features.encoder.state_dict()[name]).abs().mean() / weight.abs().mean()
        for name, weight in imagenet_weights().items()
        if name.endswith("project.0.weight")
    ]
    assert 0 < torch.stack(mean).median() < 0.2


def test_an_encoder_has_a_learning_rate_of_its_own(experiment_file):
    changes = (*LITE, 'optimiser.schedule="constant"')
    module = TrainingModule(read_experiment(experiment_file, changes))
    rate_of = {p: group["lr"] for group in module.configure_optimizers().param_groups for p in group["params"]}
    rates = {name: rate_of[parameter] for name, parameter in module.model.named_parameters()}
    assert {name for name, rate in rates.items() if rate == pytest.approx(1e-3)} == {
        name for name in rates if name.startswith("features.encoder.")
    }
    assert sorted(set(rates.values())) == pytest.approx([1e-3, 1e-2])


def test_a_batch_norm_whose_weights_are_not_trained_keeps_its_statistics(experiment_file):
    parts = 'optimiser.parts=["features.encoder*.0.weight", "features.up*", "decoder*"]'
    module = TrainingModule(read_experiment(experiment_file, (*LITE, parts))).train()
    module.on_train_epoch_start()
    features = module.model.features
    assert features.encoder.stages[1][0].expand[0].weight.requires_grad
    assert not features.encoder.stages[1][0].expand[1].training
    assert features.up[0][1].training
    assert not module.model.label_encoder.last[1].training


def test_there_must_be_something_to_resume(experiment_file, tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(read_experiment(experiment_file), tmp_path, resume=True, progress=False)


@pytest.fixture(scope="module")
def predictions(experiment_file, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("folds")
    return train_folds(read_experiment(experiment_file, ["epochs=2"]), "2", out, progress=False)


def test_folds_predict_every_training_image(predictions):
    files = [f"{number}.npy" for number in range(8)]
    assert sorted(path.name for path in predictions.iterdir()) == [*files, "predictions.json"]
    assert np.load(predictions / "0.npy").shape == (2, 32, 48)
    left_out = load_model(predictions.parent / "folds" / "part1" / "model")
    assert "0, 1, 2, 3" in (predictions.parent / "folds" / "part1" / "model" / "README.md").read_text()
    assert left_out.model.config.classes == 2


def test_folds_that_are_trained_are_not_trained_again(predictions, experiment_file, monkeypatch):
    monkeypatch.setattr(run, "train", lambda *args: pytest.fail("trained again"))
    (predictions / "5.npy").unlink()
    train_folds(read_experiment(experiment_file, ["epochs=2"]), "2", predictions.parent, progress=False)
    assert (predictions / "5.npy").is_file()


def test_folds_of_another_experiment_are_not_taken_for_those_of_this_one(predictions, experiment_file):
    with pytest.raises(ConfigError, match="epochs is 3"):
        train_folds(read_experiment(experiment_file, ["epochs=3"]), "2", predictions.parent, progress=False)


def test_finished_folds_are_not_taken_for_those_of_more_epochs(experiment_file, tmp_path):
    """Not even where a single training would go on."""
    changes = ['optimiser.schedule="constant"', "loss.kl_warmup=0.0"]
    train_folds(read_experiment(experiment_file, [*changes, "epochs=1"]), "2", tmp_path, progress=False)
    with pytest.raises(ConfigError, match="epochs is 2, but the training to resume has 1: give its experiment"):
        train_folds(read_experiment(experiment_file, [*changes, "epochs=2"]), "2", tmp_path, progress=False)


def test_folds_do_not_start_from_a_model_that_may_have_seen_their_images(finished, experiment_file, tmp_path):
    changes = [f'start="{finished / "model"}"']
    with pytest.raises(ConfigError, match="trained on folder, so it may have seen the images that a fold leaves out"):
        train_folds(read_experiment(experiment_file, changes), "2", tmp_path, progress=False)


def test_folds_start_from_those_of_an_earlier_run(predictions, experiment_file, tmp_path):
    changes = [f'start="{predictions.parent}"', "optimiser.learning_rate=0.0", "epochs=1"]
    train_folds(read_experiment(experiment_file, changes), "2", tmp_path, progress=False)
    name = Path("folds", "part2", "model", "model.safetensors")
    before, after = load_file(predictions.parent / name), load_file(tmp_path / name)
    weights = [key for key in after if key.endswith("weight")]
    assert all(torch.equal(before[key], after[key]) for key in weights)


def test_folds_do_not_start_from_those_with_other_images(predictions, experiment_file, tmp_path):
    changes = [f'start="{predictions.parent}"', "epochs=1"]
    with pytest.raises(ConfigError, match="was trained on 4, which this fold leaves out: give its --folds"):
        train_folds(read_experiment(experiment_file, [*changes, 'data.leave_out=["0"]']), "2", tmp_path, progress=False)
    (tmp_path / "earlier" / "folds").mkdir(parents=True)
    with pytest.raises(ConfigError, match="part1 has no model"):
        train_folds(
            read_experiment(experiment_file, [f'start="{tmp_path / "earlier"}"']), "2", tmp_path / "out", progress=False
        )


@pytest.mark.parametrize(
    ("trained_on", "kind", "allowed"),
    [
        (("streets",), "camvid", True),
        (("streets", "cityscapes"), "camvid", True),
        (("camvid",), "camvid", False),
        (("camvid", "streets"), "camvid", False),
        (("folder",), "camvid", False),
        ((), "camvid", False),
    ],
)
def test_folds_start_from_models_of_other_data_alone(
    experiment_file, monkeypatch, tiny_model, trained_on, kind, allowed
):
    tiny_model.config = replace(tiny_model.config, trained_on=trained_on)
    monkeypatch.setattr(run, "load_model", lambda _: LoadedModel(tiny_model, CAMVID))
    plan = read_experiment(experiment_file, ['start="other"', f'data.kind="{kind}"'])
    with nullcontext() if allowed else pytest.raises(ConfigError, match="may have"):
        run._refuse_seen(plan)


def test_a_model_knows_what_it_and_its_start_were_trained_on(finished, experiment_file):
    assert load_model(finished / "model").model.config.trained_on == ("folder",)
    assert run._seen(read_experiment(experiment_file, ['start="streets"'])) == ("streets", "folder")


def code_alone(predictions: Path, start: str, *others: str) -> list[str]:
    return [f'data.predictions="{predictions}"', f'start="{start}"', 'model.code_sees="prediction"', *others]


@pytest.mark.parametrize("mean", ["network", "gradient"])
def test_on_out_of_fold_predictions_the_code_alone_is_trained(predictions, finished, experiment_file, tmp_path, mean):
    small = "model.code_width=2", "model.code_cells=[16, 24]", f'model.encoder_mean="{mean}"'
    changes = code_alone(predictions, str(finished / "model"), *small)
    train(read_experiment(experiment_file, changes), tmp_path / "run", progress=False)
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (finished, tmp_path / "run"))
    for name, tensor in after.items():
        kept = name.startswith(("features.", "decoder.of_zero."))
        assert not kept or torch.equal(tensor, before[name])
    assert any(name.startswith("prediction_features.") for name in after)
    rows = list(csv.DictReader((tmp_path / "run" / "logs" / "csv" / "version_0" / "metrics.csv").open()))
    assert len({row["val/initial_accuracy"] for row in rows if row["val/initial_accuracy"]}) == 1
    assert len({row["val/kl"] for row in rows if row["val/kl"]}) > 1
    assert "out-of-fold" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_on_predictions_all_of_the_network_comes_from_the_start(predictions, finished, experiment_file, tmp_path):
    changes = code_alone(predictions, str(finished / "model"), "model.width=8")
    with pytest.raises(CheckpointError, match=r"features\..* fits this \[model\]"):
        train(read_experiment(experiment_file, changes), tmp_path, progress=False)


def test_on_predictions_the_classes_of_the_start_are_those_of_the_data(predictions, experiment_file, tmp_path):
    with pytest.raises(CheckpointError, match="other classes"):
        train(read_experiment(experiment_file, code_alone(predictions, "streets")), tmp_path, progress=False)


@pytest.mark.parametrize("changes", [['start="streets"'], ['model.code_sees="prediction"']])
def test_predictions_without_a_model_whose_code_sees_them_are_refused(experiment_file, tmp_path, changes):
    with pytest.raises(ConfigError, match="name the model as start"):
        train(read_experiment(experiment_file, ['data.predictions="somewhere"', *changes]), tmp_path, progress=False)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_training_starts_from_a_hugging_face_backbone(experiment_file, tmp_path, frozen):
    from transformers import ResNetConfig, ResNetModel

    sizes = {"embedding_size": 4, "hidden_sizes": [4, 6, 8, 10], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    ResNetModel(ResNetConfig(**sizes)).save_pretrained(tmp_path / "resnet")
    changes = [
        "epochs=1",
        'model.backbone="huggingface"',
        "model.width=2",
        f'start="huggingface:{tmp_path / "resnet"}"',
    ]
    if frozen:
        parts = "features.bottleneck*", "features.up*", "features.stem*", "decoder*", "label_encoder*", "uncertainty*"
        changes.append(f"optimiser.parts={list(parts)}")
    train(read_experiment(experiment_file, changes), tmp_path / "run", progress=False)
    before = load_file(tmp_path / "resnet" / "model.safetensors")
    after = load_model(tmp_path / "run" / "model").model.features.encoder.state_dict()
    name = next(name for name in before if name.endswith("normalization.weight"))  # not in 8 bits
    assert torch.allclose(after[name], before[name], atol=1e-3) == frozen
