"""Files that people write are read with care and refused with file and line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assistants.errors import FileError
from assistants.utils.config_files import (
    StrictModel,
    check_name,
    display_path,
    parse_toml,
    parse_yaml,
    read_text,
    validate,
)


class Sheet(StrictModel):
    question: str
    repeats: int = 1
    both: tuple[str | dict[str, int], ...] = ()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: &x [1]\nb: *x", 1, "anchors"),
        ("a: 1\nb: !!python/object/apply:os.system [id]", 2, "tags"),
        ("a: !thing 1", 1, "tags"),
        ("a: !!str 1", 1, "tags"),
        ("%YAML 1.1\n---\nno: no", 2, "directives"),
        ("%TAG ! tag:x,2000:\n---\na: 1", 2, "directives"),
        ("a: 1\n<<: {b: 1}", 2, "merge"),
        ("? {a: 1}\n: x", 1, "a key is"),
        ("? [a, b]\n: x", 1, "a key is"),
        ("a: 1\nb: 2\na: 3", 3, "duplicate"),
        ("a: [1", 1, ""),
        ("a: b: c", 1, ""),
        ("a: 1\n\tb: 2", 2, ""),
        ("a: 1\n---\nb: 2", 2, ""),
        ("a: %x", 1, ""),
    ],
)
def test_a_bad_line_is_named(text: str, line: int | None, said: str) -> None:
    """Anchors, tags, repeated keys and broken syntax are refused with the line they are on."""
    with pytest.raises(FileError) as caught:
        parse_yaml(text, "x.yaml")
    assert caught.value.where == (f"x.yaml:{line}" if line else "x.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(50)),
        "[" * 50_000,
        "{a: " * 2_000,
        "- " * 3_000 + "x",
        "? " * 500 + "x",
        "a: " + "x" * 10 + "\n" + "\ufeff",
        "\0",
        "a: \x1b",
    ],
)
def test_a_bomb_is_refused_at_once(bomb: str) -> None:
    """Aliases that multiply, deep nesting and characters YAML forbids cost no time."""
    began = time.process_time()
    with pytest.raises(FileError):
        parse_yaml(bomb, "x.yaml")
    assert time.process_time() - began < 5


def test_too_much_yaml_is_refused_at_once() -> None:
    """What would take a minute to parse is refused, with the kind of file that does not."""
    with pytest.raises(FileError, match=r"501,000 characters.*\.csv"):
        parse_yaml("- a\n" * 125_250, "x.yaml")


def test_yaml_means_what_it_says() -> None:
    """Words, dates and times stay text; a base is only what YAML 1.2 says it is."""
    text = "no: NO\non: off\nday: 2001-01-02\nat: 12:30:45\nn: 010\n~: =\ne: =="
    assert parse_yaml(text, "x").data == {
        "no": "NO", "on": "off", "day": "2001-01-02", "at": "12:30:45", "n": 10, None: "=",
        "e": "==",
    }  # fmt: skip


@given(st.text("ab:-[]{}#&*!|>'\"%@?, \n<=~0._", max_size=40))
@example("-_")
def test_any_text_is_data_or_a_named_error(text: str) -> None:
    """No text in a file ends in anything but values with lines, or a FileError."""
    where = "x.yaml"
    try:
        validate(Sheet, parse_yaml(text, "x.yaml"))
    except FileError as error:
        where = error.where
    assert where.partition(":")[0] == "x.yaml"


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("question: x\nrepaets: 3", "x:2", "Did you mean 'repeats'?"),
        ("question: 3", "x:1", "question has to be text."),
        ("question: x\nrepeats: many", "x:2", "repeats has to be a whole number."),
        ("question: x\nrepeats: 1.5", "x:2", "repeats has to be a whole number."),
        ("repeats: 1", "x", "question is missing. Write `question` and its value."),
        ("question: x\nboth:\n- {a: x}", "x:3", "both.0"),
        ("question: x\n1: 2", "x:2", "unknown key 1"),
        ("- a", "x", "key: value"),
        ("", "x", "x: is empty."),
    ],
)
def test_a_wrong_value_is_named_with_its_line(text: str, where: str, said: str) -> None:
    """An unknown key or a value of the wrong kind names file, line and the nearest word."""
    with pytest.raises(FileError) as caught:
        validate(Sheet, parse_yaml(text, "x"))
    assert caught.value.where == where
    assert said in str(caught.value)


def test_a_file_for_another_command_is_told() -> None:
    """Servers given to ``run``, an experiment given to ``plan``."""
    with pytest.raises(FileError, match="assistants plan"):
        validate(Sheet, parse_yaml('[servers.a]\nmodel = "b"', "servers.toml"))
    with pytest.raises(FileError, match="assistants run"):
        parse_toml("personas: [none]\n", "tea.yaml")


def test_toml_errors_name_the_file() -> None:
    """A mistake in a models.toml is told with file and line."""
    with pytest.raises(FileError, match=r"m.toml: is not valid TOML.*line 2"):
        parse_toml("a = 1\nb = \nc = 2", "m.toml")


def test_unreadable_files_are_refused_with_a_reason(here: Path) -> None:
    """Missing, a folder, a device, a pipe, too large, not UTF-8: each says so."""
    Path("big").write_bytes(b"x" * 101)
    Path("latin").write_bytes(b"one\ntwo \xe9")
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("experiment.yaml").touch()
    for path, said in [
        ("big", "101 bytes"),
        ("latin", "latin:2: is not UTF-8"),
        (".", "is a folder. Name a file in it."),
        ("pipe", "not a file"),
        ("/dev/zero", "not a file"),
        ("loop", "cannot be read"),
        ("x" * 300, "cannot be read"),
        ("a\0b", "is not a path"),
        ("experimnt.yaml", "Did you mean 'experiment.yaml'"),
        ("nowhere/a.yaml", "no folder nowhere"),
    ]:
        with pytest.raises(FileError) as caught:
            read_text(Path(path), limit=100)
        assert said in str(caught.value)


def test_a_byte_order_mark_is_no_text(here: Path) -> None:
    """A file that an editor on Windows saved begins where its text begins."""
    Path("a").write_bytes(b"\xef\xbb\xbfhi")
    assert read_text(Path("a")) == "hi"


def test_a_path_is_shown_as_typed(here: Path) -> None:
    """Below the working directory a path is relative, elsewhere whole."""
    assert display_path(here / "a" / "b.md") == "a/b.md"
    assert display_path(Path("/nowhere/b.md")) == "/nowhere/b.md"


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "a/b", "A", "a b", "a\n", "ä", "x" * 65, "a\0"]
)
def test_a_name_is_a_safe_file_name(name: str) -> None:
    """What names a persona, an experiment or a run cannot lead anywhere."""
    with pytest.raises(FileError):
        check_name(name, "run", where="x")
