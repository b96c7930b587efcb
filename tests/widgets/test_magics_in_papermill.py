"""``%%ask`` in a notebook that papermill runs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill

from support.jupyterlab import write_notebook


def test_papermill_leaves_the_answers_to_read(tmp_path: Path) -> None:
    """Of the embedded model and of a scripted one, whole, as HTML and in the next cell."""
    cells = [
        "%load_ext assistants",
        "%%ask -p none -p art -m smollm2 --max-tokens 12 --temperature 0 --into real\nWhy?",
        "%%ask -p art -m echo\nTea with <b>milk</b>?",
        "print(list(real['state']), all(real['answer']))",
    ]
    write_notebook(tmp_path / "input.ipynb", cells)
    papermill.execute_notebook(
        str(tmp_path / "input.ipynb"), str(tmp_path / "done.ipynb"), cwd=str(tmp_path),
        progress_bar=False,
    )  # fmt: skip
    *_, asked, echoed, printed = nbformat.read(tmp_path / "done.ipynb", 4).cells
    real, echo = (
        "".join("".join(out["data"].get("text/html", "")) for out in cell.outputs)
        for cell in (asked, echoed)
    )
    assert "No prompt" in real
    assert "12 tokens" in real
    assert real.count("<td") == 3
    assert "Tea with &lt;b&gt;milk&lt;/b&gt;?" in echo
    assert "You are a painter" in echo
    assert printed.outputs[0]["text"] == "['done', 'done'] True\n"
