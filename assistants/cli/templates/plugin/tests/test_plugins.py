"""The plug-ins of this package, as an experiment finds them: install it first."""

from pathlib import Path

from assistants import Experiment


async def test_an_experiment_uses_them(tmp_path: Path) -> None:
    """The persona reaches the model, its answers are scored, and the judge grades them."""
    experiment = Experiment.load("experiment.yaml")
    assert [plugin.name for plugin in experiment.plugins] == [
        "gardener", "parrot", "clarity", "mentions",
    ]  # fmt: skip
    run = await experiment.run(tmp_path)
    trials = run.trials().set_index("persona")
    assert trials.loc["gardener", "answer"].str.contains("SOIL").all()
    scores = run.scores("mentions").groupby("persona")["value"].mean()
    assert scores["gardener"] > scores["none"]
    assert set(run.scores("judge.clear")["value"]) == {4.0}
