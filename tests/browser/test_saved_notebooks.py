"""What is left of live widgets: after papermill, in nbconvert's HTML, with and without trust."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import papermill
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser

from assistants.widgets.html import escape
from support.browser import jupyter_lab
from support.hostile_texts import SHORT, batches
from support.jupyterlab import IMPORTS, SCREENSHOTS, open_notebook, save, write_notebook

pytestmark = pytest.mark.browser

BATCHES = [text for text in batches(8) if len(text) < 2_000]
"""The short attacks, in answers that each widget leaves whole; the long ones are met live."""

CELLS = (
    f"""{IMPORTS}
from assistants import Experiment
from assistants.assistant import Assistant
from assistants.clients import ScriptedClient
import json, pathlib
answer = "The **inverse square** law.\\n\\n```python\\nx = 1 / d ** 2\\n```\\n\\n"
batches = json.loads(pathlib.Path("batches.json").read_text())
everything = answer + "\\n\\n".join(batches)
client = ScriptedClient(lambda messages, sampling: everything, "m")
script = "<script>window.hacked=1</script>"
people = [Assistant(Persona(n, f"Be {{n}}.", label=f"{{n}} {{script}}"), client)
          for n in ("kind", "curt")]""",
    "compare = Compare(assistants=people, results=None)\ndisplay(compare)\n"
    "await compare.ask('How does light fall off?')",
    "chat = Chat(people[0], results=None)\nchat",
    "await chat.ask('And how does it <img src=x onerror=window.hacked=1> look?')",
    """\
def said(messages, sampling):
    if not (number := messages[-1].content.split()[0]).isdigit():
        return everything
    return batches[(2 * int(number) + (messages[0].role == "system")) % len(batches)]

