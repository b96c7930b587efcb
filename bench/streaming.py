"""What streaming costs the page: ``Compare`` in a real JupyterLab, in a real Chromium.

    python bench/streaming.py [--seconds 60] [--columns 8] [--rate 800] [--tokens 2000] [--check]

A loopback server streams at a known pace: ``--rate`` tokens a second over all columns together.
Meanwhile somebody types into another cell; a key's latency is from the key event to the first
frame after the letter is in the page. At the end, the words on the page are compared with what the
server sent, and so is what each "Copy" gives, character by character. The same is then typed, for
ten seconds at most, while as many ``ipywidgets.HTML`` show the same text, one update a token.

Then one answer of ``--tokens`` tokens: the bytes that the kernel sends over the websocket for it,
ours against one ``HTML.value`` update per token.

``--check`` makes a broken promise the exit code: the pace was kept, to a tenth; 95% of keys within
100 ms; no character lost; less than 0.5 MB for 2,000 tokens (250 bytes a token).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from playwright.sync_api import Page

from support.jupyterlab import NotebookPage, new_notebook_page
from support.slow_server import SlowServer

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
async def show_one():
    shown = ipywidgets.HTML()
    display(shown)
    text = ""
    async for piece in client.stream([Message("user", "x")], Sampling()):
        if not isinstance(piece, Completion):
            text += piece.text
            shown.value = html.escape(text)
await asyncio.gather(*[show_one() for _ in range({})])
print("the end of {}")
"""

AS_HTML_S = 10
"""How long ``HTML`` streams into all columns: what it costs grows with the text."""

COPIED = """async () => {
    const copied = [];
    navigator.clipboard.writeText = async (text) => void copied.push(text);
    for (const button of document.querySelectorAll('.answer .copy[aria-label="Copy the answer"]'))
        button.click();
    await new Promise((done) => setTimeout(done, 100));
    return copied;
}"""

WATCH_KEYS = """() => {
    window.keys = [];
    const cell = document.querySelectorAll('.jp-CodeCell .cm-content')[1];
    cell.focus();
    if (cell.watched) return;
    cell.watched = true;
    cell.addEventListener('keydown', (event) => {
        const began = event.timeStamp;
        requestAnimationFrame(() => requestAnimationFrame(() =>
            window.keys.push(performance.now() - began)));
    }, true);
}"""


def words(number: int) -> str:
    """Distinct words, in paragraphs, so that a lost one is seen."""
    return " ".join(f"word{n}" + ("\n\n" if n % 40 == 39 else "") for n in range(number))


def type_for(page: Page, seconds: float) -> list[float]:
    """Latencies in ms, sorted, of keys that are pressed in the second cell meanwhile."""
    page.evaluate(WATCH_KEYS)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        page.keyboard.type("a")
        page.wait_for_timeout(120)
    return sorted(page.evaluate("window.keys"))


def quantiles(keys: Sequence[float], name: str) -> dict[str, int]:
    """How long half of the keys took at most, and 95% of them."""
    return {f"{name}_p{n}_ms": round(keys[len(keys) * n // 100]) for n in (50, 95)}


def typing(
    notebook: NotebookPage, server: SlowServer, *, seconds: float, columns: int, rate: float
) -> dict[str, Any]:
    """Type into one cell while all columns of another stream."""
    page = notebook.page
    each = rate / columns
    # A sleep takes longer than it was asked to; what is counted is the pace that came of it.
    server.every, server.at_once = 0.095, max(1, round(each / 10))
    number = int(each * seconds)
    text = words(number)
    server.answer = lambda request: text
    notebook.show(COLUMNS.format(columns))
    notebook.ask("Words?", wait=False)
    page.wait_for_selector("[data-state=streaming]")
    began = time.monotonic()
    keys = type_for(page, seconds * 0.9)
    notebook.wait_for_answers()
    streamed = time.monotonic() - began
    shown = page.locator(".answer .markdown").evaluate_all("all => all.map(e => e.innerText)")
    return {
        "columns": columns,
        "tokens_per_second": round(number * columns / streamed),
        "keys": len(keys),
        **quantiles(keys, "key"),
        "identical_words": [each.split() == text.split() for each in shown].count(True),
        "identical": page.evaluate(COPIED).count(text),
    }


def typing_as_html(
    notebook: NotebookPage, server: SlowServer, *, seconds: float, columns: int, rate: float
) -> dict[str, Any]:
    """The same into as many ``HTML``, one update a token."""
    seconds = min(seconds, AS_HTML_S)
    server.every, server.at_once = columns / rate, 1
    server.answer = lambda request: words(int(rate / columns * seconds))
    notebook.run(HTML.format(columns, columns))
    notebook.page.wait_for_selector(".widget-html-content >> text=word0")
    keys = type_for(notebook.page, seconds * 0.9)
    notebook.page.wait_for_selector(
        f".jp-RenderedText >> text=the end of {columns}", timeout=300_000
    )
    return quantiles(keys, "key_as_html")


def traffic(
    notebook: NotebookPage, server: SlowServer, received: list[int], tokens: int, *, ours: bool
) -> int:
    """Bytes that the kernel sends for one answer of so many tokens, one token a chunk."""
    page = notebook.page
    server.every, server.at_once = 0.01, 1
    server.answer = lambda request: words(tokens)
    if ours:
        notebook.show(COLUMNS.format(1))
        received.clear()
        notebook.ask("Words?")
    else:
        received.clear()
        notebook.run(HTML.format(1, 1))
        page.wait_for_selector(".jp-RenderedText >> text=the end of 1", timeout=300_000)
    page.wait_for_timeout(500)
    return sum(received)


def measure(
    notebook: NotebookPage,
    server: SlowServer,
    *,
    seconds: float,
    columns: int,
    rate: float,
    tokens: int,
    html: bool = True,
) -> dict[str, Any]:
    """Measure all of it, in a notebook of its own with two cells; without ``html`` only ours."""
    received: list[int] = []
    notebook.page.on(
        "websocket", lambda ws: ws.on("framereceived", lambda f: received.append(len(f)))
    )
    pace = {"seconds": seconds, "columns": columns, "rate": rate}
    with notebook.other("bench.ipynb", CLIENT, "") as there:
        found = {"seconds": seconds, "rate": rate, **typing(there, server, **pace)}
        found["bytes_ours"] = traffic(there, server, received, tokens, ours=True)
        if html:
            found |= typing_as_html(there, server, **pace)
            found["bytes_html"] = traffic(there, server, received, tokens, ours=False)
    return found


def broken(found: dict[str, Any], *, columns: int, tokens: int) -> list[str]:
    """The promises that were not kept."""
    kept = {
        "the pace": found["tokens_per_second"] >= 0.9 * found["rate"],
        "95% of keys within 100 ms": found["key_p95_ms"] < 100,
        "no word lost on the page": found["identical_words"] == columns,
        "no character lost": found["identical"] == columns,
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
        new_notebook_page(Path(folder), VLLM_BASE_URL=server.url) as opened,
    ):
        found = measure(opened, server, **told)
    print(json.dumps(found))
    failed = broken(found, columns=told["columns"], tokens=told["tokens"])
    for each in failed:
        print(f"Not kept: {each}", file=sys.stderr)
    return 1 if check and failed else 0


if __name__ == "__main__":
    sys.exit(main())
