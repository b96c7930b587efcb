"""Personas: files that a person writes, and the text that a model is sent."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from assistants.errors import FileError, UnknownNameError, UsageError
from assistants.messages import Sampling
from assistants.personas import Library, Persona, digest_of

EXPERTS = "art geography history literature math music philosophy physics science sport".split()
BASES = ("brief", "creative", "plain", "student", "teacher")


@pytest.fixture
def folder(here: Path) -> Path:
    made = here / "mine"
    made.mkdir()
    return made


def write(folder: Path, name: str, text: str) -> Persona:
    (folder / f"{name}.md").write_text(text, encoding="utf-8", newline="")
    return Library.default([folder]).find(name)


def test_every_packaged_persona_is_complete(here: Path) -> None:
    """Ten experts with a label, one line of description and a text, and the two controls."""
    library = Library.default()
    assert library.names() == sorted([*EXPERTS, "neutral", "none"])
    for persona in library.all():
        assert persona.label
        assert persona.description
        assert "\n" not in persona.description
        assert persona.variables == frozenset()
    texts = [library.find(name).system_prompt() for name in EXPERTS]
    assert all(text and len(text.split()) > 50 for text in texts)
    assert len(set(texts)) == len(EXPERTS)


def test_none_sends_no_system_message(here: Path) -> None:
    """No text is not an empty text: their digests differ."""
    none = Library.default().find("none")
    assert none.system_prompt() is None
    assert none.digest() == "none" != digest_of("")


@pytest.mark.parametrize("base", BASES)
def test_a_base_follows_the_persona_own_text(folder: Path, base: str) -> None:
    """The text that is sent ends in the base that the persona names."""
    persona = write(folder, "p", f"---\nbase: {base}\n---\nMine.")
    text = persona.system_prompt()
    assert text is not None
    assert text.startswith("Mine.\n\n")
    assert len(text) > 40


def test_neutral_text_is_cut_or_repeated_to_a_persona_length(here: Path) -> None:
    """Length cannot be mistaken for meaning: the control is as long as what it controls for."""
    library = Library.default()
    neutral = library.find("neutral")
    for name in EXPERTS:
        other = library.find(name)
        matched = neutral.matched_to(other, f"neutral-{name}")
        assert len((matched.text or "").split()) == len((other.text or "").split())
    long = Persona("long", "word " * 2000)
    assert len((neutral.matched_to(long, "n").text or "").split()) == 2000
    by_characters = neutral.matched_to(long, "n", len).text or ""
    assert 0 <= len("word " * 2000) - len(by_characters) < 30
    with pytest.raises(UsageError, match="has no text"):
        neutral.matched_to(library.find("none"), "n")


def test_an_edit_is_seen_at_the_next_use(folder: Path) -> None:
    """A persona is its file as it is now: no restart, no cache."""
    write(folder, "p", "One.")
    library = Library.default([folder])
    assert library.find("p").system_prompt() == "One."
    write(folder, "p", "Two.")
    assert library.find("p").system_prompt() == "Two."


def test_a_digest_is_of_the_text_that_is_sent(folder: Path) -> None:
    """A label changes nothing, a word or a variable's value everything."""
    one = write(folder, "p", "---\nlabel: A\nvars: {who: you}\n---\nHi {{ who }}.")
    two = write(folder, "q", "---\nlabel: B\n---\nHi you.")
    assert one.digest() == two.digest()
    assert one.digest({"who": "all"}) != two.digest()
    assert write(folder, "q", "Hi you!").digest() != two.digest()


def test_line_ends_of_windows_are_not_another_text(folder: Path) -> None:
    """The same persona saved on another system is the same persona."""
    unix = write(folder, "p", "---\nlabel: P\n---\nOne.\n\nTwo.\n")
    assert write(folder, "p", "---\r\nlabel: P\r\n---\r\nOne.\r\n\r\nTwo.\r\n").text == unix.text


