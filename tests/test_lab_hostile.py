"""Hostile text in ``Compare``, in a real browser: nothing runs, nothing is fetched."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hostile import MONSTERS, PAYLOADS
from lab import IMPORTS, SCREENSHOTS, Desk, desk, open_notebook, outputs, save, shut_down
from playwright.sync_api import BrowserContext, Dialog, Page
from rude_replies import Step, http
from rude_server import Request
from slow_server import SlowServer

pytestmark = pytest.mark.browser

FAMILIES = (
    "{}",
    "```html\n{}\n```",
    "| a | b |\n|---|---|\n| {} | [x]({}) |",
    '\u202e\u2066[{}]({} "{}")\u200f\x00',
)
ATTACKS = [*(f.replace("{}", each) for each in PAYLOADS for f in FAMILIES), *MONSTERS]
"""More than 500, all different; a test counts them."""

SETUP = f"""{IMPORTS}
import asyncio, json, pathlib
from assistants.assistant import Assistant
from assistants.clients import connect
from assistants.widgets.who import literal
attacks = json.loads(pathlib.Path("attacks.json").read_text())
short = [a for a in attacks if len(a) < 300]

def assistant(n, provider="vllm"):
    some = "\\n".join(short[n::9])
    persona = Persona(f"p{{n}}", literal(some), label=short[n], description=some)
    client = connect(f"{{provider}}:" + ("m" if n else "<img src=x onerror=window.hacked=1>"))
    client.max_concurrency = 64
    return Assistant(persona, client)
"""

COMPARE = (
    SETUP
    + """
widget = Compare(assistants=[assistant(n) for n in range(4)] + [assistant(9, "ollama")])
display(widget)
for _ in range(-(-len(attacks) // 80)):
    widget.clear()
    await widget.ask("\\n\\n".join(short[::8]), repeats=20)
    await asyncio.sleep(0.3)
widget.set_prompt(1, "\\n".join(short))
await widget.ask("\\n\\n".join(short[1::8]))
widget.compare_with(0)
print("the end")
"""
)


class HostileServer(SlowServer):
    """Answers with one attack after the other; below ``/rude`` with errors that say them all."""

    def __init__(self) -> None:
        super().__init__(self._next, every=0.0, at_once=1_000)
        self.count = 0

    def _next(self, request: dict[str, Any]) -> str:
        self.count += 1
        return ATTACKS[self.count % len(ATTACKS)]

    def _steps(self, request: Request) -> list[Step] | Any:
        if not request.path.startswith("/rude"):
            return super()._steps(request)
        said = "\n".join(each for each in ATTACKS if len(each) < 300).encode("utf-8", "replace")
        error = {"error": {"message": said.decode(), "code": ATTACKS[0], "type": ATTACKS[1]}}
        return [http(json.dumps(error).encode(), "400 Bad Request")]


class Watch:
    """Everything that pages ask for and pop up."""

    def __init__(self, context: BrowserContext) -> None:
        self.asked: list[str] = []
        self.said: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("dialog", self._popped_up)
        context.add_init_script(
            "window.__ran = []; for (const name of ['alert', 'prompt', 'confirm', 'print'])"
            " window[name] = (...all) => void window.__ran.push([name, ...all]);"
        )

    def _popped_up(self, dialog: Dialog) -> None:
        if dialog.type != "beforeunload":  # JupyterLab asks whether to leave before it has saved
            self.said.append(dialog.message)
        dialog.accept()

    def check(self, page: Page, *own: str) -> None:
        """Nothing ran, nothing popped up, and only ``own`` addresses were asked."""
        assert page.evaluate("[window.hacked ?? null, window.parent.hacked ?? null]") == [None] * 2
        assert page.evaluate("window.__ran") == []
        assert self.said == []
        assert [url for url in self.asked if not url.startswith((*own, "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, server: HostileServer) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "attacks.json").write_text(json.dumps(ATTACKS))
    addresses = {"VLLM_BASE_URL": server.url, "OLLAMA_BASE_URL": server.url_of("said")}
    with desk(folder, **addresses) as opened:
        yield opened


@pytest.fixture(scope="module")
def watch(at: Desk) -> Watch:
    return Watch(at.page.context)


def test_there_are_enough_of_them() -> None:
    """At least 500, and no two alike."""
    assert len(set(ATTACKS)) == len(ATTACKS) >= 500


def test_nothing_runs_and_nothing_is_fetched(at: Desk, watch: Watch, server: HostileServer) -> None:
    """As answers, in batches that a page may hold, questions, personas, models, errors and so on.

    Live, after a reload, and in a notebook without a kernel. The page stays usable.
    """
    server.count = 0
    at.page.reload()  # so that the watch is there from the beginning
    at.page.wait_for_selector("#jp-main-statusbar >> text=| Idle", timeout=60_000)
    at.run(COMPARE)
    at.page.wait_for_selector(".jp-OutputArea-output >> text=/^the end/", timeout=120_000)
    at.rest()
    assert server.count >= len(ATTACKS)
    assert at.page.locator(".assistants-live .answer").count() >= 50
    _is_usable(at)
    for fold in at.page.locator(".assistants-live details.others").all():
        fold.evaluate("e => e.open = true")
    _move_over(at.page)
    watch.check(at.page, at.lab.url)
    at.shot("hostile-compare")
    save(at.page)
    at.reopen()
    at.page.wait_for_selector(".assistants-live .answer", timeout=60_000)
    at.rest()
    watch.check(at.page, at.lab.url)
    # Without a kernel: what is left in the notebook, and nothing of ours beside it.
    left = json.dumps(outputs(at.folder / at.path))
    assert "beacon.invalid" in left
    shut_down(at.page)
    open_notebook(at.page, at.lab, at.path)
    at.page.wait_for_selector(".assistants-still", timeout=60_000)
    assert at.page.locator(".assistants-live").count() == 0
    _move_over(at.page)
    watch.check(at.page, at.lab.url)
    at.page.screenshot(path=SCREENSHOTS / "hostile-compare-still.png")


def _move_over(page: Page) -> None:
    """What a person does: point at things, go through them with the keyboard."""
    for x in range(150, 1300, 180):
        for y in range(120, 900, 120):
            page.mouse.move(x, y)
    for _ in range(20):
        page.keyboard.press("Tab")


def _is_usable(at: Desk) -> None:
    """A question can be typed, whatever stands above it."""
    began = time.monotonic()
    field = at.page.get_by_label("Question to all").first
    field.scroll_into_view_if_needed()
    field.click()
    at.page.keyboard.type("Still there?")
    assert field.input_value() == "Still there?"
    assert time.monotonic() - began < 10
    at.page.keyboard.press("Control+A")
    at.page.keyboard.press("Delete")
