"""CamVid (Brostow, Fauqueur and Cipolla 2009) with the usual 11 classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from segcode.classes import CAMVID, Colour
from segcode.data.files import images_in, name_of
from segcode.data.labels import LabelFile, read_colour_labels, read_index_labels
from segcode.data.pairs import PairedFiles, pair_files, require_pairs
from segcode.errors import ConfigError, DataError, nearest
from segcode.tensors import IGNORE

SPLITS: Final = ("train", "val", "test")

ORIGINAL: Final[dict[str, tuple[Colour, str | None]]] = {
    "Animal": ((64, 128, 64), "pedestrian"),
    "Archway": ((192, 0, 128), "building"),
    "Bicyclist": ((0, 128, 192), "bicyclist"),
    "Bridge": ((0, 128, 64), "building"),
    "Building": ((128, 0, 0), "building"),
    "Car": ((64, 0, 128), "car"),
    "CartLuggagePram": ((64, 0, 192), "pedestrian"),
    "Child": ((192, 128, 64), "pedestrian"),
    "Column_Pole": ((192, 192, 128), "pole"),
    "Fence": ((64, 64, 128), "fence"),
    "LaneMkgsDriv": ((128, 0, 192), "road"),
    "LaneMkgsNonDriv": ((192, 0, 64), "road"),
    "Misc_Text": ((128, 128, 64), "sign"),
    "MotorcycleScooter": ((192, 0, 192), "bicyclist"),
    "OtherMoving": ((128, 64, 64), "car"),
    "ParkingBlock": ((64, 192, 128), "sidewalk"),
    "Pedestrian": ((64, 64, 0), "pedestrian"),
    "Road": ((128, 64, 128), "road"),
    "RoadShoulder": ((128, 128, 192), "sidewalk"),
    "SUVPickupTruck": ((64, 128, 192), "car"),
    "Sidewalk": ((0, 0, 192), "sidewalk"),
    "SignSymbol": ((192, 128, 128), "sign"),
    "Sky": ((128, 128, 128), "sky"),
    "TrafficCone": ((0, 0, 64), "pole"),
    "TrafficLight": ((0, 64, 64), "sign"),
    "Train": ((192, 64, 128), "car"),
    "Tree": ((128, 128, 0), "tree"),
    "Truck_Bus": ((192, 128, 192), "car"),
    "Tunnel": ((64, 0, 64), "building"),
    "VegetationMisc": ((192, 192, 0), "tree"),
    "Void": ((0, 0, 0), None),
    "Wall": ((64, 192, 0), "building"),
}
"""The 32 classes of the original labels: colours from the `label_colors.txt` that comes with them, and which of the 11
each belongs to, after SegNet (Badrinarayanan et al. 2017) as MathWorks' example "Semantic Segmentation Using Deep
Learning" (`camvidPixelLabelIDs`) lists it; only "Void" is left out."""

SEGNET_IDS: Final = {index: index for index in range(len(CAMVID))} | {len(CAMVID): IGNORE, IGNORE: IGNORE}
_ORIGINAL_IDS: Final = {colour: IGNORE if name is None else CAMVID.index(name) for colour, name in ORIGINAL.values()}


def open_camvid(root: Path, split: str) -> PairedFiles:
    """CamVid in whichever of its forms lies in `root`; samples are called as the image files ("0001TP_006690").

    - SegNet's: `train/`, `val/`, `test/` with labels of ids 0..11 in `trainannot/` and so on; 11 is void.
    - The same folders with labels `train_labels/NAME_L.png` and so on in 32 colours.
    - The original: `701_StillsRaw_full/NAME.png` and `LabeledApproved_full/NAME_L.png` in 32 colours. The split
      "all" is all of it; "train", "val" and "test" are what `train.txt` and so on in `root` list, a name a line.

    Raises:
        ConfigError: if there is no such split.
        DataError: if `root` has none of these forms, or a list names an image that is not there.
        UnpairedError: if several images or label files have one name, or labels have no image.
    """
    if (root / "701_StillsRaw_full").is_dir():
        return _open_original(root, split)
    if any((root / name).is_dir() for name in SPLITS):
        return _open_splits(root, split)
    raise DataError(
        f"{root} is not CamVid: it should have train/ and trainannot/ (SegNet's form) or train_labels/, "
        "or 701_StillsRaw_full/ and LabeledApproved_full/ (the original)"
    )


def _open_splits(root: Path, split: str) -> PairedFiles:
    there = [name for name in SPLITS if (root / name).is_dir()]
    if split not in there:
        raise ConfigError(f"{root} has no split '{split}': {nearest(split, there)}")
    read: Callable[[Path], LabelFile] = partial(read_index_labels, classes=CAMVID, train_ids=SEGNET_IDS)
    annotations, ending = root / f"{split}annot", ""
    if not annotations.is_dir():
        read = partial(read_colour_labels, train_ids=_ORIGINAL_IDS)
        annotations, ending = root / f"{split}_labels", "_L"
    pairs, problems = pair_files(images_in(root / split), annotations, ending)
    if pairs and not annotations.is_dir():
        raise DataError(f"{root} has {split}/ and no labels: add {split}annot/ (SegNet's ids) or {split}_labels/")
    return require_pairs(PairedFiles(CAMVID, tuple(pairs), read), problems, root / split)


def _open_original(root: Path, split: str) -> PairedFiles:
    images = images_in(root / "701_StillsRaw_full")
    pairs, problems = pair_files(images, root / "LabeledApproved_full", "_L")
    there = {pair.name: pair for pair in pairs}
    chosen = tuple(there[name] for name in _split_names(root, split, list(there)))
    return require_pairs(
        PairedFiles(CAMVID, chosen, partial(read_colour_labels, train_ids=_ORIGINAL_IDS)), problems, root
    )


def _split_names(root: Path, split: str, known: list[str]) -> list[str]:
    if split == "all":
        return known
    if split not in SPLITS:
        raise ConfigError(f"CamVid has no split '{split}': {nearest(split, (*SPLITS, 'all'))}")
    listing = root / f"{split}.txt"
    if not listing.is_file():
        raise ConfigError(f"{listing} is missing: list the images of '{split}' in it, a name a line, or use 'all'")
    lines = listing.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    names = [name_of(Path(line.strip())) for line in lines if line.strip()]
    if unknown := [name for name in names if name not in known]:
        raise DataError(f"{listing} names '{unknown[0]}', which is no image: {nearest(unknown[0], known)}")
    return names
