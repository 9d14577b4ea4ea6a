"""Memory of large images, each in a process of its own: that of the tests has seen larger ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

MEASURED = """
import re, sys
from pathlib import Path
import numpy as np
from segcode import Refiner, scribble_truth
from segcode.numbers import Numbers
from segcode.segmenters.from_arrays import ArraySegmenter

def memory(kind):
    return int(re.search(rf"{kind}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def begin():
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    return memory("VmRSS")

def small(image):
    return np.random.default_rng(0).normal(size=(8, 30, 40))

height, width = map(int, sys.argv[2:])
refiner = Refiner(small)
for size in ((400, 600), (height, width)):  # the first for what is loaded once
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    truth = scribble_truth([(size[0] // 2, size[1] // 2), (size[0] // 2 + 30, size[1] // 2)], 3, 8, size, radius=3)
    before = begin()
    refiner.set_image(image, "a")
    set_image, before = memory("VmHWM") - before, begin()
    refined = refiner.refine(truth)
    refined.labels
    stroke, before = memory("VmHWM") - before, begin()
    refined.entropy()
    print(set_image, stroke, memory("VmHWM") - before)
    refiner = Refiner(ArraySegmenter(Path(sys.argv[1]), Numbers()))
"""


def measured(folder, size: tuple[int, int]) -> list[int]:
    """Bytes that `set_image`, a stroke with its labels, and the entropy add to the memory of a process."""
    command = [sys.executable, "-c", MEASURED, str(folder), *map(str, size)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(number) for number in ran.stdout.splitlines()[-1].split()]


def test_a_stroke_on_logits_of_every_pixel_takes_a_part_of_their_memory(tmp_path):
    logits = np.random.default_rng(0).normal(0, 3, (8, 1500, 2000)).astype(np.float32)
    np.save(tmp_path / "a.npy", logits)
    set_image, stroke, entropy = measured(tmp_path, (1500, 2000))
    assert set_image < 2.8 * logits.nbytes
    assert stroke < 0.7 * logits.nbytes
    assert entropy < 0.7 * logits.nbytes


def test_a_file_of_logits_that_is_too_large_is_never_in_memory(tmp_path):
    size = (3000, 4000)
    logits = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float16, (8, *size))
    for number, plane in enumerate(logits):
        plane[:, number * 300 : (number + 1) * 300] = 5
    logits.flush()
    set_image, stroke, entropy = measured(tmp_path, size)
    assert set_image < 1.5 * logits.nbytes
    single = 4 * 8 * size[0] * size[1]  # bytes of a number for each class and pixel
    assert max(stroke, entropy) < 0.5 * single