def test_the_later_folder_wins(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Package, then personas/ here, then ASSISTANTS_PERSONAS, then --personas."""
    seen = []
    assert "painting" in (Library.default().find("art").text or "")
    for name in ("personas", "env", "asked"):
        Path(name).mkdir()
        write(Path(name), "art", f"From {name}.")
        if name == "env":
            monkeypatch.setenv("ASSISTANTS_PERSONAS", "env")
        found = Library.default(["asked"] if name == "asked" else []).find("art")
        seen.append((found.text, found.source))
    assert seen == [(f"From {n}.", f"{n}/art.md") for n in ("personas", "env", "asked")]


def test_a_folder_that_was_asked_for_must_be_there(here: Path) -> None:
    """A mistyped folder is an error, not an empty library."""
    with pytest.raises(FileError, match="nowhere"):
        Library.default(["nowhere"])


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("---\nlable: X\n---\nHi", ":2", "'label'"),
        ("---\nlabel: X\nHi", ":1", "never closed"),
        ("---\nlabel: X\n---\n", "", "no text"),
        ("---\nempty: true\n---\nHi", ":2", "there is a text"),
        ("---\nbase: plian\n---\nHi", ":2", "'plain'"),
        ("---\nsampling: {temprature: 1}\n---\nHi", ":2", "'temperature'"),
        ("---\n\nsampling: {temperature: hot}\n---\nHi", ":3", "a number"),
        ("---\nsampling: {max_tokens: 1.5}\n---\nHi", ":2", "whole number"),
        ("---\nsampling: {seed: x}\n---\nHi", ":2", "whole number"),
        ("---\nsampling: {stop: 5}\n---\nHi", ":2", ""),
        ("---\nsampling: {stop: [5]}\n---\nHi", ":2", "stop must be texts"),
        ("---\nsampling: {top_p: .nan}\n---\nHi", ":2", "between 0 and 1"),
        ("H\0i", "", "NUL"),
    ],
)
def test_a_mistake_is_named_with_its_line(folder: Path, text: str, where: str, said: str) -> None:
    """Unknown keys and settings, a missing text, a wrong value: file, line, nearest word."""
    with pytest.raises(UsageError) as caught:
        write(folder, "p", text)
    assert f"mine/p.md{where}: " in str(caught.value)
    assert said in str(caught.value)


def test_own_sampling_is_a_default(folder: Path) -> None:
    """What a persona says about decoding holds unless somebody says more."""
    persona = write(folder, "p", "---\nsampling: {temperature: 1, stop: END}\n---\nHi")
    assert persona.sampling == Sampling(temperature=1.0, stop=("END",))
    assert Sampling(temperature=0.2).with_defaults(persona.sampling).stop == ("END",)


def test_unknown_names_show_the_nearest(here: Path) -> None:
    """A mistyped persona is refused with the one that was meant."""
    with pytest.raises(UnknownNameError, match=r"x.yaml:3: unknown persona 'phisics'.*'physics'"):
        Library.default().find("phisics", where="x.yaml:3")


def test_no_name_leads_out_of_the_folders(folder: Path) -> None:
    """A thousand made-up names find nothing outside of the folders: 0 escapes."""
    (folder.parent / "secret.md").write_text("secret")
    draw = random.Random(7)
    parts = ["..", "/", "secret", ".md", "\0", "~", "%2e%2e", "\\", "bases/", "mine", "*", " ", "."]
    library = Library.default([folder])
    for _ in range(1000):
        name = "".join(draw.choices(parts, k=draw.randint(1, 6)))
        with pytest.raises(UnknownNameError):
            library.find(name)


def test_no_link_leads_out_of_the_folders(folder: Path) -> None:
    """A link in a folder of personas, or of bases, cannot bring in a file from elsewhere."""
    secret = folder.parent / "secret.md"
    secret.write_text("secret")
    (folder / "p.md").symlink_to(secret)
    (folder / "circle.md").symlink_to("circle.md")
    (folder / "bases").mkdir()
    (folder / "bases" / "b.md").symlink_to(secret)
    library = Library.default([folder])
    assert not {"p", "circle"} & set(library.names())
    with pytest.raises(UsageError, match="unknown base"):
        write(folder, "q", "---\nbase: b\n---\nHi")


def test_paths_and_patterns_select(folder: Path) -> None:
    """An experiment may name personas by name, by pattern, and by path or pattern of files."""
    write(folder, "one", "1")
    write(folder, "two", "2")
    library, here = Library.default(), folder.parent

    def names(pattern: str) -> list[str]:
        return [p.name for p in library.select(pattern, folder=here)]

    assert names("mine/one.md") == ["one"]
    assert names("mine/*.md") == names(f"{folder}/*.md") == names("**/*.md") == ["one", "two"]
    assert names("m*") == ["math", "music"]
    bad_ones = "mine/none.md", "mine/x*.md", "z*", "mine/one", "/etc/passwd", "**.md/", "a\0/b.md"
    for bad in bad_ones:
        with pytest.raises(UsageError):
            names(bad)
