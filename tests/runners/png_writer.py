"""PNG files of every kind, written by hand after the specification, with their grey values.

Nothing here uses a PNG library or the code under test: a picture is a table of
samples, `write` makes the file, and `grey` works the decode rule out one pixel at a
time on the samples themselves.
"""

import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
KINDS = [(GREY, bits) for bits in (1, 2, 4, 8, 16)]
KINDS += [(PALETTE, bits) for bits in (1, 2, 4, 8)]
KINDS += [(colour, bits) for colour in (RGB, GREY_ALPHA, RGB_ALPHA) for bits in (8, 16)]
SIZES = [(1, 1), (2, 1), (1, 5), (3, 4), (5, 5), (8, 8), (9, 7), (33, 17)]
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
ADAM7 += ((0, 1, 1, 2),)  # first column, first row, step between columns, between rows
SIGNATURE = b"\x89PNG\r\n\x1a\n"

Chunk = tuple[bytes, bytes]  # name, body
Pixel = tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """Samples as a file stores them: `rows[y][x]` has one entry a channel."""

    colour: int
    depth: int
    interlaced: bool
    rows: list[list[Pixel]]
    palette: list[Pixel]
    transparency: bytes | None
    seed: int

    @property
    def name(self) -> str:
        """What tells one picture from the others, for a file's name."""
        clear = "none" if self.transparency is None else self.transparency[:6].hex()
        size = f"{len(self.rows[0])}x{len(self.rows)}"
        passes = "adam7" if self.interlaced else "plain"
        return f"colour{self.colour}-{self.depth}-{passes}-{size}-{clear}-{self.seed}"


def pictures() -> Iterator[Picture]:
    """Yield every colour type, depth, interlacing and transparency in several sizes."""
    seed = 0
    for colour, depth in KINDS:
        for interlaced in (False, True):
            for width, height in SIZES:
                for clear in (False, True) if colour in (GREY, RGB, PALETTE) else (False,):
                    seed += 1
                    yield picture(colour, depth, interlaced, width, height, clear, seed)


def picture(
    colour: int, depth: int, interlaced: bool, width: int, height: int, clear: bool, seed: int
) -> Picture:
    """Return a picture of seeded samples; if `clear`, some of them are transparent."""
    rng = random.Random(seed)
    palette: list[Pixel] = []
    most = 2**depth - 1
    if colour == PALETTE:
        entries = rng.randint(1, 2**depth)
        palette = [tuple(rng.randbytes(3)) for _ in range(entries)]
        most = entries - 1

    def sample() -> int:
        return rng.choice((0, most, rng.randint(0, most)))

    rows = [
        [tuple(sample() for _ in range(CHANNELS[colour])) for _ in range(width)]
        for _ in range(height)
    ]
    transparency = None
    if clear and colour == PALETTE:
        transparency = rng.randbytes(rng.randint(0, len(palette)))
    elif clear:
        key = rng.choice(rng.choice(rows))
        transparency = struct.pack(f">{len(key)}H", *key)
        for row in rows:  # pixels that miss the key by the last bit alone
            for x in range(width):
                if rng.random() < 0.3:
                    row[x] = (key[0] ^ rng.randint(0, 1), *key[1:])
        if colour == GREY and depth < 16 and seed % 4 == 0:  # bits that readers must ignore
            transparency = struct.pack(">H", key[0] | 0xFFFF << depth & 0xFFFF)
    return Picture(colour, depth, interlaced, rows, palette, transparency, seed)


