"""A conversation as the server's chat template renders it: what the model really reads.

Notes
-----
vLLM's ``/tokenize`` takes ``messages`` and gives the tokens of the whole prompt; ``/detokenize``
is the way back. llama.cpp's ``/apply-template`` gives the prompt's text, and its ``/tokenize`` the
tokens of a text. Hosted APIs tell nothing of the kind.
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
"""Read back from the tokens that the model gets, or the text that the template makes."""

_HARMONY = ("<|start|>", "<|channel|>", "<|message|>")
"""Each one token of gpt-oss, and several of any other model."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """The prompt of a conversation, up to where the answer begins.

    ``pieces`` are its tokens, each as the tokenizer writes it; ``max_model_len`` how many the
    model can take, where the server says.
    """

    text: str
    how: RenderMethod
    pieces: tuple[str, ...]
    max_model_len: int | None = None

    def __repr__(self) -> str:
        return truncate_line(f"Rendered({pluralize(self.tokens, 'token')}: {self.text!r})", 120)

    @property
    def tokens(self) -> int:
        """How many tokens the prompt is."""
        return len(self.pieces)


async def render_prompt(
    client: Client, messages: Sequence[Message], how: RenderMethod | None = None
) -> RenderedPrompt | None:
    """What the model behind ``client`` reads when it is sent ``messages``.

    Parameters
    ----------
    how
        Ask only in this way, because the server is known to have it.

    Returns
    -------
    Rendered | None
        ``None`` where the server does not tell, or there is none.

    Raises
    ------
    BadRequestError
        If the template refuses the messages: their roles, or their order.
    CallError
        If there is no whole reply.
    """
    if not isinstance(client, OpenAIClient):
        return None
    # As the client would send them: it may add an empty system message.
    turns = client.turns(messages)
    if how != "template" and (found := await _render_with_tokenize(client, turns)) is not None:
        return found
    return None if how == "tokens" else await _render_with_template(client, turns)


async def ignores_chat_template(client: Client) -> bool:
    """Whether the server writes conversations in another way than by the template that it shows.

    vLLM does so with gpt-oss, in the harmony format (``renderers/online_renderer.py`` of 0.32),
    also where it is given a template. Such a model is known by the tokens that only it has.

    Raises
    ------
    CallError
        If there is no whole reply.
    """
    if not isinstance(client, OpenAIClient):
        return False
    body = {"prompt": "".join(_HARMONY), "add_special_tokens": False}
    try:
        tokens = (await _post_if_served(client, "../tokenize", body)).get("tokens")
    except BadRequestError:  # a server that takes conversations only
        return False
    return isinstance(tokens, list) and len(tokens) == len(_HARMONY)


async def count_tokens(client: Client, text: str) -> int | None:
    """Tokens of ``text`` alone; ``None`` where the server does not tell, as hosted ones do not.

    Notes
    -----
    ``/tokenize`` of vLLM wants ``prompt`` and counts, that of llama.cpp wants ``content`` and
    lists.
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
    pieces, tokens = reply.get("token_strs"), reply.get("tokens")
    if not isinstance(tokens, list) or not isinstance(pieces, list) or len(tokens) != len(pieces):
        return None
    if not tokens or not all(isinstance(piece, str) for piece in pieces):
        return None
    text = _decode_byte_level(pieces)
    if text is None:
        back = await _post_if_served(client, "../detokenize", {"tokens": tokens})
        text = back.get("prompt")
    if not isinstance(text, str):
        return None
    longest = reply.get("max_model_len")
    known = longest if type(longest) is int else None
    return RenderedPrompt(text, "tokens", tuple(pieces), known)


async def _render_with_template(client: OpenAIClient, turns: Any) -> RenderedPrompt | None:
    reply = await _post_if_served(client, "../apply-template", {"messages": turns})
    text = reply.get("prompt")
    if not isinstance(text, str):
        return None
    body = {"content": text, "add_special": True, "parse_special": True, "with_pieces": True}
    listed = (await _post_if_served(client, "../tokenize", body)).get("tokens")
    tokens = listed if isinstance(listed, list) else []
    return RenderedPrompt(text, "template", tuple(_token_text(each) for each in tokens))


async def _post_if_served(
    client: OpenAIClient, path: str, body: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The reply of a path; nothing where the server does not have it."""
    try:
        return await client.post(path, body)
    except ModelNotFoundError:
        return {}


def _token_text(token: Any) -> str:
    """A token of llama.cpp as text; one that is no whole text comes as a list of bytes."""
    piece = token.get("piece") if isinstance(token, dict) else None
    if isinstance(piece, list):
        return bytes(b for b in piece if type(b) is int and 0 <= b < 256).decode("utf-8", "replace")
    return piece if isinstance(piece, str) else ""


def _decode_byte_level(pieces: Sequence[str]) -> str | None:
    """The text of byte-level tokens, exactly; ``None`` if these are of another kind.

    Better than ``/detokenize``, which tidies spaces before punctuation with some tokenizers.
    """
    if not any("Ġ" in piece or "Ċ" in piece for piece in pieces) or any("▁" in p for p in pieces):
        return None
    table = _byte_level_table()
    found = bytearray()
    for piece in pieces:
        try:
            found += bytes(table[character] for character in piece)
        except KeyError:  # an added token, which stands as it is
            found += piece.encode("utf-8", "replace")
    return found.decode("utf-8", "replace")


@lru_cache(maxsize=1)
def _byte_level_table() -> dict[str, int]:
    """Which byte a character of a byte-level token stands for.

    Notes
    -----
    Radford et al. (2019), GPT-2: printable characters stand for themselves, the other bytes for
    the characters from U+0100 on, in order.
    """
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in plain)
    return {chr(b): b for b in plain} | {chr(256 + n): b for n, b in enumerate(others)}
