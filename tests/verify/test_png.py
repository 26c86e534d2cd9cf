"""The writer writes what Pillow reads, and reckons grey as a pixel-by-pixel reading does."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchcrate.verify.pictures import pictures
from torchcrate.verify.png import PALETTE, Png

PICTURES = pictures()


@pytest.mark.parametrize("png", PICTURES, ids=lambda png: png.name)
def test_pillow_reads_the_samples_and_the_transparency_that_were_written(png: Png) -> None:
    with Image.open(io.BytesIO(png.encode())) as image:
        read = np.array(image).astype(int).reshape(*png.samples.shape[:2], -1)
        clear = image.info.get("transparency")

    want = png.samples
    if png.depth == 16 and image.mode != "I;16":
        want = want >> 8  # all that Pillow keeps
        read = read[..., [0, 3]] if png.samples.shape[2] == 2 else read
    elif image.mode != "P":
        most = 1 if image.mode == "1" else 2**16 - 1 if image.mode == "I;16" else 255
        want = want * most // (2**png.depth - 1)
    assert np.array_equal(read, want)
    if png.palette is not None:
        assert image.getpalette() == png.palette.ravel().tolist()
    assert (clear is None) == (png.clear is None)
    if png.clear is not None and png.colour == PALETTE:
        # Pillow says a tRNS of one clear entry as that entry's index.
        assert clear == (0 if png.clear.tolist() == [0] else bytes(png.clear.tolist()))
    elif png.clear is not None:
        assert np.array_equal(clear, png.clear if len(png.clear) > 1 else png.clear[0])


@pytest.mark.parametrize("png", PICTURES, ids=lambda png: png.name)
def test_grey_is_what_the_decode_rule_says_of_each_pixel(
    png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "runners"))
    import png_writer

    clear = png.clear
    if clear is not None:
        clear = clear.astype(np.uint8 if png.colour == PALETTE else ">u2").tobytes()
    rows = [[tuple(pixel) for pixel in row] for row in png.samples.tolist()]
    palette = [] if png.palette is None else [tuple(entry) for entry in png.palette.tolist()]
    slow = png_writer.Picture(png.colour, png.depth, png.interlaced, rows, palette, clear, 0)
    sys.modules.pop("png_writer")

    assert png.grey().tobytes() == png_writer.grey(slow)
    assert png.grey().shape == (1, 1, *png.samples.shape[:2])


@pytest.mark.parametrize("png", PICTURES, ids=lambda png: png.name)
def test_all_five_filters_and_a_gamma_are_in_each_file(png: Png) -> None:
    data, at, chunks = png.encode(), 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length

    lines = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))

    assert [name for name, _ in chunks].count(b"IDAT") == 2
    assert (b"gAMA", struct.pack(">I", 100_000)) in chunks
    if not png.interlaced:
        assert set(lines[:: len(lines) // len(png.samples)]) == {0, 1, 2, 3, 4}