def grey(picture: Picture) -> bytes:
    """Return the grey values that the decode rule demands, row by row."""
    rgb = [_colour(picture, pixel) for row in picture.rows for pixel in row]
    return bytes(
        (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16 for red, green, blue in rgb
    )


def colours(picture: Picture) -> bytes:
    """Return the red, green and blue that the decode rule demands, pixel by pixel."""
    return bytes(v for row in picture.rows for pixel in row for v in _colour(picture, pixel))


def _colour(picture: Picture, pixel: Pixel) -> tuple[int, int, int]:
    depth, clear = picture.depth, picture.transparency
    alpha = 255
    if picture.colour == PALETTE:
        red, green, blue = picture.palette[pixel[0]]
        if clear is not None and pixel[0] < len(clear):
            alpha = clear[pixel[0]]
    else:
        if clear is not None:
            key = struct.unpack(f">{len(clear) // 2}H", clear)
            alpha = 0 if pixel == tuple(value % 2**depth for value in key) else 255
        eight = [v >> 8 if depth == 16 else v * {1: 255, 2: 85, 4: 17, 8: 1}[depth] for v in pixel]
        if picture.colour in (GREY_ALPHA, RGB_ALPHA):
            alpha = eight.pop()
        red, green, blue = eight if len(eight) == 3 else eight * 3
    red, green, blue = ((c * alpha + 255 * (255 - alpha) + 127) // 255 for c in (red, green, blue))
    return red, green, blue


def write(picture: Picture) -> bytes:
    """Return the file of a picture."""
    return join(chunks(picture))


def join(chunks: list[Chunk]) -> bytes:
    """Return the file of these chunks, each with a true length and checksum."""
    return SIGNATURE + b"".join(map(encode, chunks))


def encode(chunk: Chunk) -> bytes:
    """Return the bytes of one chunk."""
    name, body = chunk
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def chunks(picture: Picture) -> list[Chunk]:
    """Return the chunks of a picture, its data in one to three IDATs."""
    rng = random.Random(picture.seed)
    result = [(b"IHDR", header(picture))]
    if picture.palette:
        result.append((b"PLTE", bytes(value for entry in picture.palette for value in entry)))
    if picture.transparency is not None:
        result.append((b"tRNS", picture.transparency))
    data = zlib.compress(filtered(picture), rng.randint(0, 9))
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(0, 2)))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        result.append((b"IDAT", data[start:end]))
    return [*result, (b"IEND", b"")]


def header(picture: Picture, width: int | None = None, height: int | None = None) -> bytes:
    """Return the body of IHDR, if need be with other sizes than the true ones."""
    width = len(picture.rows[0]) if width is None else width
    height = len(picture.rows) if height is None else height
    kind = (picture.depth, picture.colour, 0, 0, picture.interlaced)
    return struct.pack(">IIBBBBB", width, height, *kind)


def filtered(picture: Picture) -> bytes:
    """Return all passes' rows, each filtered in one of the five ways."""
    rng = random.Random(picture.seed)
    step = max(1, CHANNELS[picture.colour] * picture.depth // 8)
    result = bytearray()
    for left, top, across, down in ADAM7 if picture.interlaced else ((0, 0, 1, 1),):
        above = b""
        for row in picture.rows[top::down]:
            pixels = row[left::across]
            if not pixels:
                continue
            bits = "".join(f"{v:0{picture.depth}b}" for pixel in pixels for v in pixel)
            bits += "".join(rng.choice("01") for _ in range(-len(bits) % 8))
            line = int(bits, 2).to_bytes(len(bits) // 8, "big")
            way = rng.randint(0, 4)
            result.append(way)
            result += _filter(way, line, above or bytes(len(line)), step)
            above = line
    return bytes(result)


def _filter(way: int, line: bytes, above: bytes, step: int) -> bytes:
    before, corner = bytes(step) + line, bytes(step) + above
    guess = {
        0: lambda a, b, c: 0,
        1: lambda a, b, c: a,
        2: lambda a, b, c: b,
        3: lambda a, b, c: (a + b) // 2,
        4: _paeth,
    }[way]
    near = zip(line, before, above, corner, strict=False)
    return bytes((x - guess(a, b, c)) % 256 for x, a, b, c in near)


def _paeth(a: int, b: int, c: int) -> int:
    guess = a + b - c
    return min((abs(guess - a), 0, a), (abs(guess - b), 1, b), (abs(guess - c), 2, c))[2]
