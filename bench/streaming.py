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

from browser import Lab, chromium, jupyter_lab
from lab import open_notebook, write_notebook
from playwright.sync_api import Page
from slow_server import SlowServer

PROMISED = 250
"""Bytes a token that the kernel may send: 0.5 MB for 2,000."""

COMPARE = """
from assistants.assistant import Assistant
from assistants.clients import connect
from assistants.personas import Persona
from assistants.widgets.compare import Compare
client = connect("vllm:m")
client.max_concurrency = 64
made = [Assistant(Persona(f"p{{n}}", "x"), client) for n in range({columns})]
compare = Compare(assistants=made)
compare
"""

HTML = """
import asyncio, html, ipywidgets
from assistants.clients import connect
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
    page: Page, lab: Lab, root: Path, server: SlowServer, told: argparse.Namespace
) -> dict[str, Any]:
    """Type into one cell while all columns of another stream."""
    each = told.rate / told.columns
    server.every, server.at_once = 0.1, max(1, round(each / 10))
    number = int(each * told.seconds)
    text = words(number)
    server.answer = lambda request: text
    write_notebook(root / "typing.ipynb", [COMPARE.format(columns=told.columns), ""])
    open_notebook(page, lab, "typing.ipynb")
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".assistants-live .column", timeout=60_000)
    page.get_by_label("Question to all").fill("Words?")
    page.get_by_label("Question to all").press("Enter")
    page.wait_for_selector("[data-state=streaming]")
    page.evaluate(WATCH_KEYS)
    began = time.monotonic()
    while time.monotonic() - began < told.seconds * 0.9:
        page.keyboard.type("a")
        page.wait_for_timeout(120)
    idle = "document.querySelector('.assistants-live .go').textContent === 'Send'"
    page.wait_for_function(idle, timeout=(told.seconds * 3 + 60) * 1000)
    streamed = time.monotonic() - began
    page.wait_for_timeout(500)
    shown = page.locator(".answer .markdown").evaluate_all("all => all.map(e => e.innerText)")
    keys = sorted(page.evaluate("window.keys"))
    return {
        "columns": told.columns,
        "tokens_per_second": round(number * told.columns / streamed),
        "keys": len(keys),
        "key_p50_ms": round(keys[len(keys) // 2]),
        "key_p95_ms": round(keys[int(len(keys) * 0.95)]),
        "identical": [" ".join(s.split()) == " ".join(text.split()) for s in shown].count(True),
    }


def traffic(
    page: Page, lab: Lab, root: Path, server: SlowServer, source: str, tokens: int, *, ask: bool
) -> int:
    """Bytes that the kernel sends for one answer of so many tokens, one token a chunk."""
    server.every, server.at_once = 0.01, 1
    server.answer = lambda request: words(tokens)
    received: list[int] = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda f: received.append(len(f))))
    name = "ours.ipynb" if ask else "html.ipynb"
    write_notebook(root / name, [source])
    open_notebook(page, lab, name)
    page.locator(".jp-CodeCell .cm-content").first.click()
    if not ask:
        received.clear()
    page.keyboard.press("Control+Enter")
    if ask:
        page.wait_for_selector(".assistants-live .column", timeout=60_000)
        page.wait_for_timeout(1_000)
        received.clear()
        page.get_by_label("Question to all").fill("Words?")
        page.get_by_label("Question to all").press("Enter")
        page.wait_for_selector("[data-state=done]", timeout=300_000)
    else:
        page.wait_for_selector(".jp-OutputArea-output >> text=the end", timeout=300_000)
    page.wait_for_timeout(1_000)
    return sum(received)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--rate", type=float, default=800)
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--check", action="store_true")
    told = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        SlowServer(lambda request: "") as server,
        jupyter_lab(Path(folder), VLLM_BASE_URL=server.url) as lab,
        chromium() as browser,
    ):
        root = Path(folder)
        size = {"width": 1400, "height": 1000}
        found = typing(browser.new_page(viewport=size), lab, root, server, told)
        one = COMPARE.format(columns=1)
        found["bytes_ours"] = traffic(
            browser.new_page(viewport=size), lab, root, server, one, told.tokens, ask=True
        )
        found["bytes_html"] = traffic(
            browser.new_page(viewport=size), lab, root, server, HTML, told.tokens, ask=False
        )
    print(json.dumps(found))
    kept = (
        found["key_p95_ms"] < 100
        and found["identical"] == told.columns
        and found["bytes_ours"] < PROMISED * told.tokens
    )
    return 0 if kept or not told.check else 1


if __name__ == "__main__":
    sys.exit(main())
