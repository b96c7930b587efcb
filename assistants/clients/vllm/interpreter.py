"""The Python that has vLLM, often in an environment of its own, because vLLM's pins are heavy."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from assistants.errors import MissingDependencyError, UsageError

VARIABLE = "ASSISTANTS_VLLM_PYTHON"


def vllm_python(named: str | None = None) -> str:
    """Return the path of the Python that runs vLLM.

    Parameters
    ----------
    named
        A Python that the user named. Otherwise the one in ``ASSISTANTS_VLLM_PYTHON``, this one if
        it has vLLM, or that of the ``vllm`` command on the path.

    Raises
    ------
    UsageError
        If the Python named is no program.
    MissingDependencyError
        If none of them is there.
    """
    named = named or os.environ.get(VARIABLE, "").strip()
    if named:
        path = shutil.which(str(Path(named).expanduser()))
        if path is None:
            raise UsageError(
                f"{named} is no Python that can be run.",
                fix=f"Name one with `--python` or in {VARIABLE}, such as ~/vllm/bin/python.",
            )
        return path
    spec = importlib.util.find_spec("vllm")
    if spec is not None and spec.origin is not None:  # not merely a folder of that name
        return sys.executable
    command = shutil.which("vllm")
    if command is not None and (path := _interpreter_of(Path(command))) is not None:
        return path
    raise MissingDependencyError(
        "vLLM is not installed here, and no other Python was named that has it.",
        fix="Give it an environment of its own: `python3 -m venv ~/vllm` and "
        f"`~/vllm/bin/pip install vllm`; then `--python ~/vllm/bin/python`, or set {VARIABLE}.",
    )


def _interpreter_of(script: Path) -> str | None:
    """Return the interpreter that the first line of a script names."""
    try:
        with script.open("rb") as file:
            first = file.readline(1024)
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode("utf-8", "replace").split()
    return words[0] if words and "python" in Path(words[0]).name else None
