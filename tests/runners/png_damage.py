"""PNG files that are wrong in one known way, and files damaged at random by a seed."""

import random
import struct
import zlib
from collections.abc import Iterator

from png_writer import (
    GREY,
    PALETTE,
    RGB,
    RGB_ALPHA,
    SIGNATURE,
    Chunk,
    Picture,
    chunks,
    encode,
    filtered,
    header,
    join,
    picture,
    write,
)

END = (b"IEND", b"")


def refused() -> Iterator[tuple[str, str, bytes]]:
    """Yield name, a part of the reason that must be given, and bytes of each file."""
    grey = picture(GREY, 8, False, 9, 7, True, 1)
    head, clear, *data, end = chunks(grey)
    yield "empty", "the file is empty", b""
    yield "text", "not a PNG file", b"hello"
    yield "signature-only", "truncated at byte 8", SIGNATURE
    yield "jpeg", "not a PNG file", b"\xff\xd8\xff\xe0" + write(grey)
    yield "no-header", "the first chunk is not IHDR", join([clear, *data, end])
    yield "no-data", "no IDAT chunk", join([head, clear, end])
    yield "no-end", "truncated at byte", join([head, clear, *data])
    yield "late-header", "the first chunk is not IHDR", join([clear, head, *data, end])
    yield "two-headers", "unknown or repeated critical chunk IHDR", join([head, head, *data, end])
    yield "two-keys", "tRNS is repeated", join([head, clear, clear, *data, end])
    yield "late-key", "tRNS is repeated or out of order", join([head, *data, clear, end])
    yield "full-end", "IEND is not empty", join([head, *data, (b"IEND", b"x")])
    yield "split-data", "IDAT chunks are not in one row", join([head, *_apart(data), end])
    yield "critical", "unknown or repeated critical chunk ABCD", join([head, (b"ABCD", b""), *data])
    yield "bad-name", "has no legal name", join([head, (b"te t", b""), *data, end])
    yield "grey-palette", "PLTE of 3 bytes", join([head, (b"PLTE", b"abc"), *data, end])
    for length in (0, 1, 3, 6):
        key = (b"tRNS", bytes(length))
        yield f"key-{length}", f"tRNS of {length} bytes", join([head, key, *data, end])
    yield from _headers(grey)
    yield from _streams(grey)
    yield from _checksums(grey)
    yield from _colours()
    whole = write(grey)
    for size in range(len(SIGNATURE), len(whole)):
        yield f"cut-{size}", f"truncated at byte {size}", whole[:size]


def _apart(data: list[Chunk]) -> list[Chunk]:
    return [(b"IDAT", data[0][1][:9]), (b"tEXt", b"a\0b"), (b"IDAT", data[0][1][9:]), *data[1:]]


def _headers(grey: Picture) -> Iterator[tuple[str, str, bytes]]:
    """Yield files whose IHDR is wrong."""
    _, *rest = chunks(grey)
    body = header(grey)
    yield "header-12", "IHDR has 12 bytes", join([(b"IHDR", body[:12]), *rest])
    yield "header-14", "IHDR has 14 bytes", join([(b"IHDR", body + b"\0"), *rest])
    for width, height in ((0, 7), (9, 0), (0, 0)):
        file = join([(b"IHDR", header(grey, width, height)), *rest])
        yield f"size-{width}x{height}", "no pixels", file
    for width, height in ((65537, 1), (1, 65537), (8193, 8192), (2**32 - 1, 2**32 - 1)):
        file = join([(b"IHDR", header(grey, width, height)), *rest])
        yield f"size-{width}x{height}", "the limit is 65536 a side and 67108864 in all", file
    for depth in range(18):
        for colour in range(8):
            legal = depth in {0: (1, 2, 4, 8, 16), 3: (1, 2, 4, 8)}.get(colour, (8, 16))
            if colour not in (0, 2, 3, 4, 6) or not legal:
                file = join([(b"IHDR", body[:8] + bytes((depth, colour)) + body[10:]), *rest])
                yield f"kind-{colour}-{depth}", f"no PNG has colour type {colour}", file
    for place, values in ((10, (1, 255)), (11, (1, 64)), (12, (2, 255))):
        for value in values:
            changed = body[:place] + bytes([value]) + body[place + 1 :]
            yield f"method-{place}-{value}", "unknown method", join([(b"IHDR", changed), *rest])


