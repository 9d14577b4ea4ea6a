import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pictures import noise, png_chunk, save
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from segcode.classes import CAMVID, CITYSCAPES, ClassSet
from segcode.data.images import NOTE
from segcode.data.labels import encode_labels, read_colour_labels, read_index_labels, write_labels
from segcode.errors import DataError
from segcode.export.picture import write_picture
from segcode.tensors import IGNORE

TWO = ClassSet(("road", "car"), ((128, 64, 128), (0, 0, 142)), (0, 7))
IDS = {0: 0, 7: 1, 11: IGNORE}
CAMVID_IDS = {index: index for index in range(11)} | {11: IGNORE, IGNORE: IGNORE}


def read(path: Path) -> list[list[int]]:
    return read_index_labels(path, TWO, IDS).labels.tolist()


def with_palette(path: Path, indices: np.ndarray, colours: list[tuple[int, int, int]]) -> Path:
    picture = Pillow.fromarray(indices).convert("P")
    picture.putdata(indices.ravel().tolist())
    picture.putpalette([value for colour in colours for value in colour])
    picture.save(path)
    assert Pillow.open(path).mode == "P"
    return path


def grey_png(path: Path, values: np.ndarray, bits: int) -> Path:
    """A greyscale PNG with `bits` a pixel that stores these values."""

    height, width = values.shape
    rows = b""
    for row in values.tolist():
        number = int("".join(f"{value:0{bits}b}" for value in row).ljust(-(-width * bits // 8) * 8, "0"), 2)
        rows += b"\0" + number.to_bytes(-(-width * bits // 8))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b""))
    return path


def test_index_labels_become_train_ids(tmp_path: Path) -> None:
    assert read(save(tmp_path / "a.png", np.array([[0, 7, 11]], np.uint8))) == [[0, 1, IGNORE]]


def test_a_palette_that_is_not_of_the_classes_does_not_matter(tmp_path: Path) -> None:
    labels = np.array([[0, 7, 11]], np.uint8)
    colours = [tuple(colour) for colour in noise(1, 16, 1).reshape(-1, 3).tolist()]
    assert read(with_palette(tmp_path / "a.png", labels, colours)) == [[0, 1, IGNORE]]


def test_unknown_ids_are_all_listed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 3, 250]], np.uint8))
    with pytest.raises(DataError, match=r"a\.png has the ids 3, 250, .* \(those are 0, 7, 11\)"):
        read(path)


@pytest.mark.parametrize(("pixels", "mode"), [(noise(0), "RGB"), (np.zeros((2, 2, 4), np.uint8), "RGBA")])
def test_labels_in_colours_are_refused_with_the_cure(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    with pytest.raises(DataError, match=rf"a\.png has pixels of mode {mode}: .* save the ids as greyscale \(L\) PNG"):
        read(save(tmp_path / "a.png", pixels))


def test_labels_as_jpeg_are_refused_whatever_the_file_is_called(tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png", "JPEG")
    with pytest.raises(DataError, match="is a JPEG, which changes ids: save labels as greyscale"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_ids_are_read_as_they_are_stored_in_any_number_of_bits(tmp_path: Path, bits: int) -> None:
    path = grey_png(tmp_path / "a.png", np.array([[0, 2, 1, 3], [2, 2, 3, 0]]), bits)
    labels, notes, _ = read_index_labels(path, CAMVID, CAMVID_IDS)
    assert labels.tolist() == [[0, 2, 1, 3], [2, 2, 3, 0]]
    assert notes == ()


def test_ids_that_a_program_stored_as_grey_values_of_fewer_bits_are_found(tmp_path: Path) -> None:
    path = grey_png(tmp_path / "a.png", np.array([[0, 1, 2]]), 4)
    wide = ClassSet(("a", "b", "c"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), (0, 17, 34))
    labels, notes, _ = read_index_labels(path, wide, {0: 0, 17: 1, 34: 2})
    assert labels.tolist() == [[0, 1, 2]]
    assert "is read by its grey values" in notes[0]


def test_few_bits_that_can_be_read_in_two_ways_are_refused(tmp_path: Path) -> None:
    path = grey_png(tmp_path / "a.png", np.array([[0, 1]]), 1)
    with pytest.raises(
        DataError, match=r"1-bit pixels, .* 1 is 'building' or void: save the ids as greyscale .* 8 bits"
    ):
        read_index_labels(path, CAMVID, CAMVID_IDS)


@pytest.mark.parametrize(("bits", "value"), [(4, 5), (16, 300), (16, 65535)])
def test_the_bits_are_named_where_ids_are_of_no_class(tmp_path: Path, bits: int, value: int) -> None:
    path = grey_png(tmp_path / "a.png", np.array([[0, value]]), bits)
    with pytest.raises(DataError, match=rf"has the ids {value} in {bits} bits, which are neither"):
        read(path)


def test_a_palette_of_the_classes_colours_in_another_order_is_refused(tmp_path: Path) -> None:
    labels = np.arange(11, dtype=np.uint8)[None]
    order = np.random.default_rng(0).permutation(11)
    path = with_palette(tmp_path / "a.png", labels, [CAMVID.colours[i] for i in order])
    with pytest.raises(DataError, match="has a palette, and its ids say other classes than its colours: 0 is 'sky' or"):
        read_index_labels(path, CAMVID, CAMVID_IDS)


@pytest.mark.parametrize("void", [(0, 0, 0), (255, 255, 255), (1, 2, 3)])
def test_ids_that_a_program_numbered_anew_are_refused_whatever_colour_void_has(
    tmp_path: Path, void: tuple[int, int, int]
) -> None:
    labels = np.array([[0, 1, 2]], np.uint8)  # were 3, 4, 255
    path = with_palette(tmp_path / "a.png", labels, [CAMVID.colours[3], CAMVID.colours[4], void])
    with pytest.raises(DataError, match="0 is 'sky' or 'road'"):
        read_index_labels(path, CAMVID, CAMVID_IDS)


def test_an_adaptive_palette_is_read_by_its_colours_where_its_ids_mean_nothing(tmp_path: Path) -> None:
    labels = np.repeat(np.array([[0, 1, 5, IGNORE]], np.uint8), 3, 0)
    path = tmp_path / "a.png"
    picture = Pillow.fromarray(CITYSCAPES.colourise(labels)).convert("P", palette=Pillow.Palette.ADAPTIVE, colors=16)
    picture.save(path)
    raw = {raw: index for index, raw in enumerate(CITYSCAPES.raw_ids)} | {255: IGNORE}
    found, notes, _ = read_index_labels(path, CITYSCAPES, raw)
    assert found.tolist() == labels.tolist()
    assert "is read by its colours" in notes[0]


def test_a_palette_in_the_classes_own_order_is_read_without_a_note(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8)[None]
    path = with_palette(tmp_path / "a.png", labels, [*CAMVID.colours, (0, 0, 0)])
    found, notes, _ = read_index_labels(path, CAMVID, CAMVID_IDS)
    assert found.tolist() == [[*range(11), IGNORE]]
    assert notes == ()


@given(data=st.data())
def test_permuting_a_palette_never_permutes_classes_in_silence(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    present = data.draw(st.lists(st.integers(0, 10), min_size=2, max_size=11, unique=True))
    order = data.draw(st.permutations(range(len(present))))
    indices = np.array([order], np.uint8)
    path = tmp_path_factory.getbasetemp() / "permuted.png"
    colours = [(0, 0, 0)] * len(present)
    for place, index in enumerate(order):
        colours[index] = CAMVID.colours[present[place]]
    with_palette(path, indices, colours)
    try:
        found = read_index_labels(path, CAMVID, CAMVID_IDS).labels
    except DataError:
        return
    assert found.tolist() == [present]


def test_an_unknown_colour_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[[1, 2, 3], [128, 0, 0]]], np.uint8))
    with pytest.raises(DataError, match=r"a\.png has 1 pixels in 1 colours of no class, first \(1, 2, 3\): .*"):
        read_colour_labels(path, {(128, 0, 0): 1})


def test_a_few_stray_colours_are_void_with_a_note_and_many_are_refused(tmp_path: Path) -> None:
    pixels = np.full((20, 20, 3), (128, 0, 0), np.uint8)
    pixels[0, :4] = (1, 2, 3)
    labels, notes, _ = read_colour_labels(save(tmp_path / "few.png", pixels), {(128, 0, 0): 1})
    assert (labels == IGNORE).sum() == 4
    assert notes == (
        f"{tmp_path / 'few.png'} has 4 pixels in 1 colours of no class, first (1, 2, 3): they count as void",
    )
    pixels[0, 4] = (1, 2, 3)
    with pytest.raises(DataError, match="must not be scaled smoothly or saved as JPEG"):
        read_colour_labels(save(tmp_path / "many.png", pixels), {(128, 0, 0): 1})


@pytest.mark.parametrize("raw", [False, True])
@given(labels=arrays(np.uint8, (4, 5), elements=st.sampled_from([*range(19), IGNORE])))
def test_a_label_file_that_segcode_wrote_is_read_by_the_names_of_its_classes(
    raw: bool, labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.png"
    path.write_bytes(encode_labels(labels, CITYSCAPES, raw))
    backwards = ClassSet(CITYSCAPES.names[::-1], CITYSCAPES.colours[::-1], tuple(range(100, 119)))
    found, notes, _ = read_index_labels(path, backwards, {100 + index: index for index in range(19)})
    assert np.array_equal(found, np.where(labels == IGNORE, IGNORE, 18 - labels.astype(int)))
    assert notes == ()


@given(labels=arrays(np.uint8, (4, 5), elements=st.sampled_from([*range(11), IGNORE])))
def test_making_a_file_smaller_does_not_change_the_classes_that_it_names(
    labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "smaller.png"
    path.write_bytes(encode_labels(labels, CAMVID))
    with Pillow.open(path) as picture:
        note = PngInfo()
        note.add_text(NOTE, picture.info[NOTE])
    present, indices = np.unique(labels, return_inverse=True)
    smaller = Pillow.fromarray(indices.reshape(labels.shape).astype(np.uint8)).convert("P")
    smaller.putdata(indices.ravel().tolist())
    smaller.putpalette(np.repeat(present, 3).tolist())
    smaller.save(path, pnginfo=note)
    assert np.array_equal(read_index_labels(path, CAMVID, CAMVID_IDS).labels, labels)


def test_few_bits_of_a_file_that_names_its_classes_are_grey_values(tmp_path: Path) -> None:
    labels = np.array([[0, IGNORE], [IGNORE, 0]], np.uint8)
    (tmp_path / "a.png").write_bytes(encode_labels(labels, CAMVID))
    with Pillow.open(tmp_path / "a.png") as picture:
        note = PngInfo()
        note.add_text(NOTE, picture.info[NOTE])
        picture.convert("1").save(tmp_path / "a.png", pnginfo=note)
    assert np.array_equal(read_index_labels(tmp_path / "a.png", CAMVID, CAMVID_IDS).labels, labels)


def test_a_label_file_that_segcode_wrote_for_other_classes_is_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.png", np.array([[0, 10]], np.uint8), CAMVID)
    with pytest.raises(
        DataError, match=r"a\.png was written for other classes, and has 'sky' \(known: road, car\): give"
    ):
        read(tmp_path / "a.png")


def test_a_label_file_is_greyscale_with_the_ids_as_its_values(tmp_path: Path) -> None:
    labels = np.array([[0, 10, IGNORE]], np.uint8)
    write_labels(tmp_path / "a.png", labels, CAMVID)
    with Pillow.open(tmp_path / "a.png") as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), labels)


def test_another_picture_that_segcode_made_is_no_label_file(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(DataError, match="is a picture that segcode made, and no label image"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"ids": {"x": "road"}, "void": 3}', '{"ids": {"0": 1}}', "\ud800"])
def test_a_damaged_declaration_is_refused(tmp_path: Path, text: str) -> None:
    content = encode_labels(np.zeros((3, 3), np.uint8), TWO)

    note = PngInfo()
    note.add_text(NOTE, text.encode("latin-1", "replace").decode("latin-1"))
    with Pillow.open(io.BytesIO(content)) as picture:
        picture.save(tmp_path / "a.png", pnginfo=note)
    with pytest.raises(DataError, match=r"a\.png is a picture that segcode made|does not declare"):
        read(tmp_path / "a.png")


def as_pgm(ids: np.ndarray, most: int, plain: bool) -> bytes:
    body = " ".join(map(str, ids.ravel())).encode() if plain else ids.tobytes()
    return f"P{2 if plain else 5} {ids.shape[1]} {ids.shape[0]} {most}\n".encode() + body


@given(arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 255])), st.integers(1, 255), st.booleans())
def test_ids_that_their_format_scales_are_never_read_as_others(tmp_path_factory, ids, most, plain):
    path = tmp_path_factory.mktemp("labels") / "a.png"
    ids = np.minimum(ids, most)
    path.write_bytes(as_pgm(ids, most, plain))
    try:
        labels = read_index_labels(path, TWO, {0: 0, 1: 1, IGNORE: IGNORE}).labels
    except DataError:
        assert most != 255
    else:
        assert np.array_equal(labels, ids)


