"""No eight characters of a key in a row leave the process in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import MissingKeyError
from assistants.utils import api_keys

KEY = st.text("abcXYZ019-_", min_size=8, max_size=40)
NOISE = st.text("abcXYZ019-_ .\n", max_size=30)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "_seen", set())


def pieces(key: str) -> list[str]:
    return [
        key[i : i + api_keys.MIN_SECRET_CHARS]
        for i in range(len(key) - api_keys.MIN_SECRET_CHARS + 1)
    ]


@given(st.data(), st.lists(KEY, min_size=1, max_size=3))
def test_no_piece_of_a_key_survives(data: st.DataObject, secrets: list[str]) -> None:
    """Whole, cut, doubled or several at once: no 8 characters of a key are left."""
    api_keys._seen.clear()
    for key in secrets:
        api_keys.remember(key)
    parts = st.one_of(NOISE, *(st.sampled_from([k, k[3:], k[:-2], k[1:10]]) for k in secrets))
    clean = api_keys.redact("".join(data.draw(st.lists(parts, max_size=8))))
    assert not [piece for key in secrets for piece in pieces(key) if piece in clean]


@given(KEY, NOISE)
def test_a_text_without_the_key_is_unchanged(key: str, text: str) -> None:
    """Nothing but a key is taken out."""
    api_keys._seen.clear()
    api_keys.remember(key)
    if not any(piece in text for piece in pieces(key)):
        assert api_keys.redact(text) == text


@given(KEY, NOISE, NOISE, st.integers(1, 7))
def test_a_stream_shows_no_more_than_the_whole(
    key: str, before: str, after: str, size: int
) -> None:
    """However a text is cut into pieces on its way, no piece of a key is shown."""
    api_keys._seen.clear()
    api_keys.remember(key)
    text = before + key + after
    redactor = api_keys.Redactor()
    shown = "".join(redactor.feed(text[i : i + size]) for i in range(0, len(text), size))
    shown += redactor.flush()
    assert not [piece for piece in pieces(key) if piece in shown]


def test_a_key_is_read_at_the_call_and_named_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank is missing; what was read is known to the redactor from then on."""
    monkeypatch.setenv("X_API_KEY", "  ")
    with pytest.raises(MissingKeyError, match="X_API_KEY"):
        api_keys.read_key("X_API_KEY", "x:m")
    monkeypatch.setenv("X_API_KEY", " sk-canary-1234 \n")
    assert api_keys.read_key("X_API_KEY", "x:m") == "sk-canary-1234"
    assert "canary" not in api_keys.redact("it is sk-canary-1234!")


@pytest.mark.parametrize(
    "name",
    ["API_KEY", "OPENAI_KEY", "OPENAI_API_KEY", "openai_apikey", "AWS_SECRET_ACCESS_KEY",
     "AWS_ACCESS_KEY_ID", "GITHUB_PAT", "GITHUB_TOKEN", "GH_TOKEN_2", "PGPASSWORD", "DB_PASS",
     "MYSQL_ROOT_PASSWORD_FILE", "CLIENT_SECRET", "TOKEN"],
)  # fmt: skip
def test_a_child_process_gets_no_secret(name: str) -> None:
    """Whatever is named like a key, a token or a password stays out of its environment."""
    assert api_keys.without_secrets({name: "x", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_child_process_gets_the_rest() -> None:
    """What it needs to run, and the token by which it fetches weights."""
    names = """PATH HOME PWD OLDPWD TOKENIZERS_PARALLELISM KEYBOARD XDG_RUNTIME_DIR XDG_SESSION_ID
        XDG_CONFIG_HOME CUDA_VISIBLE_DEVICES VLLM_MULTI_STREAM_GEMM_TOKEN_THRESHOLD MAX_TOKENS
        HF_HOME HF_TOKEN HF_HUB_TOKEN HUGGING_FACE_HUB_TOKEN""".split()
    environment = dict.fromkeys(names, "x")
    assert api_keys.without_secrets(environment) == environment


@pytest.mark.parametrize("word", ["placeholder", "not-needed", "Token-abc123"])
def test_a_word_that_stands_for_no_key_stays_in_answers(word: str) -> None:
    """People set one where a server wants none; an answer may say it and is not cut for that."""
    api_keys.remember(word)
    text = f'<input {word}="Name">'
    assert api_keys.redact(text) == text