okapi = {"name": "okapi", "system_prompt": "Be brief.", "label": script}
count = -(-len(batches) // 2)
asked = [f"{n} times <img src=x onerror=window.hacked=1> further?" for n in range(count)]
run = await Experiment.define(
    "stored", personas=["none", okapi], baseline="none", models=[ScriptedClient(said, "zebra")],
    cases=[*asked, "What <b>is</b> everything?"],
).run("results", on_progress=lambda progress: None)""",
    "browse = Browse(run)\nbrowse",
    "browse.filter('onerror')\nbrowse.open(run.trials()['key'].iloc[-1])",
    "rate = Rate(run, rater='ann')\nrate",
    "while not rate.done:\n    rate.vote('left')",
    "blind = Rate(run, rater='bea', cases=run.trials()['case'].unique()[:9])\nblind",
    "blind.vote('tie')",
)
SAID = {
    "compare": ("inverse square", "How does light fall off?", "kind", "curt"),
    "chat": ("inverse square", "And how does it", "kind"),
    "browse": ("What <b>is</b> everything?", "inverse square", "okapi", "Be brief."),
    # Everybody answers the last case the same, so there is nothing to rate in it.
    "rate": ("36 of 36 pairs rated", "okapi", "2 times <img", "beacon.invalid"),
    "blind": ("1 of 9 pairs rated", "a tie"),
}
"""What is there to read of each widget."""
ALL_SAID = [text for texts in SAID.values() for text in texts]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook as papermill leaves it."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "batches.json").write_text(json.dumps(BATCHES))
    write_notebook(folder / "input.ipynb", CELLS)
    papermill.execute_notebook(
        str(folder / "input.ipynb"), str(folder / "done.ipynb"), cwd=str(folder),
        progress_bar=False,
    )  # fmt: skip
    return folder / "done.ipynb"


def left_by(executed: Path) -> dict[str, str]:
    """The HTML that each widget left, in the output of the cell that showed it."""
    cells = nbformat.read(executed, 4).cells
    shown = [
        "".join(out["data"]["text/html"] for out in cell.outputs if "text/html" in out["data"])
        for cell in cells
    ]
    return dict(zip(SAID, filter(None, shown), strict=True))


def test_there_are_enough_of_them() -> None:
    """At least 500 attacks, each in an answer."""
    assert len(set(SHORT)) >= 500
    everything = "\n".join(BATCHES)
    assert all(each in everything for each in SHORT)


def test_what_was_said_stands_in_the_notebook(executed: Path) -> None:
    """As HTML, whichever cell asked, voted or opened; what is rated blind names nobody."""
    left = left_by(executed)
    for name, texts in SAID.items():
        assert [text for text in texts if escape(text) not in left[name]] == [], name
        assert "<script" not in left[name]
        assert "<img" not in left[name]
    assert not any(name in left["blind"] for name in ("okapi", "zebra"))
    plain = [
        "".join(out["data"]["text/plain"])
        for cell in nbformat.read(executed, 4).cells
        for out in cell.outputs
    ]
    assert any("kind" in text and "1 turns" not in text for text in plain)


@pytest.mark.parametrize("sanitize", [False, True])
def test_the_exported_page_can_be_read(executed: Path, browser: Browser, sanitize: bool) -> None:
    """The HTML says what was said, and asks for nothing that an empty notebook does not."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    asked: list[str] = []
    page.route(re.compile("^https?:"), lambda route: (asked.append(route.request.url),
                                                      route.abort()))  # fmt: skip
    empty = executed.parent / "empty.ipynb"
    write_notebook(empty, ["1 + 1"])
    for notebook in (empty, executed):
        own, asked[:] = set(asked), []
        body, _ = HTMLExporter(sanitize_html=sanitize).from_filename(str(notebook))
        file = executed.parent / "page.html"
        file.write_text(body, encoding="utf-8")
        page.goto(file.as_uri())
    assert page.evaluate("window.hacked") is None
    assert [url for url in set(asked) - own if not url.endswith(WIDGETS)] == []
    page.locator("details").evaluate_all("all => all.forEach(e => e.open = true)")
    told = page.locator("body").inner_text()
    assert [said for said in ALL_SAID if said not in told] == []
    if not sanitize:  # nbconvert takes classes and half of each table away, and leaves the words
        answers = page.locator("table.conversation").first.locator("> tbody > tr").nth(1)
        boxes = [answers.locator("> td").nth(n).bounding_box() for n in (0, 1)]
        assert boxes[0]
        assert boxes[1]
        assert boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"] - 1
    page.screenshot(path=SCREENSHOTS / f"saved-exported{'-sanitized' if sanitize else ''}.png")
    page.close()


WIDGETS = "/@jupyter-widgets/html-manager@*/dist/embed-amd.js"
"""What nbconvert itself asks some host for where a notebook has widgets."""


WIDER = """[...document.querySelectorAll('table.conversation > * > tr > *')]
    .filter(e => !e.closest('details:not([open])') && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.innerText)"""
"""The cells of a conversation, but for folded ones, that something breaks out of."""


def test_the_notebook_can_be_read_in_jupyterlab(executed: Path, browser: Browser) -> None:
    """As a stranger's, with no style and no script allowed, and then trusted; at 1,000 px."""
    asked: list[str] = []
    with jupyter_lab(executed.parent) as lab:
        page = browser.new_page(viewport={"width": 1000, "height": 1000})
        page.on("request", lambda request: asked.append(request.url))
        open_notebook(page, lab, executed)
        page.wait_for_selector("table.conversation")
        assert page.evaluate("window.hacked") is None
        foreign = [url for url in asked if not url.startswith((lab.url, "data:", "blob:"))]
        assert foreign == []
        page.locator("details").evaluate_all("all => all.forEach(e => e.open = true)")
        told = page.locator(".jp-Notebook").inner_text()
        assert [said for said in ALL_SAID if said not in told] == []
        page.locator("details").evaluate_all("all => all.forEach(e => e.open = false)")
        page.locator("table.conversation").first.scroll_into_view_if_needed()
        page.screenshot(path=SCREENSHOTS / "saved-untrusted.png")
        assert page.evaluate(WIDER) == []
        page.keyboard.press("Control+Shift+C")
        page.locator(".lm-CommandPalette-input").first.fill("Trust Notebook")
        page.locator(".lm-CommandPalette-item:visible").first.click()
        page.get_by_role("button", name="Trust").click()
        page.wait_for_timeout(500)
        save(page)
        page.goto("about:blank")  # so that JupyterLab itself is loaded anew
        open_notebook(page, lab, executed)
        page.wait_for_selector("table.conversation >> nth=1")
        page.wait_for_timeout(2_000)  # a live view, were there one, would be there by now
        assert page.locator(".assistants-live:visible").count() == 0
        assert page.locator(".assistants-still:visible").count() == len(SAID)
        assert not page.get_by_text("Error displaying widget").first.is_visible()
        assert page.evaluate("window.hacked") is None
        assert [url for url in asked if not url.startswith((lab.url, "data:", "blob:"))] == []
        page.locator("table.conversation").first.scroll_into_view_if_needed()
        page.screenshot(path=SCREENSHOTS / "saved-trusted.png")
        assert page.evaluate(WIDER) == []
        page.close()