def test_a_negative_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    save(path, np.array([[0, 7, 11]], np.uint8))
    photometric = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    content = path.read_bytes()
    assert content.count(photometric) == 1
    path.write_bytes(content.replace(photometric, struct.pack("<HHIHH", 262, 3, 1, 0, 0)))
    with pytest.raises(DataError, match=r"is a negative .* which changes ids: save labels as greyscale"):
        read(path)


def test_ids_in_a_tiff_are_refused_if_their_compression_changes_them(tmp_path):
    ids = np.random.default_rng(0).choice(np.array([0, 7, 11], np.uint8), (16, 16))
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        Pillow.fromarray(ids).save(tmp_path / "a.tif", compression=compression)
        assert np.array_equal(read_index_labels(tmp_path / "a.tif", TWO, {i: i for i in range(12)}).labels, ids)
    Pillow.fromarray(ids).save(tmp_path / "a.tif", compression="jpeg")
    with pytest.raises(DataError, match="a TIFF with the compression of JPEG, which changes ids"):
        read(tmp_path / "a.tif")


def test_labels_in_colours_of_any_format_are_refused_by_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    Pillow.fromarray(noise(0)).save(path, lossless=True)
    with pytest.raises(DataError, match="has pixels of mode RGB: labels are class ids in one channel"):
        read_index_labels(path, TWO, IDS)
