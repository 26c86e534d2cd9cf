"""Colours in C++: their luma is the grey that a slow reading of the specification gives."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(HERE)
    import png_writer


def test_the_luma_of_the_colours_of_every_kind_of_file_is_its_grey(
    png_grey: Path, tmp_path: Path
) -> None:
    pictures = list(png_writer.pictures())
    paths = [tmp_path / f"{picture.name}.png" for picture in pictures]
    for path, picture in zip(paths, pictures, strict=True):
        path.write_bytes(png_writer.write(picture))

    rest = subprocess.run([png_grey, "--rgb", *paths], capture_output=True, check=True).stdout

    wrong, coloured = [], 0
    for picture in pictures:
        height, width = len(picture.rows), len(picture.rows[0])
        head = f"P6\n{width} {height}\n255\n".encode()
        assert rest.startswith(head)
        size = 3 * height * width
        pixels = np.frombuffer(rest[len(head) : len(head) + size], np.uint8).reshape(-1, 3)
        rest = rest[len(head) + size :]
        luma = (pixels.astype(np.uint32) @ np.uint32([19595, 38470, 7471]) + 32768) >> 16
        if luma.astype(np.uint8).tobytes() != png_writer.grey(picture):
            wrong.append(picture.name)
        coloured += bool((pixels[:, :1] != pixels).any())
    assert rest == b""
    assert wrong == []
    assert len(pictures) > 350
    assert coloured > 100
