"""The manifest of a run: all that somebody needs to believe it, or to repeat it."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from assistants.design import Design
from assistants.runs.store import Store

_PACKAGES = ("assistants", "openai", "pandas", "pyarrow", "xllamacpp", "papermill")


def initial_manifest(design: Design) -> dict[str, Any]:
    """Return the manifest as known before anything is asked. It holds no key and no secret URL."""
    assistants = design.assistants
    personas = {a.name: a for a in assistants}
    clients = {a.model: a.client for a in assistants}
    dropped: dict[str, set[str]] = {}
    for a in assistants:
        dropped.setdefault(a.model, set()).update(a.unsupported)
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
                "sampling": a.requested_sampling.as_dict(),
            }
            for name, a in personas.items()
        ],
        "models": [
            {
                "name": name,
                "identity": client.identity,
                "max_concurrency": client.max_concurrency,
                "unsupported": sorted(dropped.get(name, ())),
                "sent_not_known_to_be_applied": sorted(ignored_settings(design, name)),
            }
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
        "plugins": [plugin.as_dict() for plugin in design.plugins],
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
        "SELECT t.model, a.served_model, a.system_fingerprint, COUNT(*) FROM trials t "
        "JOIN answers a ON a.key = t.key WHERE t.run = ? AND a.served_model IS NOT NULL "
        "GROUP BY 1, 2, 3 ORDER BY MIN(a.started_at)",
        [run],
    )
    return {
        **manifest,
        "system_prompts": [
            {"persona": persona, "digest": digest, "system_prompt": text}
            for persona, digest, text in prompts
        ],
        "served": [
            {
                "model": model,
                "served_model": name,
                "system_fingerprint": fingerprint,
                "answers": answers,
            }
            for model, name, fingerprint, answers in served
        ],
        "counts": store.statuses(run),
    }


def ignored_settings(design: Design, model: str) -> set[str]:
    """Return the settings sent to a model that its provider is not known to apply."""
    server = design.model(model).server
    ignores = set(server.ignores) if server is not None else set()
    sent = (a.effective_sampling.as_dict() for a in design.assistants if a.model == model)
    return ignores & {name for settings in sent for name in settings}


def changes_of_served_model(manifest: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each model whose server changed within the run."""
    sentences = []
    for model in dict.fromkeys(entry["model"] for entry in manifest.get("served", ())):
        entries = [entry for entry in manifest["served"] if entry["model"] == model]
        if len(entries) > 1:
            kinds = ", ".join(
                " ".join(
                    str(part)
                    for part in (
                        entry["served_model"],
                        entry.get("system_fingerprint"),
                        f"({entry['answers']:,})" if "answers" in entry else None,
                    )
                    if part is not None
                )
                for entry in entries
            )
            sentences.append(f"{model} was not the same all the time: answers are of {kinds}.")
    return sentences


@cache  # importlib reads a file of each package
def _versions() -> Mapping[str, str]:
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
