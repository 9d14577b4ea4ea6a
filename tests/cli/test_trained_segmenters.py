"""Segmenters that are not segcode's, trained on drawn streets, on the command line alone.

`SEGCODE_SOAK=1` trains each network for minutes. With `-s` each test prints its accuracies.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from command_line import read, save, segcode
from PIL import Image as Pillow
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from other_segmenters import save_mask2former, save_segformer, write_onnx
from segcode.classes import CAMVID

STEPS, TRAIN, TEST = (1000, 240, 24) if os.environ.get("SEGCODE_SOAK") else (100, 40, 4)
"""Training steps of each network, streets to train on and to test on: some 10 s a network on one core, or minutes."""

BATCH = 8
ROWS, COLUMNS = 96, 128
"""Size that the networks see; the streets have 240 x 320 pixels."""

KINDS = ("onnx", "segformer", "mask2former", "arrays", "labels")
GAIN = 0.2
"""A trained network is right at least this much more often than the most frequent class."""
REMOVED = 0.15
"""Lowest share of the error that ten clicks remove; pasting them removes some 0.02."""


class Convolutions(nn.Module):
    """A small U-Net."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 48, 64)) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(below, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
            for below, width in zip((3, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(above + width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU())
            for above, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.logits = nn.Conv2d(widths[0], len(CAMVID), 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = [image]
        for layer in self.down:
            maps.append(layer(maps[-1]))
        top = maps.pop()
        for layer in self.up:
            top = layer(torch.cat([interpolate(top, scale_factor=2.0), maps.pop()], 1))
        return self.logits(top)


def training_pairs(streets: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images and labels of the streets to train on, and their mirror images."""
    images, labels = (
        [read(path) for path in sorted((streets / kind / "train").iterdir())] for kind in ("images", "labels")
    )
    return images + [np.fliplr(one).copy() for one in images], labels + [np.fliplr(one).copy() for one in labels]


def train(net: nn.Module, data: dict[str, Tensor | list[Tensor]], loss: Callable[..., Tensor], rate: float) -> None:
    """Take STEPS steps on random batches of `data`, whose values `loss` gets by their keys."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, STEPS)
    net.train()
    for _ in range(STEPS):
        chosen = torch.randint(2 * TRAIN, (BATCH,)).tolist()
        batch = {
            key: values[chosen] if isinstance(values, Tensor) else [values[index] for index in chosen]
            for key, values in data.items()
        }
        optimizer.zero_grad()
        loss(**batch).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    net.eval()


def train_transformers(kind: type, folder: Path, streets: Path, rate: float) -> None:
    """Train the model of a folder by its own loss, on what its image processor makes of the streets."""
    images, labels = training_pairs(streets)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    net = kind.from_pretrained(folder)
    data = processor(images=images, segmentation_maps=labels, return_tensors="pt")
    train(net, dict(data), lambda **batch: net(**batch).loss, rate)
    net.save_pretrained(folder)


def prepared(image: np.ndarray) -> np.ndarray:
    """Pixels as other_segmenters.PREPARED says, channels first."""
    small = np.asarray(Pillow.fromarray(image).resize((COLUMNS, ROWS), Pillow.Resampling.BILINEAR), np.float32)
    return ((small / 255 - (0.5, 0.4, 0.3)) / 0.25).astype(np.float32).transpose(2, 0, 1)


def train_onnx(path: Path, streets: Path) -> None:
    images, labels = training_pairs(streets)
    small = [np.asarray(Pillow.fromarray(one).resize((COLUMNS, ROWS), Pillow.Resampling.NEAREST)) for one in labels]
    data = {
        "image": torch.from_numpy(np.stack([prepared(one) for one in images])),
        "labels": torch.from_numpy(np.stack(small)).long(),
    }
    net = Convolutions()

    def loss(image: Tensor, labels: Tensor) -> Tensor:
        logits = interpolate(net(image), labels.shape[1:], mode="bilinear")
        return cross_entropy(logits, labels)

    train(net, data, loss, 5e-3)
    write_onnx(path, net, (1, 3, ROWS, COLUMNS))


def run(*arguments: object) -> None:
    ran = segcode(*arguments)
    assert ran.code == 0, ran.err


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Streets in two splits, and a folder or file for each of KINDS."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one gains little in small layers, and waits long where cores are busy
    root = tmp_path_factory.mktemp("trained")
    streets = root / "streets"
    for split, number, seed in (("train", TRAIN, 0), ("test", TEST, 1)):
        run("data", "draw", "-n", number, "--seed", seed, "--split", split, "-o", streets)
    save_segformer(root / "segformer", CAMVID.names, 16, (ROWS, COLUMNS))
    train_transformers(transformers.AutoModelForSemanticSegmentation, root / "segformer", streets, 3e-3)
    save_mask2former(root / "mask2former", CAMVID.names, 32, ROWS, 20)
    train_transformers(transformers.AutoModelForUniversalSegmentation, root / "mask2former", streets, 2e-3)
    train_onnx(root / "net.onnx", streets)
    session = onnxruntime.InferenceSession(root / "net.onnx")
    (root / "arrays").mkdir()
    for path in (streets / "images" / "test").iterdir():
        (logits,) = session.run(None, {"image": prepared(read(path))[None]})
        np.save(root / "arrays" / f"{path.stem}.npy", logits[0].astype(np.float16))
    run("export", *streets_of(root), *given(root, "onnx"), "-o", root / "labels")
    yield root
    torch.set_num_threads(threads)


def streets_of(root: Path) -> list[object]:
    """The options that name the streets to test on."""
    return ["--data", "folder", "--root", root / "streets", "--split", "test"]


def given(root: Path, kind: str) -> list[object]:
    """The options that name a segmenter."""
    match kind:
        case "onnx":
            return ["--segmenter", f"onnx:{root / 'net.onnx'}", "--classes", "camvid"]
        case "arrays":
            return ["--segmenter", f"arrays:{root / 'arrays'}", "--classes", "camvid"]
        case "labels":
            return ["--segmenter", f"labels:{root / 'labels'}", "--classes", "camvid", "--confidence", 0.8]
        case _:
            return ["--segmenter", f"transformers:{root / kind}"]


def accuracy(folder: Path, truth: dict[str, np.ndarray]) -> float:
    return float(np.mean([read(folder / f"{name}_labels.png") == labels for name, labels in truth.items()]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_segmenter_is_predicted_clicked_and_exported(made, tmp_path, kind):
    images, segmenter = made / "streets" / "images" / "test", given(made, kind)
    truth = {path.stem: read(path) for path in (made / "streets" / "labels" / "test").iterdir()}
    run("predict", images, *segmenter, "-o", tmp_path / "predicted")
    run("export", *streets_of(made), *segmenter, "-o", tmp_path / "exported")
    for name in truth:
        exported = read(tmp_path / "exported" / f"{name}.png")
        assert np.array_equal(exported, read(tmp_path / "predicted" / f"{name}_labels.png"))
    before = accuracy(tmp_path / "predicted", truth)
    most_frequent = np.bincount(np.stack(list(truth.values())).ravel()).max() / sum(map(np.size, truth.values()))
    assert before > most_frequent + GAIN

    run("clicks", *streets_of(made), *segmenter, "--clicks", 10, "-o", tmp_path / "clicks")
    curve = {
        (row["method"], row["amount"]): row
        for row in json.loads((tmp_path / "clicks" / "results.json").read_text())["rows"]
        if (row["protocol"], row["pixels"]) == ("clicks", "all")
    }
    right = [curve[point]["pixel_accuracy"] for point in (("segcode", 0), ("pasted", 10), ("segcode", 10))]
    print(f"\n{kind}: most frequent class {most_frequent:.4f}, initial {right[0]:.4f}", end=", ")
    print(f"ten clicks pasted {right[1]:.4f}, refined {right[2]:.4f}")
    assert right[0] == pytest.approx(before)
    assert curve["segcode", 10]["error_removed"] > max(REMOVED, 2 * curve["pasted", 10]["error_removed"])

    known = np.zeros((240, 320), bool)
    known[20::40, 20::40] = True
    for name, labels in truth.items():
        save(tmp_path / "partial" / f"{name}.png", np.where(known, labels, np.uint8(255)))
    run("refine-folder", images, "--labels", tmp_path / "partial", *segmenter, "-o", tmp_path / "refined")
    assert accuracy(tmp_path / "refined", truth) > before + REMOVED * (1 - before)
    for name, labels in truth.items():
        assert np.array_equal(read(tmp_path / "refined" / f"{name}_labels.png")[known], labels[known])


@pytest.mark.parametrize(("kind", "same"), [("arrays", 0.998), ("labels", 1.0)])
def test_stored_outputs_of_a_network_give_its_maps(made, tmp_path, kind, same):
    """Arrays in half precision nearly, label maps exactly."""
    images = made / "streets" / "images" / "test"
    run("predict", images, *given(made, kind), "-o", tmp_path)
    for path in images.iterdir():
        own = read(tmp_path / f"{path.stem}_labels.png")
        assert (own == read(made / "labels" / path.name)).mean() >= same
