"""A plan can be seen: on any terminal, and as a figure that may stand in any page."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.servers import GIB, Gpu, ModelRequest, Plan, make_plan, read_model
from support.published_configs import CONFIGS

HOSTILE = "<script>x</script>\"'&\x1b[2J\u202e]]>\ud800"
ALLOWED = {"svg", "title", "rect", "text", "g"}


def planned(*names: str, gpu: str = "L4") -> Plan:
    facts = read_model(CONFIGS["gemma-3-1b"][1])
    models = [ModelRequest(name, facts) for name in names]
    large = ModelRequest("Mixtral", read_model(CONFIGS["Mixtral-8x7B"][1]))
    cards = [Gpu(0, gpu, 24 * GIB, 21 * GIB), Gpu(1, gpu, 24 * GIB, 24 * GIB)]
    return make_plan([*models, large], cards)


def test_blocks_add_up_to_the_gpu() -> None:
    """What others hold, what servers take and what is free: every byte once."""
    made = planned("a", "b")
    for gpu in made.gpus:
        assert sum(block.size for block in made.blocks(gpu)) == gpu.total
    first = made.blocks(made.gpus[0])
    assert first[0].part == "taken"
    assert {block.part for block in first} >= {"taken", "unused"}
    assert {block.model for gpu in made.gpus for block in made.blocks(gpu)} == {None, "a", "b"}


def test_the_text_shows_columns_servers_and_what_is_missing() -> None:
    """One column a GPU beside each other, one block a model with its sizes, then the flags."""
    shown = repr(planned("first", "second"))
    titles = next(line for line in shown.splitlines() if "GPU 0" in line)
    assert "GPU 1" in titles
    assert "first weights 1.9 GiB" in shown
    assert "taken 3.0 GiB" in shown
    assert "--gpu-memory-utilization" in shown
    assert "Mixtral does not fit: it takes" in shown
    assert max(map(len, shown.splitlines()[:16])) <= 110


def test_a_narrow_terminal_gets_one_column_after_the_other() -> None:
    """No line of the picture is wider than what there is."""
    shown = planned("a").text(width=40).splitlines()
    assert [line.split()[1] for line in shown if line.startswith("GPU")] == ["0", "1"]


def check_figure(figure: str) -> ET.Element:
    """Well-formed, with nothing in it that runs, fetches, styles or names anything."""
    figure.encode("utf-8")
    root = ET.fromstring(figure)
    for element in root.iter():
        assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in ALLOWED
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("href", "style", "id", "class")
            assert "url(" not in value
    return root


def test_a_figure_is_safe_whatever_a_model_is_called() -> None:
    """Names come from files and people: no markup, no control characters, no bidi."""
    figure = planned(HOSTILE, "b", gpu=HOSTILE).svg()
    root = check_figure(figure)
    assert not set("\x1b\u202e\ud800") & set(figure)
    said = " ".join(element.text or "" for element in root.iter())
    assert "<script>x</script>" in said
    assert "added it would." in said  # the longest sentence is there to its end


def test_text_is_safe_whatever_a_model_is_called() -> None:
    """The same on a terminal."""
    shown = planned(HOSTILE, gpu=HOSTILE).text()
    assert not set("\x1b\u202e\ud800") & set(shown)
    shown.encode("utf-8")


@settings(max_examples=30, deadline=None)
@given(name=st.text(min_size=1, max_size=60))
def test_any_name_makes_a_figure(name: str) -> None:
    """Whatever text: a figure that parses and a text that prints."""
    made = planned(name)
    check_figure(made.svg())
    made.text().encode("utf-8")


def test_a_notebook_shows_the_figure() -> None:
    """The last value of a cell is drawn."""
    made = planned("a")
    assert made._repr_html_() == made.svg()
    rows = check_figure(made.svg()).findall("{http://www.w3.org/2000/svg}g")
    assert len(rows) == sum(len(made.blocks(gpu)) for gpu in made.gpus)
