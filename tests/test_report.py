"""The report: the batch notebook executed, and a page that needs nothing but itself."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from assistants.errors import MissingDependencyError, ReportError, UsageError
from assistants.experiment import Experiment
from assistants.report import (
    batch_notebook,
    execute,
    refuse_unknown_parameters,
    to_page,
    write_report,
)
from assistants.results import Results, Run
from assistants.runs.retry import RetryPolicy
from support.commands import COMMAND, call, write_experiment
from support.faulty_server import FaultyServer


@pytest.fixture(autouse=True)
def at_server(here: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """``vllm:`` is the loopback server, and nothing waits between attempts."""
    monkeypatch.setenv("VLLM_BASE_URL", server.url)
    monkeypatch.setattr(RetryPolicy, "wait_s", lambda self, tried, error: None)
    monkeypatch.setattr(RetryPolicy, "refusal_wait_s", lambda self, error: None)


def notebook(*cells: str, path: str = "a.ipynb") -> Path:
    """A notebook whose first cell holds parameters."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.cells[0].metadata["tags"] = ["parameters"]
    made.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "P"}
    nbformat.write(made, path)
    return Path(path)


class Links(HTMLParser):
    """What a page refers to: ``(tag, attribute, value)``."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        wanted = {"src", "href", "srcset", "data", "action", "poster", "background", "style"}
        self.found += [(tag, k, v or "") for k, v in attrs if k in wanted or k.startswith("on")]


def test_a_report_shows_a_run_and_asks_nothing(server: FaultyServer) -> None:
    """The page has the name, the question, every answer and prompt; no model is asked again."""
    file = write_experiment(description="Two <b>personas</b>", repeats=2)
    done = call("run", file)
    assert done.code == 0
    questions = [each for each in server.requests if each.path.endswith("completions")]
    assert len(questions) == 4
    run = Results().latest()
    page = (run.folder / "report.html").read_text("utf-8")
    assert f"report: {run.folder / 'report.html'}" in done.out
    assert page.count("<h1>") == 1
    assert "<h1>exp</h1>" in page
    assert "Two &lt;b&gt;personas" in page
    assert "Why is the sky blue?" in page
    assert page.count('aria-label="art"') == 1
    assert "You are a painter" in page
    assert "papermill" not in page  # what only somebody who has the notebook needs is left out
    assert "TCP without encryption" not in done.err
    assert_self_contained(page)
    executed = nbformat.read(run.folder / "report.ipynb", as_version=4)
    assert [c for c in executed.cells if "injected-parameters" in c.metadata.get("tags", [])]


def assert_self_contained(page: str) -> None:
    assert re.search(
        r"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';", page
    )
    links = Links(page)
    assert not links.tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    allowed = {
        "a": r"#[a-z0-9-]+|data:text/csv;charset=utf-8;base64,[A-Za-z0-9+/=]+",
        "img": r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+",
    }
    for tag, _, value in links.found:
        assert re.fullmatch(allowed[tag], value), value
    assert "@import" not in page
    assert "url(" not in page


def interrupted_run(server: FaultyServer, file: str) -> Run:
    server.latency = 5

    async def stopped() -> None:
        await asyncio.wait_for(Experiment.load(file).run(on_progress=lambda progress: None), 1.0)

    with pytest.raises(TimeoutError):
        asyncio.run(stopped())
    return Results().latest()


def failed_run(server: FaultyServer, file: str) -> Run:
    assert call("run", file, "--no-report").code == 1
    return Results().latest()


@pytest.mark.parametrize("how", ["failures", "interrupted"])
def test_a_run_that_did_not_end_well_is_reported_too(
    server: FaultyServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures with their reasons, and trials that were never asked, are all there."""
    file = write_experiment()
    if how == "failures":
        monkeypatch.setenv("VLLM_BASE_URL", server.url_of("400"))
        run = failed_run(server, file)
    else:
        run = interrupted_run(server, file)
    asked = len(server.requests)
    page = write_report(run, file).read_text("utf-8")
    assert run.outcome == how
    assert len(server.requests) == asked
    assert page.count('<header class="bad">') == 2
    assert f"{run.id}, {how}" in page
    assert "2 error" in page if how == "failures" else "2 open" in page
    if how == "failures":
        assert page.count("HTTP 400") >= 2
    assert_self_contained(page)


