"""What streaming costs the page: ``Compare`` in a real JupyterLab, in a real Chromium.

    python bench/streaming.py [--seconds 60] [--columns 8] [--rate 800] [--tokens 2000] [--check]

A loopback server streams at a known pace: ``--rate`` tokens a second over all columns together.
Meanwhile somebody types into another cell; a key's latency is from the key event to the first
frame after the letter is in the page. The text that the page shows at the end is compared with
what the server sent, word by word. Then one answer of ``--tokens`` tokens: the bytes that the
kernel sends over the websocket for it, ours against one ``HTML.value`` update per token.

``--check`` makes a broken promise the exit code: 95% of keys within 100 ms, no word lost, less
than 0.5 MB for 2,000 tokens (250 bytes a token).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from lab import Desk, desk
from slow_server import SlowServer

PROMISED = 250
"""Bytes a token that the kernel may send: 0.5 MB for 2,000."""

CLIENT = """
from assistants.assistant import Assistant
from assistants.clients import connect
client = connect("vllm:m")
client.max_concurrency = 64
"""

COLUMNS = 'Compare(assistants=[Assistant(Persona(f"p{{n}}", "x"), client) for n in range({})])'

HTML = """
import asyncio, html, ipywidgets
from assistants.messages import Completion, Message, Sampling
shown = ipywidgets.HTML()
display(shown)
text = ""
async for piece in connect("vllm:m").stream([Message("user", "x")], Sampling()):
    if not isinstance(piece, Completion):
        text += piece.text
        shown.value = html.escape(text)
print("the end")
"""

WATCH_KEYS = """() => {
    window.keys = [];
    const cell = document.querySelectorAll('.jp-CodeCell .cm-content')[1];
    cell.addEventListener('keydown', (event) => {
        const began = event.timeStamp;
        requestAnimationFrame(() => requestAnimationFrame(() =>
            window.keys.push(performance.now() - began)));
    }, true);
    cell.focus();
}"""


def words(number: int) -> str:
    """Distinct words, in paragraphs, so that a lost one is seen."""
    return " ".join(f"word{n}" + ("\n\n" if n % 40 == 39 else "") for n in range(number))


def typing(
    desk: Desk, server: SlowServer, *, seconds: float, columns: int, rate: float
) -> dict[str, Any]:
    """Type into one cell while all columns of another stream."""
    page = desk.page
    each = rate / columns
    server.every, server.at_once = 0.1, max(1, round(each / 10))
    number = int(each * seconds)
    text = words(number)
    server.answer = lambda request: text
    desk.show(COLUMNS.format(columns))
    desk.ask("Words?", wait=False)
    page.wait_for_selector("[data-state=streaming]")
    page.evaluate(WATCH_KEYS)
    began = time.monotonic()
    while time.monotonic() - began < seconds * 0.9:
        page.keyboard.type("a")
        page.wait_for_timeout(120)
    desk.rest()
    streamed = time.monotonic() - began
    shown = page.locator(".answer .markdown").evaluate_all("all => all.map(e => e.innerText)")
    keys = sorted(page.evaluate("window.keys"))
    return {
        "columns": columns,
        "tokens_per_second": round(number * columns / streamed),
        "keys": len(keys),
        "key_p50_ms": round(keys[len(keys) // 2]),
        "key_p95_ms": round(keys[int(len(keys) * 0.95)]),
        "identical": [" ".join(s.split()) == " ".join(text.split()) for s in shown].count(True),
    }


def traffic(desk: Desk, server: SlowServer, received: list[int], tokens: int, *, ours: bool) -> int:
    """Bytes that the kernel sends for one answer of so many tokens, one token a chunk."""
    page = desk.page
    server.every, server.at_once = 0.01, 1
    server.answer = lambda request: words(tokens)
    if ours:
        desk.show(COLUMNS.format(1))
        received.clear()
        desk.ask("Words?")
    else:
        received.clear()
        desk.run(HTML)
        page.wait_for_selector(".jp-RenderedText >> text=the end", timeout=300_000)
    page.wait_for_timeout(500)
    return sum(received)


def measure(
    desk: Desk, server: SlowServer, *, seconds: float, columns: int, rate: float, tokens: int
) -> dict[str, Any]:
    """All of it, in a notebook of its own with two cells."""
    received: list[int] = []
    desk.page.on("websocket", lambda ws: ws.on("framereceived", lambda f: received.append(len(f))))
    with desk.other("bench.ipynb", CLIENT, "") as there:
        found = typing(there, server, seconds=seconds, columns=columns, rate=rate)
        found["bytes_ours"] = traffic(there, server, received, tokens, ours=True)
        found["bytes_html"] = traffic(there, server, received, tokens, ours=False)
    return found


def broken(found: dict[str, Any], *, columns: int, tokens: int) -> list[str]:
    """The promises that were not kept."""
    kept = {
        "95% of keys within 100 ms": found["key_p95_ms"] < 100,
        "no word lost": found["identical"] == columns,
        "250 bytes a token": found["bytes_ours"] < PROMISED * tokens,
    }
    return [f"{promise}: {found}" for promise, was in kept.items() if not was]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--rate", type=float, default=800)
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--check", action="store_true")
    told = vars(parser.parse_args())
    check = told.pop("check")
    with (
        tempfile.TemporaryDirectory() as folder,
        SlowServer(lambda request: "") as server,
        desk(Path(folder), VLLM_BASE_URL=server.url) as opened,
    ):
        found = measure(opened, server, **told)
    print(json.dumps(found))
    failed = broken(found, columns=told["columns"], tokens=told["tokens"])
    return 1 if check and failed else 0


if __name__ == "__main__":
    sys.exit(main())
