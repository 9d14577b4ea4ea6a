import numpy as np
import pytest
from PIL import Image as Pillow

from segcode.classes import CAMVID, CITYSCAPES
from segcode.data.files import read_index_labels
from segcode.export.picture import write_picture


@pytest.mark.parametrize("classes", [CAMVID, CITYSCAPES])
def test_export_round_trips_ids(tmp_path, classes):
    labels = np.random.default_rng(0).integers(0, len(classes), (9, 7)).astype(np.uint8)
    write_picture(tmp_path / "new" / "a.png", classes.to_raw(labels))
    ids = dict(zip(classes.raw_ids or range(len(classes)), range(len(classes)), strict=True))
    assert np.array_equal(read_index_labels(tmp_path / "new" / "a.png", ids), labels)


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
