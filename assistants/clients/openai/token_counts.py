"""How many tokens a text is, as the server that will read it counts them."""

from __future__ import annotations

from assistants.clients.base import Client
from assistants.clients.openai.client import OpenAIClient
from assistants.errors import CallError


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
