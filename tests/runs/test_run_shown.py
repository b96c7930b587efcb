"""A stored run is drawn and shown without a model, and an experiment runs from a plain script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assistants import Experiment, Results, Run
from assistants.analysis.plots import Figure
from assistants.errors import UnknownNameError, UsageError
from assistants.scoring import make_scorer
from support.experiments import experiment_at, quiet
from support.faulty_server import FaultyServer

SCRIPT = """\
from assistants import Experiment

experiment = Experiment.define("tea", personas=["none"], models=["echo"], cases=["Tea?"])
print(experiment.run_sync("stored").statuses())
"""


@pytest.fixture
async def scored(here: Path, server: FaultyServer) -> tuple[Run, FaultyServer]:
    """Return a run of two personas on three cases, read back, and the server that answered."""
    run = await experiment_at(server.url, 3, baseline="none", scorers=(make_scorer("words"),)).run(
        on_progress=quiet
    )
    return Results().get(run.id), server


def test_an_experiment_runs_from_a_script(here: Path) -> None:
    """``run_sync`` needs no event loop of the caller's."""
    Path("tea.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "tea.py"], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "{'ok': 1}\n"
    assert Results("stored").latest("tea").outcome == "complete"


async def test_run_sync_is_for_scripts(here: Path) -> None:
    """Where an event loop runs already, ``await run()`` is the way."""
    experiment = Experiment.define("tea", personas=["none"], models=["echo"], cases=["Tea?"])
    with pytest.raises(UsageError, match="await"):
        experiment.run_sync()


@pytest.mark.parametrize("plot", ["effects", "heat_map", "distributions", "cost"])
async def test_each_plot_is_drawn_without_a_model(
    scored: tuple[Run, FaultyServer], plot: str
) -> None:
    """Every persona stands in the figure, and nothing is asked for it."""
    run, server = scored
    asked = len(server.requests)
    figure = getattr(run.plot, plot)("words")
    assert isinstance(figure, Figure)
    assert "terse" in str(figure.table.to_dict())
    assert len(server.requests) == asked


async def test_a_section_of_the_report_is_shown(scored: tuple[Run, FaultyServer]) -> None:
    """``run.show`` takes the report's names of sections."""
    run, _ = scored
    assert "terse" in repr(run.show("effects"))


async def test_an_unknown_section_is_refused_by_name(scored: tuple[Run, FaultyServer]) -> None:
    """The error names the nearest section that there is."""
    run, _ = scored
    with pytest.raises(UnknownNameError, match="effects"):
        run.show("effect")
