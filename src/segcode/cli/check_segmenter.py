"""`segcode check-segmenter`: whether a segmenter is connected as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from segcode.cli import options
from segcode.cli.loading import open_named

if TYPE_CHECKING:
    from segcode.segmenters.check import Checked

_SHOWN: Final = 4


def check_segmenter(
    segmenter: options.SegmenterArgument,
    images: options.Images,
    out: options.Out,
    classes: options.Classes = None,
    numbers: options.Numbers = None,
    confidence: options.Confidence = None,
    device: options.Device = "auto",
) -> None:
    """Show what a segmenter makes of four images, and what looks wrong.

    OUT gets check.png: the images, their maps in the colours of the classes, and the probability of the best class;
    look whether each colour of the legend lies on its class. check.txt, which is printed, has the range of the numbers,
    what they are taken for, the share of each class, and warnings. The four are evenly chosen from those given.
    """
    from segcode.data.files import find_images, image_names
    from segcode.data.images import read_image
    from segcode.export.picture import write_picture
    from segcode.files import write_text
    from segcode.segmenters.check import check, check_sheet, warnings_of

    paths = find_images(images)
    names = image_names(paths)
    shown = min(_SHOWN, len(paths))
    opened = open_named(segmenter, device, classes, numbers, confidence)
    chosen = [paths[number * len(paths) // shown] for number in range(shown)]
    checked = [check(opened, read_image(path), names[path]) for path in chosen]
    write_picture(out / "check.png", check_sheet(checked, opened.classes))
    lines = [f"{segmenter}, for {opened.purpose}", *_described(checked, opened.classes.names)]
    lines += [f"warning: {warning}" for warning in warnings_of(checked)] or ["nothing looks wrong"]
    write_text(out / "check.txt", "".join(f"{line}\n" for line in lines))
    for line in lines:
        typer.echo(line)
    typer.echo(f"Look at {out / 'check.png'}")


def _described(checked: list[Checked], names: tuple[str, ...]) -> list[str]:
    lines = [f"{one.name}: {one.found}: {one.found.meaning}" for one in checked]
    shares = (sum(one.shares[index] for one in checked) / len(checked) for index in range(len(names)))
    return [*lines, "share of the pixels:", *(f"  {s:6.1%}  {name}" for name, s in zip(names, shares, strict=True))]
