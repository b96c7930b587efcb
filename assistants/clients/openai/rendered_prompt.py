"""A conversation as the server's chat template renders it: the prompt that the model reads.

Notes
-----
vLLM's ``/tokenize`` takes ``messages`` and returns the tokens of the whole prompt;
``/detokenize`` turns tokens into text. llama.cpp's ``/apply-template`` returns the prompt's text,
and its ``/tokenize`` the tokens of a text. Hosted APIs have no such routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from assistants.clients.base import Client
from assistants.clients.openai.client import OpenAIClient
from assistants.errors import BadRequestError, CallError, ModelNotFoundError
from assistants.messages import Message
from assistants.utils import pluralize, truncate_line

RenderMethod = Literal["tokens", "template"]
"""Source of a prompt: the tokens that the model gets, or the text that the template makes."""

_HARMONY = ("<|start|>", "<|channel|>", "<|message|>")
"""Each is one token of gpt-oss, and several tokens of any other model."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """The prompt of a conversation, up to where the answer begins.

    ``token_strings`` are its tokens as the tokenizer writes them; ``max_model_len`` is the number
    of tokens that the model can take, or ``None`` where the server does not return it.
    """

    text: str
    method: RenderMethod
    token_strings: tuple[str, ...]
    max_model_len: int | None = None

    def __repr__(self) -> str:
        return truncate_line(f"Rendered({pluralize(self.tokens, 'token')}: {self.text!r})", 120)

    @property
    def tokens(self) -> int:
        """Number of tokens of the prompt."""
        return len(self.token_strings)


async def render_prompt(
    client: Client, messages: Sequence[Message], method: RenderMethod | None = None
) -> RenderedPrompt | None:
    """Return the prompt that the model behind ``client`` reads when it is sent ``messages``.

    Parameters
    ----------
    method
        Use only this method, because the server is known to have it.

    Returns
    -------
    RenderedPrompt | None
        ``None`` if the client has no server, or the server has neither method.

    Raises
    ------
    BadRequestError
        If the template refuses the roles of the messages, or their order.
    CallError
        If the reply is not complete.
    """
    if not isinstance(client, OpenAIClient):
        return None
    # As the client would send them: it may add an empty system message.
    turns = client.request_messages(messages)
    if method != "template" and (prompt := await _render_with_tokenize(client, turns)) is not None:
        return prompt
    return None if method == "tokens" else await _render_with_template(client, turns)


async def ignores_chat_template(client: Client) -> bool:
    """Return whether the server renders conversations without the chat template that it shows.

    vLLM does so with gpt-oss, in the harmony format (``renderers/online_renderer.py`` of 0.32),
    even where it is given a template. Such a model is recognized by tokens that only it has.

    Raises
    ------
    CallError
        If the reply is not complete.
    """
    if not isinstance(client, OpenAIClient):
        return False
    body = {"prompt": "".join(_HARMONY), "add_special_tokens": False}
    try:
        tokens = (await _post_if_served(client, "../tokenize", body)).get("tokens")
    except BadRequestError:  # a server that accepts conversations only
        return False
    return isinstance(tokens, list) and len(tokens) == len(_HARMONY)


async def count_tokens(client: Client, text: str) -> int | None:
    """Return the number of tokens of ``text``; ``None`` where the server does not count them.

    Notes
    -----
    ``/tokenize`` of vLLM takes ``prompt`` and returns a count, that of llama.cpp takes
    ``content`` and returns a list. Hosted services have no such route.
    """
    if not isinstance(client, OpenAIClient):
        return None
    body = {"prompt": text, "content": text, "add_special_tokens": False, "add_special": False}
    try:
        reply = await client.post("../tokenize", body)
    except CallError:
        return None
    if isinstance(tokens := reply.get("tokens"), list):
        return len(tokens)
    count = reply.get("count")
    return count if type(count) is int and count >= 0 else None


async def _render_with_tokenize(client: OpenAIClient, turns: Any) -> RenderedPrompt | None:
    body = {"messages": turns, "add_generation_prompt": True, "return_token_strs": True}
    reply = await _post_if_served(client, "../tokenize", body)
    strings, tokens = reply.get("token_strs"), reply.get("tokens")
    if not isinstance(tokens, list) or not isinstance(strings, list):
        return None
    if not tokens or len(tokens) != len(strings) or not all(isinstance(s, str) for s in strings):
        return None
    text = _decode_byte_level(strings)
    if text is None:
        reversed_reply = await _post_if_served(client, "../detokenize", {"tokens": tokens})
        text = reversed_reply.get("prompt")
    if not isinstance(text, str):
        return None
    max_model_len = reply.get("max_model_len")
    return RenderedPrompt(
        text, "tokens", tuple(strings), max_model_len if type(max_model_len) is int else None
    )


async def _render_with_template(client: OpenAIClient, turns: Any) -> RenderedPrompt | None:
    reply = await _post_if_served(client, "../apply-template", {"messages": turns})
    text = reply.get("prompt")
    if not isinstance(text, str):
        return None
    body = {"content": text, "add_special": True, "parse_special": True, "with_pieces": True}
    listed = (await _post_if_served(client, "../tokenize", body)).get("tokens")
    tokens = listed if isinstance(listed, list) else []
    return RenderedPrompt(text, "template", tuple(_token_text(token) for token in tokens))


async def _post_if_served(
    client: OpenAIClient, path: str, body: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the reply to a POST; an empty one where the server does not have the path."""
    try:
        return await client.post(path, body)
    except ModelNotFoundError:
        return {}


def _token_text(token: Any) -> str:
    """Return a token of llama.cpp as text; one that is not valid text comes as a list of bytes."""
    piece = token.get("piece") if isinstance(token, dict) else None
    if isinstance(piece, list):
        return bytes(b for b in piece if type(b) is int and 0 <= b < 256).decode("utf-8", "replace")
    return piece if isinstance(piece, str) else ""


def _decode_byte_level(pieces: Sequence[str]) -> str | None:
    """Return the exact text of byte-level tokens; ``None`` if they are of another kind.

    ``/detokenize`` is not exact: with some tokenizers it changes spaces before punctuation.
    """
    if not any("Ġ" in piece or "Ċ" in piece for piece in pieces) or any("▁" in p for p in pieces):
        return None
    table = _byte_level_table()
    text = bytearray()
    for piece in pieces:
        try:
            text += bytes(table[character] for character in piece)
        except KeyError:  # an added token, which stands for itself
            text += piece.encode("utf-8", "replace")
    return text.decode("utf-8", "replace")


@lru_cache(maxsize=1)
def _byte_level_table() -> dict[str, int]:
    """Return the byte that each character of a byte-level token stands for.

    Notes
    -----
    Radford et al. (2019), GPT-2: printable characters stand for themselves, the other bytes for
    the characters from U+0100 on, in order.
    """
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in plain)
    return {chr(b): b for b in plain} | {chr(256 + n): b for n, b in enumerate(others)}
