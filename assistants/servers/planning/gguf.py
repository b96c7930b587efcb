"""The header of a GGUF file: what it says of its model, and how many bytes its weights take.

The ``gguf`` package would do this too. It maps whatever lengths a file claims, and brings numpy
and requests along; a header needs a page of code, and every length in it is checked here.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from assistants.errors import FileError
from assistants.utils.config_files import display_path

MOST_ENTRIES = 100_000
"""Keys, or tensors. The largest published models have a few thousand."""

MOST_ITEMS = 4_000_000
"""Items of all lists together: a vocabulary has a few hundred thousand, in two or three lists."""

MOST_TEXT = 4_000_000
"""Bytes of one text; chat templates have some tens of thousands."""

MOST_PARTS = 1_000
"""Files that one model may be split into."""

_KEPT = 4_096
"""Longer lists are walked over and not kept: vocabularies, which no plan needs."""

_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9

TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    39: ("MXFP4", 32, 17),
}  # fmt: skip
"""Name, weights in a block, bytes of a block (ggml's own table)."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says: its values, the bytes of its tensors, and the type most of them have."""

    values: dict[str, Any]
    parameters: int
    size: int
    kind: str


def read(path: Path) -> Header:
    """The header of a GGUF file, or of all parts of one that was split.

    Raises
    ------
    FileError
        If it is no GGUF file, is cut short, or claims what no model has.
    """
    parts = _parts(path)
    headers = [_read_one(part) for part in parts]
    if len(headers) == 1:
        return headers[0]
    largest = max(headers, key=lambda header: header.size)
    return Header(
        headers[0].values,
        sum(header.parameters for header in headers),
        sum(header.size for header in headers),
        largest.kind,
    )


def _parts(path: Path) -> list[Path]:
    found = re.fullmatch(r"(.+)-[0-9]{5}-of-([0-9]{5})\.gguf", path.name)
    if not found:
        return [path]
    count = int(found[2])
    if not 1 <= count <= MOST_PARTS:
        raise FileError(
            display_path(path), f"claims {count:,} parts; at most {MOST_PARTS:,} are read."
        )
    names = [f"{found[1]}-{part:05}-of-{found[2]}.gguf" for part in range(1, count + 1)]
    return [path.with_name(name) for name in names]


def _read_one(path: Path) -> Header:
    where = display_path(path)
    try:
        if not path.is_file():
            raise FileError(where, "there is no such file.")
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size, where).header()
    except (OSError, ValueError) as error:
        raise FileError(where, f"cannot be read: {error}.") from None


class _Reader:
    """Walks through a header once; every length is checked before it is believed."""

    def __init__(self, file: IO[bytes], size: int, where: str) -> None:
        self.file, self.size, self.where = file, size, where
        self.items = 0

    def header(self) -> Header:
        if self.take(4) != b"GGUF":
            raise self.wrong("is no GGUF file.")
        version = self.number("I")
        if version not in (2, 3):
            raise self.wrong(f"GGUF version {version} is not read; versions 2 and 3 are.")
        tensors, keys = self.number("Q"), self.number("Q")
        if max(tensors, keys) > MOST_ENTRIES:
            raise self.wrong(f"claims {max(tensors, keys):,} entries; {MOST_ENTRIES:,} are read.")
        values: dict[str, Any] = {}
        for _ in range(keys):
            key = self.text()
            values[key] = self.value(self.number("I"))
        return self.weights(values, tensors)

    def weights(self, values: dict[str, Any], tensors: int) -> Header:
        sizes: dict[str, int] = {}
        parameters, whole = 0, True
        for _ in range(tensors):
            self.text()
            rank = self.number("I")
            if rank > 8:
                raise self.wrong(f"has a tensor of {rank} dimensions.")
            count = 1
            for _ in range(rank):
                count *= self.number("Q")
            kind = self.number("I")
            self.number("Q")  # where it starts: the sizes tell that too
            name, block, each = TYPES.get(kind, (f"type {kind}", 0, 0))
            whole &= bool(block)
            parameters += count
            sizes[name] = sizes.get(name, 0) + (-(-count // block) * each if block else count)
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 16:
            raise self.wrong("its alignment is no number between 1 and 65,536.")
        start = -(-self.file.tell() // alignment) * alignment
        size = max(0, self.size - start)
        if whole and sum(sizes.values()) > size:
            raise self.wrong(
                f"is cut short: its weights take {sum(sizes.values()):,} bytes, "
                f"and {size:,} are there."
            )
        kind_name = max(sizes, key=lambda name: sizes[name]) if sizes else "nothing"
        return Header(values, parameters, size, kind_name)

    def take(self, count: int) -> bytes:
        got = self.file.read(count) if count <= MOST_TEXT else b""
        if len(got) != count:
            raise self.wrong("ends in the middle of its header, or claims a text too long.")
        return got

    def number(self, form: str) -> Any:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int, *, inside: bool = False) -> Any:
        if kind in _FORMS:
            return self.number(_FORMS[kind])
        if kind == _TEXT:
            return self.text()
        if kind != _LIST or inside:
            raise self.wrong(f"has a value of kind {kind}, which is not read.")
        kind, count = self.number("I"), self.number("Q")
        self.items += count
        if self.items > MOST_ITEMS:
            raise self.wrong(f"has lists of more than {MOST_ITEMS:,} items.")
        if count <= _KEPT:
            return [self.value(kind, inside=True) for _ in range(count)]
        if kind in _FORMS:
            self.file.seek(struct.calcsize("<" + _FORMS[kind]) * count, 1)
            return None
        for _ in range(count):
            self.value(kind, inside=True)
        return None

    def wrong(self, said: str) -> FileError:
        return FileError(self.where, said, fix="Fetch it again, or plan with another file.")
