"""Documents of a knowledge folder: Markdown, text, HTML, CSV and PDF, read as blocks of text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from assistants.errors import FileError, MissingDependencyError
from assistants.techniques.knowledge.chunks import Block, Chunk, split_blocks
from assistants.techniques.knowledge.html_text import html_blocks

READER_VERSION = 1
"""Goes up whenever documents are read or cut otherwise: what was cached before is read anew."""

MAX_PAGES = 5_000
MAX_PDF_CHARACTERS = 20_000_000

_MARKDOWN_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_OTHER_READERS = {
    **dict.fromkeys(("docx", "doc", "odt", "rtf", "epub"), "pandoc or markitdown"),
    **dict.fromkeys(("pptx", "xlsx", "ppt", "xls", "msg"), "markitdown"),
    **dict.fromkeys(("png", "jpg", "jpeg", "tiff", "gif", "webp", "bmp"), "docling, which has OCR"),
    **dict.fromkeys(("zip", "gz", "tar", "tgz", "xz", "bz2", "7z", "rar"), ""),
    **dict.fromkeys(("tex", "rst", "org", "ipynb"), "pandoc"),
    **dict.fromkeys(("parquet", "jsonl", "json", "tsv", "sqlite", "db"), "pandas, to CSV"),
    **dict.fromkeys(("mp3", "wav", "mp4", "m4a", "mov"), "whisper"),
}


def check_kind(source: str, where: str) -> None:
    """Check that files of this kind are read.

    Raises
    ------
    FileError
        Naming what would read it.
    """
    kind = _kind(source)
    if kind in _READERS:
        return
    known = ", ".join(f".{name}" for name in _READERS)
    reader = _OTHER_READERS.get(kind)
    convert = f"Convert it to Markdown (with {reader})" if reader else "Put its text into a file"
    if reader == "":
        convert = "Unpack it: nothing in it is opened"
    raise FileError(
        where,
        f"files of this kind are not read, only {known}.",
        fix=f"{convert}, or move it out of the folder.",
    )


def read_document(source: str, raw: bytes, where: str) -> list[Chunk]:
    """Return the chunks of a document.

    Parameters
    ----------
    source
        Its path below the folder; the ending tells its kind.
    raw
        Its bytes.
    where
        Its path, for messages.

    Raises
    ------
    FileError
        If it is damaged, holds no text, or is of another kind.
    MissingDependencyError
        If it is a PDF file, and pypdf is not installed.
    """
    check_kind(source, where)
    kind = _kind(source)
    blocks = _READERS[kind](raw, where)
    return split_blocks(source, blocks, join=kind != "csv")


def _kind(source: str) -> str:
    return PurePosixPath(source).suffix.lower().removeprefix(".")


def _decode(raw: bytes, where: str) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(f"{where}:{line}", "is not UTF-8 text.", fix="Save it as UTF-8.") from None
    if "\0" in text:
        raise FileError(where, "holds a NUL character, so it is not text.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_text(raw: bytes, where: str) -> Iterator[Block]:
    return _paragraphs(_decode(raw, where).split("\n"), 1)


def _read_html(raw: bytes, where: str) -> list[Block]:
    return html_blocks(_decode(raw, where))


def _read_markdown(raw: bytes, where: str) -> Iterator[Block]:
    """Yield paragraphs below their headings; a ``#`` in a fence is no heading."""
    lines = _decode(raw, where).split("\n")
    first = _after_front_matter(lines)
    headings: dict[int, str] = {}
    pending: list[str] = []
    start, fence = first, ""
    for number in range(first, len(lines) + 1):
        line = lines[number] if number < len(lines) else "#"  # the end closes what is pending
        is_end = number == len(lines)
        heading = None if fence and not is_end else _MARKDOWN_HEADING.fullmatch(line)
        if heading is None:
            fence = _fence_after(fence, line)
            pending.append(line)
            continue
        yield from _paragraphs(pending, start + 1, tuple(headings.values()))
        pending, start = [], number + 1
        level = len(heading[1])
        headings = {k: v for k, v in headings.items() if k < level}
        headings[level] = heading[2] or ""


def _after_front_matter(lines: list[str]) -> int:
    """Return the index of the first line after YAML front matter, which is about the file."""
    if lines[0].rstrip() == "---":
        for number, line in enumerate(lines[1:], start=1):
            if line.rstrip() in ("---", "..."):
                return number + 1
    return 0


def _fence_after(fence: str, line: str) -> str:
    """Return the fence that is open after a line, or an empty text."""
    match = _FENCE.fullmatch(line)
    if match is None:
        return fence
    if not fence:
        return match[1]
    closes = match[1].startswith(fence) and not match[2].strip()
    return "" if closes else fence


def _paragraphs(
    lines: list[str], first: int, headings: tuple[str, ...] = (), page: int | None = None
) -> Iterator[Block]:
    """Yield blocks between blank lines; ``first`` is the number of the first line."""
    start = 0
    for number in range(len(lines) + 1):
        if number == len(lines) or not lines[number].strip():
            text = "\n".join(lines[start:number])
            if text.strip():
                yield Block(text, first + start, headings, page)
            start = number + 1


def _read_csv(raw: bytes, where: str) -> Iterator[Block]:
    """Yield a block per row, ``column: value`` each, since a row alone does not say what it is."""
    reader = csv.reader(io.StringIO(_decode(raw, where)), strict=True)
    try:
        header = next(reader, [])
        line = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                raise FileError(f"{where}:{line}", f"expected {len(header)} columns.")
            cells = zip(header, row, strict=False)
            text = "; ".join(f"{column}: {value}" for column, value in cells if value.strip())
            if text:
                yield Block(text, line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise FileError(f"{where}:{reader.line_num}", f"is not CSV: {error}.") from None


def _read_pdf(raw: bytes, where: str) -> list[Block]:
    try:
        import pypdf
    except ImportError:
        raise MissingDependencyError(
            f"{where}: a PDF file needs the package pypdf.",
            fix="pip install 'assistants[knowledge]'",
        ) from None
    blocks: list[Block] = []
    length = 0
    try:
        reader = pypdf.PdfReader(io.BytesIO(raw))
        if reader.is_encrypted:
            raise FileError(where, "is encrypted.", fix="Save a copy without a password.")
        if len(reader.pages) > MAX_PAGES:
            raise FileError(where, f"{len(reader.pages):,} pages; at most {MAX_PAGES:,} are read.")
        for number, page in enumerate(reader.pages, start=1):
            text = _storable(page.extract_text())
            length += len(text)
            if length > MAX_PDF_CHARACTERS:
                raise FileError(where, f"holds more than {MAX_PDF_CHARACTERS:,} characters.")
            blocks += _paragraphs(text.split("\n"), 1, page=number)
    except FileError:
        raise
    except Exception as error:  # a damaged or hostile file raises anything
        raise FileError(where, f"cannot be read as PDF: {type(error).__name__}: {error}") from None
    if not blocks:
        raise FileError(
            where, "holds no text, only pictures.", fix="Run OCR over it, as with ocrmypdf."
        )
    return blocks


def _storable(text: str) -> str:
    """Return text without what UTF-8 cannot hold, as a damaged font gives."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


_Reader = Callable[[bytes, str], Iterator[Block] | list[Block]]
_READERS: dict[str, _Reader] = {
    "md": _read_markdown,
    "markdown": _read_markdown,
    "txt": _read_text,
    "html": _read_html,
    "htm": _read_html,
    "csv": _read_csv,
    "pdf": _read_pdf,
}
