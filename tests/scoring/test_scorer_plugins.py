"""Scorers and rubrics of other packages, by name and settings like those that are built in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assistants.errors import FileError, PluginError, UnknownNameError
from assistants.experiment import Experiment
from assistants.scoring import Score, ScorerInput, apply_scorer, make_scorer
from support.plugins import install

SCORER = """
from assistants.scoring import measure


def count(scored, word, least):
    return max(least, scored.answer.count(word))


def mentions(word, least=0):
    return {result}
"""

MEASURE = "measure(count, 'anything/1', unit='mentions', word=word, least=least)"


def provide(packages: Path, result: str = MEASURE, version: str = "1.0") -> None:
    text = "[assistants.scorers]\nmentions = a_scorer:mentions\n"
    modules = {"a_scorer.py": SCORER.format(result=result)}
    install(packages, "a-scorer", text, modules, version=version)


@pytest.mark.parametrize(
    ("entry", "name", "value"),
    [
        ({"mentions": "soil"}, "mentions", 1.0),
        ({"mentions": {"word": "soil", "least": 3}}, "mentions", 3.0),
        ({"mentions": {"word": "rain", "name": "rainy"}}, "rainy", 0.0),
    ],
)
def test_a_scorer_of_a_plugin(entry: Any, name: str, value: float, packages: Path) -> None:
    """Its column is the name that the experiment uses; no `allow_code` is needed."""
    provide(packages)
    scorer = make_scorer(entry)
    assert (scorer.name, scorer.unit) == (name, "mentions")
    assert apply_scorer(scorer, ScorerInput("?", "soil")) == Score(value)


def test_its_version_names_the_package_and_the_settings(
    packages: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores are shared exactly where package, versions and settings are equal."""
    provide(packages)
    version = make_scorer({"mentions": "soil"}).version
    assert version.startswith("a-scorer/1.0 mentions anything/1 ")
    assert make_scorer({"mentions": {"word": "soil", "name": "other"}}).version == version
    assert make_scorer({"mentions": "rain"}).version != version
    newer = tmp_path_factory.mktemp("newer")
    provide(newer, version="1.1")
    monkeypatch.syspath_prepend(str(newer))
    assert make_scorer({"mentions": "soil"}).version.startswith("a-scorer/1.1 mentions ")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("mentions", "missing a required argument: 'word'"),
        ({"mentions": {"word": "x", "wrd": 1}}, "unexpected keyword argument 'wrd'"),
        ({"mentions": {"word": "x", "name": 5}}, "name has to be text"),
    ],
)
def test_a_wrong_setting(entry: Any, message: str, packages: Path) -> None:
    """It is refused at its place in the file, with the settings that there are."""
    provide(packages)
    with pytest.raises(FileError, match=message) as raised:
        make_scorer(entry, where="exp.yaml:7")
    assert raised.value.where == "exp.yaml:7"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("5", "returned int, not Scorer"),
        ("1 / 0", "ZeroDivisionError"),
        ("measure(count, 'a/1', unit='x', direction='sideways')", "direction is 'sideways'"),
    ],
)
def test_a_broken_scorer(result: str, reason: str, packages: Path) -> None:
    """It is an error that names it; a mistake while it scores is a failed score, as always."""
    provide(packages, result)
    with pytest.raises(PluginError, match=reason):
        make_scorer({"mentions": "soil"})


def test_a_run_is_scored_by_name(packages: Path, tmp_path: Path) -> None:
    """In a table of a stored run, too; an unknown one is told the plug-ins' names."""
    text = "[assistants.scorers]\nsoil = a_scorer:mentions\n"
    result = MEASURE.replace("word=word", "word='soil'")
    source = SCORER.format(result=result).replace("mentions(word,", "mentions(")
    install(packages, "a-scorer", text, {"a_scorer.py": source})
    experiment = Experiment.define("x", personas=["none"], models=["echo"], cases=["soil?"])
    run = experiment.run_sync(tmp_path / "results")
    assert list(run.scores("soil")["value"]) == [1.0]
    with pytest.raises(UnknownNameError, match="'soil'"):
        run.scores("soill")


RUBRIC = "from assistants.scoring import Criteria\n\n\ndef rubric(name):\n    return {result}\n"


def judged(packages: Path, result: str, **settings: Any) -> Experiment:
    text = "[assistants.rubrics]\nclarity = a_rubric:rubric\n"
    install(packages, "a-rubric", text, {"a_rubric.py": RUBRIC.format(result=result)})
    judge = {"model": "echo", "rubric": "clarity", **settings}
    return Experiment.define(
        "x", personas=["none"], models=["echo"], cases=["?"], scorers=[{"judge": judge}]
    )


def test_a_rubric_of_a_plugin(packages: Path) -> None:
    """Its criteria and its scale are the judge's; a scale of the experiment goes before."""
    result = "Criteria({'clear': 'Can a child follow it?', 'kind': 'Is it?'}, scale=(0, 9))"
    experiment = judged(packages, result)
    (judge,) = experiment.judges
    assert "clear: Can a child follow it?" in (judge.assistant.system_prompt or "")
    assert "from 0 (worst) to 9 (best)" in (judge.assistant.system_prompt or "")
    assert [plugin.name for plugin in experiment.plugins] == ["clarity"]


def test_the_scale_of_an_experiment_goes_before_that_of_a_rubric(packages: Path) -> None:
    """As every setting of a file does."""
    (judge,) = judged(packages, "Criteria({'clear': '?'}, (0, 9))", scale=[1, 3]).judges
    assert "from 1 (worst) to 3 (best)" in (judge.assistant.system_prompt or "")


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("{'clear': '?'}", "returned dict, not Criteria"),
        ("Criteria({})", "a question, as a text"),
        ("Criteria({'clear': 5})", "a question, as a text"),
        ("Criteria({'clear': '?'}, (5, 1))", "goes from 5 to 1"),
        ("Criteria({'clear': '?'}, 'ab')", "goes from a to b"),
    ],
)
def test_a_broken_rubric(result: str, reason: str, packages: Path) -> None:
    """It is an error that names it."""
    with pytest.raises(PluginError, match=reason) as raised:
        judged(packages, result)
    assert "rubric 'clarity' of a-rubric 1.0" in str(raised.value)


def test_a_judge_takes_one_of_them(packages: Path) -> None:
    """A rubric or criteria, and a name that there is."""
    with pytest.raises(FileError, match="one of them"):
        judged(packages, "Criteria({'clear': '?'})", criteria={"clear": "?"})
    with pytest.raises(UnknownNameError, match="unknown rubric 'clarty'"):
        Experiment.define(
            "x", personas=["none"], models=["echo"], cases=["?"],
            scorers=[{"judge": {"model": "echo", "rubric": "clarty"}}],
        )  # fmt: skip