def _streams(grey: Picture) -> Iterator[tuple[str, str, bytes]]:
    """Yield files whose pixel data is wrong."""
    head, end = (b"IHDR", header(grey)), END
    rows = filtered(grey)
    packed = zlib.compress(rows)

    def file(data: bytes) -> bytes:
        return join([head, (b"IDAT", data), end])

    damaged = "the compressed pixel data is damaged"
    yield "no-bytes", "pixel data is truncated", file(b"")
    yield "bad-adler", damaged, file(packed[:-1] + bytes([packed[-1] ^ 1]))
    yield "no-adler", "pixel data is truncated", file(packed[:-4])
    yield "cut-stream", "pixel data is truncated", file(packed[:-9])
    yield "not-zlib", damaged, file(b"hello, world")
    yield "raw-deflate", damaged, file(zlib.compress(rows, wbits=-15))
    yield "gzip", damaged, file(zlib.compress(rows, wbits=31))
    compressor = zlib.compressobj(zdict=b"0123456789")
    yield "dictionary", damaged, file(compressor.compress(rows) + compressor.flush())
    yield "after-stream", "bytes follow", file(packed + b"\0")
    yield "two-streams", "bytes follow", file(packed + packed)
    yield "short", "69 bytes of pixel data, IHDR asks for 70", file(zlib.compress(rows[:-1]))
    yield "long", "more pixel data than the 70 bytes", file(zlib.compress(rows + b"\0"))
    yield "bomb", "more pixel data than the 70 bytes", file(zlib.compress(bytes(2**26)))
    for row in (0, 3, 6):
        for value in (5, 255):
            changed = rows[: row * 10] + bytes([value]) + rows[row * 10 + 1 :]
            yield f"filter-{row}-{value}", "unknown filter", file(zlib.compress(changed))
    laced = picture(RGB, 8, True, 9, 7, False, 5)
    changed = filtered(laced)[:-28] + b"\x05" + filtered(laced)[-27:]
    pieces = [(b"IHDR", header(laced)), (b"IDAT", zlib.compress(changed)), end]
    yield "filter-last-pass", "unknown filter", join(pieces)


def _checksums(grey: Picture) -> Iterator[tuple[str, str, bytes]]:
    """Yield files with one wrong checksum, in each kind of chunk, ancillary ones too."""
    head, *rest = chunks(grey)
    pieces = [head, (b"gAMA", b"\0\0\xb1\x8f"), (b"abCd", b""), *rest[:-1], (b"tEXt", b"a\0b"), END]
    for i, (name, _) in enumerate(pieces):
        encoded = [encode(piece) for piece in pieces]
        encoded[i] = encoded[i][:-1] + bytes([encoded[i][-1] ^ 1])
        yield f"checksum-{i}", f"bad checksum in {name.decode()}", SIGNATURE + b"".join(encoded)


def _colours() -> Iterator[tuple[str, str, bytes]]:
    """Yield files whose PLTE or tRNS does not go with their colour type."""
    indexed = picture(PALETTE, 4, False, 9, 7, True, 3)
    head, colours, clear, *rest = chunks(indexed)
    entries = len(colours[1]) // 3
    yield "no-palette", "no PLTE chunk", join([head, *rest])
    yield "key-before-palette", "tRNS of", join([head, clear, colours, *rest])
    yield "late-palette", "PLTE is repeated", join([head, *rest[:-1], colours, END])
    yield "two-palettes", "PLTE is repeated", join([head, colours, colours, *rest])
    for length in (0, 1, 2, 4, 51):
        palette = (b"PLTE", bytes(length))
        yield f"palette-{length}", f"PLTE of {length} bytes", join([head, palette, *rest])
    long = (b"tRNS", bytes(entries + 1))
    yield "long-alpha", f"tRNS of {entries + 1} bytes", join([head, colours, long, *rest])
    most = max(pixel[0] for row in indexed.rows for pixel in row)
    few = (b"PLTE", colours[1][: 3 * most])
    yield "beyond-palette", f"palette index {most} is beyond PLTE", join([head, few, *rest])
    alpha = picture(RGB_ALPHA, 8, False, 9, 7, False, 4)
    head, *rest = chunks(alpha)
    yield "key-and-alpha", "tRNS of 6 bytes", join([head, (b"tRNS", bytes(6)), *rest])
    yield "palette-257", "PLTE of 771 bytes", join([head, (b"PLTE", bytes(771)), *rest])
    colour = picture(RGB, 8, False, 9, 7, True, 4)
    head, key, *rest = chunks(colour)
    palette = (b"PLTE", bytes(9))
    yield "palette-after-key", "PLTE is repeated", join([head, key, palette, *rest])


