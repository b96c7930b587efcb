"""The manifest of a run: what somebody needs to believe it, or to do it again."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from assistants.runs.store import Store

if TYPE_CHECKING:
    from assistants.experiment import Experiment

_PACKAGES = ("assistants", "openai", "pandas", "pyarrow", "xllamacpp", "papermill")


def initial_manifest(experiment: Experiment) -> dict[str, Any]:
    """What is known before anything is asked. No key and no address with one is in it."""
    assistants = experiment.assistants
    personas = {a.name: a for a in assistants}
    clients = {a.model: a.client for a in assistants}
    return {
        "format": 1,
        "experiment": experiment.name,
        "description": experiment.description,
        "source": experiment.source,
        "baseline": experiment.baseline,
        "personas": [
            {
                "name": name,
                "label": a.persona.label,
                "source": a.persona.source,
                "text": a.persona.text,
                "variables": dict(a.variables),
                "sampling": a.settings.as_dict(),
            }
            for name, a in personas.items()
        ],
        "models": [
            {"name": name, "identity": client.identity, "max_concurrency": client.max_concurrency}
            for name, client in clients.items()
        ],
        "fold": sorted({a.model for a in assistants if a.persona_in == "user"}),
        "controls": [asdict(control) for control in experiment.controls],
        "scorers": [],
        "judges": [
            {
                "name": judge.name,
                "model": judge.assistant.model,
                "system_prompt": judge.assistant.system_prompt,
                "rater": judge.rater,
            }
            for judge in experiment.judges
        ],
        "cases": len(experiment.cases),
        "repeats": experiment.repeats,
        "order": {"by": "model, persona, case, repeat", "shuffle": experiment.shuffle},
        "limits": {name: getattr(experiment.limits, name) for name in ("usd", "tokens", "minutes")},
        "concurrency": experiment.concurrency,
        "tape": str(experiment.tape) if experiment.tape else None,
        "versions": {"python": platform.python_version(), **_versions()},
        "git_commit": _git_commit(),
    }


def final_manifest(manifest: Mapping[str, Any], store: Store, run: str) -> dict[str, Any]:
    """The manifest with what only the answers tell."""
    prompts = store.read(
        "SELECT DISTINCT t.persona, p.digest, p.system_prompt FROM trials t "
        "JOIN prompts p ON p.digest = t.prompt WHERE t.run = ?",
        [run],
    )
    served = store.read(
        "SELECT DISTINCT t.model, a.served_model FROM trials t JOIN answers a ON a.key = t.key "
        "WHERE t.run = ? AND a.served_model IS NOT NULL",
        [run],
    )
    return {
        **manifest,
        "system_prompts": [
            {"persona": persona, "digest": digest, "system_prompt": text}
            for persona, digest, text in prompts
        ],
        "served": [{"model": model, "served_model": name} for model, name in served],
        "counts": store.statuses(run),
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The commit of the working directory, with ``+`` where it has been changed since."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