def test_unknown_parameters_are_refused() -> None:
    """``execute`` names the nearest parameter, before a kernel starts."""
    with pytest.raises(UsageError, match="no parameter 'experimnt'") as caught:
        execute(batch_notebook(), Path("out.ipynb"), {"experimnt": "x"})
    assert "'experiment'" in caught.value.fix
    assert not Path("out.ipynb").exists()


def test_a_notebook_refuses_what_papermill_lets_through() -> None:
    """By hand with papermill, a parameter that is mistyped stops the notebook at its first line."""
    command = ["papermill", str(batch_notebook()), "out.ipynb", "-p", "experimnt", "x"]
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert "There is no parameter 'experimnt'" in done.stderr
    assert "Did you mean 'experiment'?" in done.stderr


@pytest.mark.parametrize(
    ("own", "given", "refused"),
    [
        ("a = 1", "# Parameters\na = 2\n", ""),
        ("a = 1  # why", "# Parameters\na = 2\nb = 3\n", "b"),
        ("a: int = 1", "# Parameters\na = 2\n", ""),
        ("a = 1", "import os", ""),
        ("a = 1", "x = 5", ""),
        ("", "# Parameters\nz = 1", "z"),
    ],
)
def test_what_counts_as_a_parameter(own: str, given: str, refused: str) -> None:
    """Only the cell that papermill adds is looked at, and names with a type count too."""
    cells = ["", own, given]
    if refused:
        with pytest.raises(UsageError, match=f"'{refused}'"):
            refuse_unknown_parameters(cells)
    else:
        refuse_unknown_parameters(cells)
    refuse_unknown_parameters(cells[:2])


def test_a_broken_cell_leaves_a_notebook_to_read() -> None:
    """The error says which cell and why; the notebook has what came before, and the traceback."""
    with pytest.raises(ReportError, match=r"cell 2: ZeroDivisionError: division by zero") as caught:
        execute(notebook("a = 1", "print('so far'); 1 / 0", "3"), Path("out/b.ipynb"), {})
    assert "out/b.ipynb" in caught.value.fix
    left = nbformat.read("out/b.ipynb", as_version=4)
    outputs = [output for cell in left.cells for output in cell.get("outputs", [])]
    assert any(output.get("text") == "so far\n" for output in outputs)
    assert any(output.output_type == "error" for output in outputs)


def test_a_kernel_that_dies_is_an_error() -> None:
    """Not a traceback of the notebook machinery."""
    with pytest.raises(ReportError, match="kernel died"):
        execute(notebook("a = 1", "import os; os._exit(1)"), Path("out.ipynb"), {})


def test_the_kernel_is_this_python() -> None:
    """Whatever kernel is called python3 on this machine; and no TCP port is opened for it."""
    code = "import sys, glob\nprint(sys.executable)\nfrom IPython import get_ipython\n"
    code += "print(get_ipython().kernel.parent.transport)"
    execute(notebook("a = 1", code), Path("out.ipynb"), {})
    (output,) = nbformat.read("out.ipynb", as_version=4).cells[1].outputs
    assert output.text == f"{sys.executable}\nipc\n"


def test_cells_for_the_notebook_only_are_left_out() -> None:
    """The page is for readers: cells with that tag, code and prompts are not on it."""
    path = notebook("a = 1", "secret_code()")
    made = nbformat.read(path, as_version=4)
    made.cells.append(nbformat.v4.new_markdown_cell("# Kept"))
    left_out = nbformat.v4.new_markdown_cell("# How to run")
    left_out.metadata["tags"] = ["notebook-only"]
    made.cells.append(left_out)
    nbformat.write(made, path)
    page = to_page(path, "<exp>")
    assert "Kept" in page
    assert "How to run" not in page
    assert "secret_code" not in page
    assert "<title>&lt;exp&gt;</title>" in page
    assert "<h1>&lt;exp&gt;</h1>" in page


def test_sections_have_contents_and_anchors() -> None:
    """Each heading of ours is linked once; those of outputs, and of empty sections, are not."""
    path = notebook("a = 1")
    made = nbformat.read(path, as_version=4)
    tags = {"tags": ["folded"]}
    folded = nbformat.v4.new_markdown_cell("## Two & <b>\n\nSome *text*.", metadata=tags)
    output = nbformat.v4.new_output("display_data", {"text/html": "<h2 id='x'>Not ours</h2>"})
    nothing = nbformat.v4.new_output(
        "display_data", {"text/plain": "Nobody voted."}, metadata={"absent": True}
    )
    made.cells += [
        nbformat.v4.new_markdown_cell("## One"),
        nbformat.v4.new_code_cell("x", outputs=[output]),
        nbformat.v4.new_markdown_cell("## Votes"),
        nbformat.v4.new_code_cell("x", outputs=[nothing]),
        folded,
    ]
    nbformat.write(made, path)
    page = to_page(path, "x")
    links = [value for tag, name, value in Links(page).found if (tag, name) == ("a", "href")]
    assert [page.count(f'id="{link[1:]}"') for link in links] == [1, 1]
    assert page.count("<h2") == 3
    assert "<summary><h2>Two &amp; &lt;b&gt;</h2></summary>" in page
    assert "Some <em>text</em>." in page
    assert "<li><b>Votes</b> Nobody voted.</li>" in page


