"""The structure of a PNG file, judged byte for byte before any library sees it.

PNG libraries disagree about damaged files, so the Python runners and the C++ program
(`chunks.cpp`) judge a file by the same rules in the same order and with the same words.
What is refused:

* chunks that are cut off, have a bad name or a bad CRC (ancillary ones too), are
  critical and unknown, repeated (IHDR, PLTE, tRNS), or out of order;
* an IHDR with an illegal value, no pixels, or more than the limits below;
* a PLTE of an impossible length, missing for a palette or present for grey; a
  tRNS of an impossible length, or beside an alpha channel;
* pixel data that is not one whole zlib stream of exactly the size that IHDR
  asks for, with filters 0 to 4 (and, in `images.py`, no index beyond PLTE).

Bytes after IEND are ignored; an animated PNG is read as its still image.
"""

import functools
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MAX_FILE = 2**28  # bytes: 256 MiB
MAX_SIDE = 2**16  # pixels
MAX_PIXELS = 2**26

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"  # the whole chunk
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
_DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGB_ALPHA: (8, 16),
}
# Adam7, a digit each: first column, first row, step between columns, step between rows.
_ADAM7 = ("0088", "4088", "0448", "2044", "0224", "1022", "0112")


class ImageError(Exception):
    """A file that is not read; its text is one line that names file and reason."""


class Header(NamedTuple):
    """The values of IHDR, all legal."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool


class Checked(NamedTuple):
    """A PNG of which every byte has been judged.

    Attributes:
        header: The values of IHDR.
        palette: Colours of PLTE, three bytes an entry; None without one.
        transparency: The body of tRNS; None without one.
        rows: Filtered rows of all passes, each behind its filter byte.
    """

    header: Header
    palette: bytes | None
    transparency: bytes | None
    rows: bytes


def check(data: bytes) -> Checked:
    """Judge the signature, chunks and their order, then the pixel data that they hold.

    Raises:
        ImageError: If `data` is not a sound PNG, or exceeds a limit.
    """
    if len(data) > MAX_FILE:
        raise ImageError(f"more than {MAX_FILE} bytes, which is the limit")
    if not data:
        raise ImageError("the file is empty")
    if not data.startswith(_SIGNATURE):
        raise ImageError("not a PNG file")
    return _plain(data) or _any(data)


def _plain(data: bytes) -> Checked | None:
    """Return what `_any` does, quickly, for files of three chunks; None for all others."""
    length = int.from_bytes(data[33:37], "big")
    end = 41 + length
    if data[37:41] != b"IDAT" or data[end + 4 : end + 16] != END:
        return None
    header = _header_chunk(data[8:33])
    if header is None or header.colour == PALETTE:
        return None
    if zlib.crc32(data[37:end]) != int.from_bytes(data[end : end + 4], "big"):
        return None
    return Checked(header, None, None, _inflate(header, data[41:end]))


@functools.lru_cache(maxsize=64)
def _header_chunk(chunk: bytes) -> Header | None:
    """Return the values of a whole IHDR chunk of 25 bytes; None if it is not one, or not sound."""
    if chunk[:8] != b"\0\0\0\rIHDR" or zlib.crc32(chunk[4:21]) != int.from_bytes(chunk[21:], "big"):
        return None
    try:
        return _header(memoryview(chunk)[8:21])
    except ImageError:
        return None


def _any(data: bytes) -> Checked:
    """Judge the chunks of a file that begins with the signature, and their order."""
    header: Header | None = None
    single: dict[bytes, bytes] = {}
    parts: list[memoryview] = []
    last = b""
    for name, body in _chunks(data):
        if header is None:
            if name != b"IHDR":
                raise ImageError("the first chunk is not IHDR")
            header = _header(body)
        elif name == b"IDAT":
            if parts and last != b"IDAT":
                raise ImageError("IDAT chunks are not in one row")
            parts.append(body)
        elif name in (b"PLTE", b"tRNS"):
            if name in single or parts or (name == b"PLTE" and b"tRNS" in single):
                raise ImageError(f"{name.decode()} is repeated or out of order")
            single[name] = bytes(body)
            _check_colours(header, name, single)
        elif name == b"IEND":
            if len(body):
                raise ImageError("IEND is not empty")
        elif not name[0] & 0x20:
            raise ImageError(f"unknown or repeated critical chunk {name.decode()}")
        last = name
    if header is None or not parts:
        raise ImageError("no IDAT chunk")
    if header.colour == PALETTE and b"PLTE" not in single:
        raise ImageError("no PLTE chunk")
    rows = _inflate(header, parts[0] if len(parts) == 1 else b"".join(parts))
    return Checked(header, single.get(b"PLTE"), single.get(b"tRNS"), rows)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield name and body of each chunk up to IEND, all of them whole."""
    view = memoryview(data)
    size = len(data)
    at, name = len(_SIGNATURE), b""
    while name != b"IEND":
        if at + 12 > size:
            raise ImageError(f"truncated at byte {size}")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > size:
            raise ImageError(f"truncated at byte {size}")
        if not name.isalpha():
            raise ImageError(f"the chunk at byte {at} has no legal name")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ImageError(f"bad checksum in {name.decode()} at byte {at}")
        yield name, view[at + 8 : end]
        at = end + 4


