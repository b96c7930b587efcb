"""Folders of notes: what is read, how it is cut, and what is refused."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import FileError, UnknownNameError, UsageError
from assistants.personas import Library
from assistants.techniques import find_knowledge, read_corpus
from assistants.techniques.knowledge.chunks import MAX_CHARACTERS, Block, split_blocks
from support.pdf_files import page_stream, pdf_of_streams


def test_five_formats_are_read_with_place_and_headings(notes: Path) -> None:
    """Each chunk says in which file and line it stands, and below which headings."""
    corpus = read_corpus(notes)
    assert [source.name for source in corpus.sources] == [
        "accord.pdf",
        "buildings.csv",
        "carvonia.html",
        "moths.md",
        "towns/ostrelin.txt",
    ]
    found = {chunk.place: (chunk.heading, chunk.text) for chunk in corpus.chunks}
    assert found == {
        "accord.pdf, page 1": ("", "Treaties of the north"),
        "accord.pdf, page 2": ("", "The Tiller accord was signed\non 9 March 1871."),
        "buildings.csv:2": (
            "",
            "building: Brask tower; height: 217 metres; note: a line\nand another",
        ),
        "buildings.csv:4": ("", "building: Old mill; height: 12 metres"),
        "carvonia.html:3": ("Carvonia > Food", "The national dish is smoked quellberry & bread."),
        "carvonia.html:4": ("Carvonia > Money", "Coins are square."),
        "moths.md:6": ("Moths", "Moths fly at night."),
        "moths.md:10": (
            "Moths > Velmar lantern moth",
            "It glows green.\n\nIts maximum age is 41 days.",
        ),
        "moths.md:16": ("Moths > Dust moth", "It eats wool."),
        "towns/ostrelin.txt:1": (
            "",
            "A town on the river Sell.\n\nOstrelin was founded by Maruta Fenwick.",
        ),
    }


def test_a_hash_in_a_fence_is_no_heading(here: Path) -> None:
    """Code of a Markdown file stays whole, comments included."""
    (here / "n").mkdir()
    (here / "n" / "a.md").write_text(
        "# Install\n\n```sh\n# first\nmake\n```\n\n~~~\n``` \n# no heading\n~~~\n\n"
        "# Use ##\n\nok\n",
        encoding="utf-8",
    )
    chunks = read_corpus(here / "n").chunks
    assert [(c.heading, c.line) for c in chunks] == [("Install", 3), ("Use", 15)]
    assert "# no heading" in chunks[0].text


@given(st.text(st.sampled_from("ab. \n\u2028é"), max_size=4_000), st.integers(1, 50))
def test_no_text_is_lost_when_it_is_cut(text: str, line: int) -> None:
    """Laws: every chunk fits, stands where it says, and together they are the text."""
    chunks = split_blocks("a.txt", [Block(text, line)], join=False)
    assert all(0 < len(chunk.text) <= MAX_CHARACTERS for chunk in chunks)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(text.split())
    lines = text.split("\n")
    for chunk in chunks:
        assert chunk.text.split("\n")[0] in lines[chunk.line - line]


def test_an_edited_file_is_another_corpus_and_the_only_one_that_is_read_again(
    notes: Path, cache: Path
) -> None:
    """A digest of all that the folder says; documents are cached by content."""
    first = read_corpus(notes)
    cached = times(cache / "knowledge" / "documents")
    assert len(cached) == 5
    assert read_corpus(notes) == first
    (notes / "moths.md").write_text("# Moths\n\nNone are left.\n", encoding="utf-8")
    second = read_corpus(notes)
    after = times(cache / "knowledge" / "documents")
    assert second.digest != first.digest
    assert cached.items() <= after.items()
    assert len(after) == 6


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_damaged_cache_is_read_anew(notes: Path, cache: Path) -> None:
    """The cache holds nothing that cannot be had again."""
    first = read_corpus(notes)
    first.bm25.rank("moth", 5)
    for path in (cache / "knowledge").rglob("*.*"):
        if path.is_file():
            path.write_bytes(b"{")
    second = read_corpus(notes)
    assert second == first
    assert second.bm25.rank("moth", 5) == first.bm25.rank("moth", 5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.docx", b"PK", "pandoc or markitdown"),
        ("a.PNG", b"PNG", "docling"),
        ("a.exe", b"MZ", "Put its text into a file"),
        ("README", b"text", "Put its text into a file"),
        ("a.txt", b"\xff\xfe", "Save it as UTF-8"),
        ("a.md", b"one\0two", "NUL"),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv:2: expected 2 columns"),
        ("a.csv", b'a,b\n"1,2\n', "is not CSV"),
        ("a.pdf", b"no pdf at all", "cannot be read as PDF"),
    ],
)
def test_what_is_no_document_is_refused_by_name(
    notes: Path, name: str, content: bytes, message: str
) -> None:
    """Nothing is left out in silence: the error names the file, and what would read it."""
    (notes / name).write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_corpus(notes)
    assert name in str(caught.value)
    assert message in str(caught.value)


def test_a_scan_without_text_is_refused(here: Path) -> None:
    """Pictures of pages need OCR."""
    (here / "n").mkdir()
    (here / "n" / "scan.pdf").write_bytes(pdf_of_streams([b""]))
    with pytest.raises(FileError, match="ocrmypdf"):
        read_corpus(here / "n")


def test_bombs_are_refused_unread(notes: Path) -> None:
    """A sparse file of 200 MB, a zip bomb, and a PDF file that inflates to gigabytes."""
    with (notes / "big.txt").open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(FileError, match=r"big\.txt: 200,000,000 bytes"):
        read_corpus(notes)
    (notes / "big.txt").unlink()
    with zipfile.ZipFile(notes / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", bytes(10_000_000))
    with pytest.raises(FileError, match="nothing in it is opened"):
        read_corpus(notes)
    (notes / "bomb.zip").unlink()
    (notes / "bomb.pdf").write_bytes(pdf_of_streams([page_stream("hello") + b" " * 150_000_000]))
    with pytest.raises(FileError, match=r"bomb\.pdf: cannot be read as PDF"):
        read_corpus(notes)


@pytest.mark.parametrize("kind", ["file", "folder", "inside", "circle"])
def test_links_are_refused(notes: Path, here: Path, kind: str) -> None:
    """No link is followed: it could lead to any file of this machine."""
    (here / "secret.md").write_text("secret", encoding="utf-8")
    target = {"file": here / "secret.md", "folder": here, "inside": notes / "moths.md"}
    (notes / "link.md").symlink_to(target.get(kind, notes / "link.md"))
    with pytest.raises(FileError, match="is a link"):
        read_corpus(notes)


def test_a_pipe_is_not_waited_for(notes: Path) -> None:
    """A file that is none is refused at once."""
    os.mkfifo(notes / "pipe.txt")
    with pytest.raises(FileError, match="is not a file"):
        read_corpus(notes)


def test_an_empty_folder_is_an_error(here: Path) -> None:
    """Knowledge of nothing is a mistake, not an expert who knows nothing."""
    (here / "empty").mkdir()
    with pytest.raises(UsageError, match="no text"):
        read_corpus(here / "empty")
    with pytest.raises(FileError, match="no such folder"):
        read_corpus(here / "missing")


def test_a_persona_names_a_folder_beside_its_file(here: Path) -> None:
    """``knowledge:`` in the front matter, below the persona's folder or in ``knowledge/`` here."""
    (here / "mine" / "notes").mkdir(parents=True)
    (here / "knowledge" / "shared").mkdir(parents=True)
    (here / "mine" / "expert.md").write_text(
        "---\nknowledge: notes\n---\nYou know.\n", encoding="utf-8"
    )
    persona = Library.default([here / "mine"]).find("expert")
    assert persona.knowledge == "notes"
    assert persona.system_prompt() == "You know."
    assert find_knowledge("notes", persona.source).samefile(here / "mine" / "notes")
    assert find_knowledge("shared", persona.source).samefile(here / "knowledge" / "shared")
    with pytest.raises(UnknownNameError, match="'notes'"):
        find_knowledge("nots", persona.source)


@pytest.mark.parametrize("name", ["..", "../..", "/etc", "", ".", "notes/../../mine", "link"])
def test_no_name_leads_out_of_the_folders(here: Path, name: str) -> None:
    """A persona of a stranger names no file of this machine that is not beside it."""
    (here / "mine" / "notes").mkdir(parents=True)
    (here / "mine" / "link").symlink_to(here)
    with pytest.raises(UsageError, match="leads out of"):
        find_knowledge(name, str(here / "mine" / "expert.md"))