def harmless() -> Iterator[tuple[str, Picture, bytes]]:
    """Yield name, picture and bytes of sound files with more in them than pixels."""
    for grey in (picture(GREY, 8, False, 9, 7, True, 1), picture(RGB, 16, True, 9, 7, True, 2)):
        head, *rest = chunks(grey)
        kind = f"colour{grey.colour}"
        for name in (b"gAMA", b"iCCP", b"sRGB", b"cHRM", b"sBIT", b"bKGD", b"hIST", b"tIME"):
            for body in (b"", b"\0\0\0\1", bytes(range(99))):
                extra = (name, body)
                label = f"{kind}-{name.decode()}-{len(body)}"
                yield label, grey, join([head, extra, *rest])
                yield f"{label}-twice", grey, join([head, extra, extra, *rest])
        late = [(b"tEXt", b"a\0b"), (b"zTXt", b""), (b"eXIf", b"MM"), (b"abCd", b"")]
        yield f"{kind}-late", grey, join([head, *rest[:-1], *late, END])
        yield f"{kind}-after-end", grey, join([head, *rest]) + b"and then some"
        frames = (b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", bytes(26))
        yield f"{kind}-animated", grey, join([head, *frames, *rest[:-1], (b"fdAT", b"1234x"), END])
        yield f"{kind}-empty-data", grey, join([head, *rest[:-1], (b"IDAT", b""), END])
    colour = picture(RGB, 8, False, 9, 7, False, 4)
    head, *rest = chunks(colour)
    yield "suggested-palette", colour, join([head, (b"PLTE", bytes(9)), *rest])


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of files damaged at random, half of them with true checksums."""
    rng = random.Random(seed)
    for i in range(count):
        kind = rng.choice(
            ((GREY, 1), (GREY, 16), (RGB, 8), (PALETTE, 2), (PALETTE, 8), (RGB_ALPHA, 8))
        )
        whole = picture(*kind, rng.random() < 0.5, rng.randint(1, 9), rng.randint(1, 9), True, i)
        if rng.random() < 0.3:
            data = bytearray(write(whole))
            for _ in range(rng.randint(1, 3)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            yield f"bytes-{i}", bytes(data)
            continue
        pieces = chunks(whole)
        for _ in range(rng.randint(1, 2)):
            _mutate(pieces, rng)
        yield f"chunks-{i}", join(pieces)


def _mutate(pieces: list[Chunk], rng: random.Random) -> None:
    """Change one chunk in one way; its checksum will be true again."""
    at = rng.randrange(len(pieces))
    name, body = pieces[at]
    way = rng.choice(("byte", "byte", "byte", "data", "cut", "grow", "drop", "twice", "swap"))
    if way == "byte" and body:
        place = rng.randrange(len(body))
        pieces[at] = (name, body[:place] + rng.randbytes(1) + body[place + 1 :])
    elif way == "data" and name == b"IDAT":
        rows = bytearray(rng.randbytes(rng.randint(1, 60)))
        rows[0] = rng.randrange(6)
        pieces[at] = (name, zlib.compress(rows))
    elif way == "cut":
        pieces[at] = (name, body[: rng.randint(0, len(body))])
    elif way == "grow":
        pieces[at] = (name, body + rng.randbytes(rng.randint(1, 3)))
    elif way == "drop" and len(pieces) > 1:
        del pieces[at]
    elif way == "twice":
        pieces.insert(at, pieces[at])
    else:
        other = rng.randrange(len(pieces))
        pieces[at], pieces[other] = pieces[other], pieces[at]
