"""Maps of one image compared: before and after a refinement, and samples with each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.ndimage import binary_dilation

from segcode.classes import ClassSet
from segcode.export.picture import heat, overlay
from segcode.export.sheet import Panel, Sheet, sheet
from segcode.tensors import IGNORE, Image, LabelImage

_OPACITY = 0.7  # in small panels colours must be found again in the legend
_FAINT = 0.3
_RIGHT_NOW = (0, 158, 115)  # distinct for the colour-blind, too (Okabe and Ito 2008)
_WRONG_NOW = (213, 94, 0)


def before_after(
    image: Image,
    before: LabelImage,
    after: LabelImage,
    labelled: Bool[ndarray, "H W"],
    uncertainty: Float[ndarray, "H W"],
    classes: ClassSet,
    labels: LabelImage | None = None,
) -> Sheet:
    """A sheet: the image with the labelled pixels, the maps before and after, the change, and the uncertainty.

    The labelled pixels stand in `after` as given; uncertainty is that of `after`, such as its entropy. With the exact
    labels the titles have the accuracy, and changes are right or wrong.
    """
    if labels is None:
        titles, change = ("before", "after"), Panel("changed to", changed(image, before, after, classes))
    else:
        titles = (f"before: {_accuracy(before, labels)} right", f"after: {_accuracy(after, labels)} right")
        change = Panel("green: now right, orange: now wrong", corrections(image, before, after, labels))
    panels = [
        Panel("image and labels", with_labelled(image, after, labelled, classes)),
        Panel(titles[0], overlay(image, classes.colourise(before), _OPACITY)),
        Panel(titles[1], overlay(image, classes.colourise(after), _OPACITY)),
        change,
        Panel("uncertainty", heat(uncertainty)),
    ]
    return sheet(panels, 3, classes, _present(before, after))


def sample_sheet(image: Image, samples: Sequence[LabelImage], classes: ClassSet) -> Sheet:
    """A sheet: the image, each sample over it, and where they disagree (bright)."""
    panels = [Panel("image", image)]
    panels += [Panel(f"sample {i}", overlay(image, classes.colourise(s), _OPACITY)) for i, s in enumerate(samples, 1)]
    panels.append(Panel("where they differ", heat(disagreement(samples, len(classes)), 1.0)))
    return sheet(panels, 3, classes, _present(*samples))


def with_labelled(image: Image, labels: LabelImage, labelled: Bool[ndarray, "H W"], classes: ClassSet) -> Image:
    """The image with the labelled pixels in the colours of their classes, and a white rim around them."""
    picture = image.copy()
    picture[binary_dilation(labelled, iterations=max(1, image.shape[1] // 200))] = 255
    picture[labelled] = overlay(image, classes.colourise(labels), _OPACITY)[labelled]
    return picture


def changed(image: Image, before: LabelImage, after: LabelImage, classes: ClassSet) -> Image:
    """A pale image; where the class changed, the colour of the new one."""
    return np.where((before != after)[..., None], classes.colourise(after), _pale(image))


def agreed(image: Image, one: LabelImage, other: LabelImage, classes: ClassSet) -> Image:
    """The classes that two maps agree on, faint over the image; a strong orange where they differ."""
    picture = overlay(image, classes.colourise(one), _FAINT)
    picture[one != other] = _WRONG_NOW
    return picture


def corrections(image: Image, before: LabelImage, after: LabelImage, labels: LabelImage) -> Image:
    """A pale image; green where a wrong class became right, red where a right one became wrong."""
    known = labels != IGNORE
    was, now = before == labels, after == labels
    picture = _pale(image)
    picture[known & now & ~was] = _RIGHT_NOW
    picture[known & was & ~now] = _WRONG_NOW
    return picture


def disagreement(samples: Sequence[LabelImage], classes: int) -> Float[ndarray, "H W"]:
    """The share of the samples, 0..1, that have another class than the most frequent one of the pixel."""
    votes = np.zeros(samples[0].shape)
    stack = np.stack(samples)
    for index in range(classes):
        votes = np.maximum(votes, (stack == index).mean(0))
    return 1 - votes


def _pale(image: Image) -> Image:
    grey = image.mean(2, keepdims=True) / 3 + 165
    return np.broadcast_to(grey, image.shape).astype(np.uint8)


def _accuracy(prediction: LabelImage, labels: LabelImage) -> str:
    known = labels != IGNORE
    return f"{100 * (prediction == labels)[known].mean():.1f} %"


def _present(*maps: LabelImage) -> list[int]:
    return [int(index) for index in np.unique(np.stack(maps)) if index != IGNORE]
