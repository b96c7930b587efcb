"""The manifest of a run: all that somebody needs to believe it, or to repeat it."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from assistants.design import Design
from assistants.runs.store import Store

_PACKAGES = ("assistants", "openai", "pandas", "pyarrow", "xllamacpp", "papermill")


def initial_manifest(design: Design) -> dict[str, Any]:
    """Return the manifest as known before anything is asked. It holds no key and no secret URL."""
    assistants = design.assistants
    personas = {a.name: a for a in assistants}
    clients = {a.model: a.client for a in assistants}
    return {
        "format": 1,
        "experiment": design.name,
        "description": design.description,
        "source": design.source,
        "baseline": design.baseline,
        "personas": [
            {
                "name": name,
                "label": a.persona.label,
                "source": a.persona.source,
                "text": a.persona.text,
                "variables": dict(a.variables),
                "sampling": a.effective_sampling.as_dict(),
            }
            for name, a in personas.items()
        ],
        "models": [
            {"name": name, "identity": client.identity, "max_concurrency": client.max_concurrency}
            for name, client in clients.items()
        ],
        "fold": sorted({a.model for a in assistants if a.persona_in == "user"}),
        "controls": [asdict(control) for control in design.controls],
        "scorers": [],
        "judges": [
            {
                "name": judge.name,
                "model": judge.assistant.model,
                "system_prompt": judge.assistant.system_prompt,
                "rater": judge.rater,
            }
            for judge in design.judges
        ],
        "cases": len(design.cases),
        "repeats": design.repeats,
        "order": {"by": "model, persona, case, repeat", "shuffle": design.shuffle},
        "limits": {name: getattr(design.limits, name) for name in ("usd", "tokens", "minutes")},
        "concurrency": design.concurrency,
        "tape": str(design.tape) if design.tape else None,
        "versions": {"python": platform.python_version(), **_versions()},
        "git_commit": _git_commit(),
    }


def final_manifest(manifest: Mapping[str, Any], store: Store, run: str) -> dict[str, Any]:
    """Return the manifest with what only the answers show: prompts, served models, counts."""
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
    """Return the commit of the working directory, with ``+`` where it has changed since."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
