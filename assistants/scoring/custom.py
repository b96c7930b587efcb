"""Scorers that users write: a function in a file beside the experiment, or in a module."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_args

from assistants.errors import UsageError
from assistants.scoring.base import Direction, FunctionScorer, Kind, ScorerInput, UnscorableError
from assistants.utils import to_json, truncate_line

Function = Callable[[ScorerInput], float]


def custom(
    spec: str,
    *,
    folder: Path | None = None,
    name: str | None = None,
    unit: str | None = None,
    direction: str | None = None,
    kind: str | None = None,
) -> FunctionScorer:
    """Return the function that ``module:function`` names, as a scorer.

    ``module`` is a file below ``folder`` (``graders``, ``graders.py``, ``graders/tone.py``), or
    else a module that can be imported. The function takes a ``ScorerInput`` and returns a number,
    and may raise ``UnscorableError``. Its unit, direction and kind are its attributes of those
    names unless they are given here. The version holds a digest of the function's file, but not of
    what that imports.

    A file or a function that is missing or broken gives a scorer whose scores all fail with the
    reason: answers are paid for, and a table without a column is easily overlooked.

    Raises
    ------
    UsageError
        If ``spec`` is not of that form, or a direction or kind is none.
    """
    module, _, function = spec.partition(":")
    if not module or not function.isidentifier():
        raise UsageError(
            f"python: {spec!r} does not name a function.", fix="Write it as `module:function`."
        )
    try:
        grade, source = _load(module, function, folder)
    except UnscorableError as missing:
        grade, source = _Failing(str(missing)), f"missing: {missing}"
    attributes = {
        "unit": str(unit or getattr(grade, "unit", "points")),
        "direction": str(direction or getattr(grade, "direction", "neither")),
        "kind": str(kind or getattr(grade, "kind", "number")),
    }
    _check(spec, "direction", attributes["direction"], get_args(Direction))
    _check(spec, "kind", attributes["kind"], get_args(Kind))
    return FunctionScorer(
        name or function,
        attributes["unit"],
        cast(Direction, attributes["direction"]),
        cast(Kind, attributes["kind"]),
        f"python/1 {to_json({'function': function, 'source': source})}",
        grade,
    )


class _Failing:
    """A stand-in for a function that is missing, which says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __call__(self, scorer_input: ScorerInput) -> float:
        raise UnscorableError(self.reason)


def _check(spec: str, what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(
            f"python: {what} of {spec!r} is {value!r}.", fix=f"Use one of: {', '.join(known)}."
        )


def _load(module: str, function: str, folder: Path | None) -> tuple[Function, str]:
    try:
        path = _file(module, folder)
        loaded = _from_file(path) if path else importlib.import_module(module)
        source = path or getattr(loaded, "__file__", None)
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else module
    except UnscorableError:
        raise
    except (Exception, SystemExit) as error:  # a user's file may raise anything while it loads
        message = f"{module} could not be loaded: {type(error).__name__}: {error}"
        raise UnscorableError(truncate_line(message, 250)) from None
    grade: Any = getattr(loaded, function, None)
    if not callable(grade):
        raise UnscorableError(f"there is no function {function!r} in {module}")
    return cast(Function, grade), digest


def _file(module: str, folder: Path | None) -> Path | None:
    """Return the file that ``module`` names below ``folder``, if there is one."""
    is_path = module.endswith(".py")
    parts = module if is_path else module.replace(".", "/") + ".py"
    root = (folder or Path()).resolve()
    path = (root / parts).resolve()
    if path.is_relative_to(root) and path.is_file():
        return path
    if is_path:
        raise UnscorableError(f"there is no file {module} in {root}")
    return None


def _from_file(path: Path) -> ModuleType:
    """Return the module in a file, loaded again when the file has changed."""
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:16]
    name = f"assistants_own_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look for it there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
