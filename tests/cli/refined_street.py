"""What a segmenter and its refinements give for an image; run by a process in which importing PyTorch fails."""

import sys
from time import perf_counter

import numpy as np
from PIL import Image as Pillow

from segcode import Refiner, Truth, mask_truth, open_segmenter, scribble_truth


def truths(size: tuple[int, int], classes: int) -> dict[str, Truth]:
    """A click, a mask of more cells than are solved for one by one, and a region with an outline."""
    mask = np.zeros(size, bool)
    mask[size[0] // 2 :, size[1] // 4 : size[1] // 2] = True
    click = scribble_truth([(size[0] // 3, size[1] // 3)], 1, classes, size, radius=3.0)
    outlined = mask_truth(mask, 2, classes, "outline")
    return {"click": click, "mask": mask_truth(mask, 2, classes), "both": outlined + click}


def refined(refiner: Refiner, image: np.ndarray) -> dict[str, np.ndarray]:
    """Logits and labels before and after each truth, the milliseconds of each, and a sample."""
    first = refiner.set_image(image)
    found = {"first logits": first.logits, "first labels": first.labels}
    for name, truth in truths(image.shape[:2], len(first.logits)).items():
        refiner.refine(truth)
        began = perf_counter()
        result = refiner.refine(truth)
        found |= {f"{name} logits": result.logits, f"{name} labels": result.labels}
        found[f"{name} ms"] = np.array(1000 * (perf_counter() - began))
    return found | {"sample logits": refiner.sample(1)[0].logits}


def main() -> None:
    """Save what EXPORT gives for IMAGE to OUT."""
    export, image, out = sys.argv[1:]
    opened = open_segmenter(f"onnx:{export}")
    np.savez(out, **refined(Refiner(opened.segmenter), np.asarray(Pillow.open(image))), names=opened.classes.names)
    assert "torch" not in sys.modules
