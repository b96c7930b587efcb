"""Smaller PNG files, with the same pixels: vl-convert writes them for speed, not for size."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGBA = (8, 6, 0, 0, 0)
"""Bit depth, colour type, compression, filter method and interlacing of what vl-convert writes."""
_SUB = 1
"""The filter that stores each pixel as the difference from its left neighbour."""


def compress_png(data: bytes) -> bytes:
    """Return the same picture in fewer bytes, a quarter or fewer for a figure.

    Flat colours and text compress best as they are, so the differences between neighbours are
    undone; another kind of file than vl-convert's is compressed only. PNG specification, third
    edition, sections 5 and 9.
    """
    chunks = list(_chunks(data))
    width, height, *kind = struct.unpack(">IIBBBBB", chunks[0][1])
    content = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    if tuple(kind) == _RGBA:
        lines = np.frombuffer(content, np.uint8).reshape(height, 1 + 4 * width).copy()
        if (lines[:, 0] == _SUB).all():
            lines[:, 0] = 0
            pixels = lines[:, 1:].reshape(height, width, 4)
            lines[:, 1:] = pixels.cumsum(axis=1, dtype=np.uint8).reshape(height, -1)
            content = lines.tobytes()
    head, end = chunks[0], chunks[-1]
    beside = [chunk for chunk in chunks[1:-1] if chunk[0] != b"IDAT"]
    kept = [head, *beside, (b"IDAT", zlib.compress(content, level=9)), end]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in kept
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each chunk."""
    start = len(_SIGNATURE)
    while start < len(data):
        (length,) = struct.unpack(">I", data[start : start + 4])
        yield data[start + 4 : start + 8], data[start + 8 : start + 8 + length]
        start += 12 + length