def _header(body: memoryview) -> Header:
    """Return the values of IHDR if they are legal and within the limits."""
    if len(body) != 13:
        raise ImageError(f"IHDR has {len(body)} bytes, not 13")
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if depth not in _DEPTHS.get(colour, ()):
        raise ImageError(f"no PNG has colour type {colour} with {depth} bits")
    if packing or filtering or interlace > 1:
        raise ImageError(f"unknown method in IHDR: {packing}, {filtering}, {interlace}")
    if not width or not height:
        raise ImageError(f"no pixels: {width} x {height}")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        limit = f"{MAX_SIDE} a side and {MAX_PIXELS} in all"
        raise ImageError(f"{width} x {height} pixels, the limit is {limit}")
    return Header(width, height, depth, colour, bool(interlace))


def _check_colours(header: Header, name: bytes, single: dict[bytes, bytes]) -> None:
    """Judge the length of the PLTE or tRNS that has just been added to `single`."""
    length, colour = len(single[name]), header.colour
    palette = single.get(b"PLTE")
    if name == b"PLTE":
        entries = 2**header.depth if colour == PALETTE else 256
        legal = colour in (RGB, PALETTE, RGB_ALPHA)
        legal = legal and length % 3 == 0 and 3 <= length <= 3 * entries
    elif colour == PALETTE:
        legal = palette is not None and length <= len(palette) // 3
    else:
        legal = length == {GREY: 2, RGB: 6}.get(colour)
    if not legal:
        raise ImageError(
            f"{name.decode()} of {length} bytes is illegal for colour type {colour} "
            f"with {header.depth} bits"
        )


def _inflate(header: Header, packed: bytes | memoryview) -> bytes:
    """Return the filtered rows; never makes more than one byte too many."""
    passes = _passes(header)
    want = sum([rows * size for rows, size in passes])
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, want + 1)
    except zlib.error:
        raise ImageError("the compressed pixel data is damaged") from None
    if len(data) > want:
        raise ImageError(f"more pixel data than the {want} bytes that IHDR asks for")
    if not stream.eof:
        raise ImageError("the compressed pixel data is truncated")
    if len(data) < want:
        raise ImageError(f"{len(data)} bytes of pixel data, IHDR asks for {want}")
    if stream.unused_data:
        raise ImageError("bytes follow the compressed pixel data")
    at = 0
    for rows, size in passes:
        if max(data[at : at + rows * size : size]) > 4:
            raise ImageError("a row has an unknown filter")
        at += rows * size
    return data


@functools.lru_cache(maxsize=64)
def _passes(header: Header) -> list[tuple[int, int]]:
    """Return rows and bytes a row, filter byte included, of each pass with pixels."""
    bits = header.depth * CHANNELS[header.colour]
    passes = []
    for digits in _ADAM7 if header.interlaced else ("0011",):
        left, top, across, down = map(int, digits)
        columns = (header.width - left + across - 1) // across
        rows = (header.height - top + down - 1) // down
        if columns > 0 and rows > 0:
            passes.append((rows, 1 + (columns * bits + 7) // 8))
    return passes