def test_a_table_is_also_a_file() -> None:
    """In the link itself, with every character; the rest of the page cannot make such a link."""
    path = notebook("a = 1")
    made = nbformat.read(path, as_version=4)
    csv = 'persona,words\n"</a><script>alert(1)</script>",3\n'
    link = '<a href="data:text/csv;base64,QQ==" download="x.csv">mine</a>'
    made.cells[0].outputs = [
        nbformat.v4.new_output("display_data", {"text/html": link, "text/csv": csv})
    ]
    nbformat.write(made, path)
    found = Links(to_page(path, "x")).found
    ((tag, name, value),) = [each for each in found if each[1] == "href"]
    kind, _, data = value.partition("base64,")
    assert (tag, name, kind) == ("a", "href", "data:text/csv;charset=utf-8;")
    assert base64.b64decode(data).decode() == csv


def test_an_output_with_half_a_character_breaks_no_page() -> None:
    """A notebook's JSON can hold a lone surrogate; the page says which."""
    path = notebook("a = 1")
    made = nbformat.read(path, as_version=4)
    data = {"text/html": "<b>half \ud800</b>", "text/plain": "half \ud800"}
    made.cells[0].outputs = [nbformat.v4.new_output("display_data", data)]
    path.write_text(json.dumps(made), encoding="utf-8")
    assert "<b>half \\ud800</b>" in to_page(path, "x")


def test_a_picture_is_an_image_with_its_words() -> None:
    """SVG is shown as an image that can run nothing; entities are not even passed on."""
    path = notebook("a = 1")
    made = nbformat.read(path, as_version=4)
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>window.hacked=1</script></svg>'
    bomb = '<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>'
    for number, text in enumerate((svg, bomb)):
        data = {"image/svg+xml": text, "image/png": "x", "text/plain": f'{number} "<b>'}
        made.cells[0].outputs.append(nbformat.v4.new_output("display_data", data))
    nbformat.write(made, path)
    page = to_page(path, "x")
    images = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]*)">', page)
    assert [(base64.b64decode(data).decode(), html.unescape(alt)) for data, alt in images] == [
        (svg, '0 "<b>')
    ]
    assert "window.hacked" not in page
    assert "declares entities" in page
    assert "part-" not in page


def without(package: str) -> list[str]:
    """The command in a Python that cannot import a package."""
    code = """
        import importlib.abc, sys
        class Block(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "PACKAGE":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Block())
        from assistants.cli import main
        main()
    """
    return [COMMAND[0], "-c", textwrap.dedent(code).replace("PACKAGE", package)]


@pytest.mark.parametrize("package", ["papermill", "nbconvert", "ipykernel"])
def test_without_papermill_a_run_is_still_a_run(package: str) -> None:
    """It ends with its own exit code, everything but the report, and the command that helps."""
    command = [*without(package), "run", write_experiment()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert f"{package} is not installed" in done.stderr
    assert "pip install 'assistants[notebooks]'" in done.stderr
    assert "report: " not in done.stdout
    assert (Results().latest().folder / "trials.parquet").exists()


def test_a_report_that_breaks_off_does_not_change_the_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A warning, and the exit code of the run; its words cannot drive the terminal."""
    import assistants.report as report

    def broken(*args: object) -> Path:
        raise ReportError("cell 3: Oops: \x1b[2J.", fix="See it.")

    monkeypatch.setattr(report, "write_report", broken)
    done = call("run", write_experiment())
    assert done.code == 0
    assert "warning: cell 3: Oops: \\x1b[2J. See it." in done.err


def test_no_batch_notebook_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that lost its notebook says so."""
    import assistants.report as report

    monkeypatch.setattr(report, "NOTEBOOK", "nope.ipynb")
    with pytest.raises(MissingDependencyError, match=r"nope\.ipynb"):
        batch_notebook()
