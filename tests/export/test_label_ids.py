import numpy as np
import pytest
from PIL import Image as Pillow

from segcode.classes import CAMVID, CITYSCAPES
from segcode.data.labels import read_index_labels, write_labels
from segcode.export.picture import write_picture
from segcode.tensors import IGNORE


@pytest.mark.parametrize("classes", [CAMVID, CITYSCAPES])
def test_export_round_trips_ids(tmp_path, classes):
    labels = np.random.default_rng(0).integers(0, len(classes), (9, 7)).astype(np.uint8)
    labels[0] = IGNORE
    ids = dict(zip(classes.raw_ids or range(len(classes)), range(len(classes)), strict=True)) | {IGNORE: IGNORE}
    ids |= {classes.raw_void: IGNORE}
    write_labels(tmp_path / "new" / "a.png", labels, classes, raw=True)
    write_picture(tmp_path / "b.png", classes.to_raw(labels), result=False)
    for name in ("new/a.png", "b.png"):
        assert np.array_equal(read_index_labels(tmp_path / name, classes, ids).labels, labels)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(path, np.zeros((2, 2), np.uint8))
    before = path.read_bytes()

    def fail(self, file, **options):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Pillow.Image, "save", fail)
    with pytest.raises(OSError, match="No space"):
        write_picture(path, np.ones((2, 2), np.uint8))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
