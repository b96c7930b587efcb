"""Scorers and rubrics that come from other packages."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, get_args

from assistants.errors import FileError, UnknownNameError
from assistants.scoring.base import Direction, FunctionScorer, Kind, Scorer
from assistants.scoring.judge import Criteria
from assistants.utils import Plugin, PluginGroup


class ScorerPlugin(Protocol):
    """A function that returns a scorer for the settings that an experiment gives.

    An entry point of the group ``assistants.scorers`` has the scorer's name and leads to such a
    function. Its parameters are the settings; the first one is that of ``NAME: value``. ``name``,
    which is the column, is not among them.
    """

    def __call__(self, **settings: Any) -> Scorer:
        """Return the scorer, as ``measure`` does."""
        ...


class RubricPlugin(Protocol):
    """A function that returns the criteria of a rubric.

    An entry point of the group ``assistants.rubrics`` has the rubric's name and leads to such a
    function. Several entry points may lead to one.
    """

    def __call__(self, name: str) -> Criteria:
        """Return the criteria of the rubric called ``name``."""
        ...


def build_scorer(plugin: Plugin, settings: Any, where: str) -> FunctionScorer:
    """Return the scorer of a plug-in, whose version also names the package and its version.

    Parameters
    ----------
    settings
        All settings by name, or the value of the first one.

    Raises
    ------
    FileError
        If a setting is unknown or missing.
    PluginError
        If the plug-in gives no scorer.
    """
    build = plugin.load_function()
    try:
        signature = inspect.signature(build)
    except (TypeError, ValueError) as error:
        raise plugin.error(f"its parameters cannot be told: {error}") from None
    if not isinstance(settings, Mapping):
        if not signature.parameters:
            raise FileError(where, f"{plugin.name} takes no value.", fix="Write its name alone.")
        settings = {next(iter(signature.parameters)): settings}
    chosen = {str(key): value for key, value in settings.items() if key != "name"}
    try:
        signature.bind(**chosen)
    except TypeError as error:
        fix = f"It takes {', '.join(signature.parameters) or 'no settings'}."
        raise FileError(where, f"{plugin.name}: {error}.", fix=fix) from None
    name = settings.get("name", plugin.name)
    if not isinstance(name, str):
        raise FileError(where, f"{plugin.name}: name has to be text.")
    scorer: Scorer = plugin.call(Scorer, settings=chosen)
    if scorer.direction not in get_args(Direction) or scorer.kind not in get_args(Kind):
        raise plugin.error(f"its direction is {scorer.direction!r} and its kind {scorer.kind!r}")
    return FunctionScorer(
        name,
        str(scorer.unit),
        scorer.direction,
        scorer.kind,
        f"{plugin.package}/{plugin.version} {plugin.name} {scorer.version}",
        scorer.score,
        plugin,
    )


def load_criteria(plugin: Plugin) -> Criteria:
    """Return the criteria of a plug-in.

    Raises
    ------
    PluginError
        If it gives none.
    """
    criteria: Criteria = plugin.call(Criteria, [plugin.name])
    return criteria


RUBRIC_PLUGINS = PluginGroup(
    kind="rubric", group="assistants.rubrics", built_in=lambda: (), check=load_criteria
)
"""The rubrics of other packages."""


def find_criteria(name: str, where: str) -> tuple[Criteria, Plugin]:
    """Return the criteria of the rubric of that name, and the plug-in that it comes from.

    Raises
    ------
    UnknownNameError
        If no plug-in has such a rubric.
    PluginError
        If it is of a plug-in that is broken.
    """
    plugins = RUBRIC_PLUGINS.usable()
    if name not in plugins:
        raise UnknownNameError("rubric", name, plugins, where=where)
    return load_criteria(plugins[name]), plugins[name]
