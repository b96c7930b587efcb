"""Packages with plug-ins, written as an installer leaves them: modules and their metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def install(
    folder: Path,
    package: str,
    entry_points: str,
    modules: Mapping[str, str] = {},
    *,
    version: str = "1.0",
    source_folder: Path | None = None,
) -> None:
    """Write a package's metadata into ``folder``, and its modules there or where it is edited."""
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    if source_folder is not None:
        origin = {"url": source_folder.as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")
    for name, source in modules.items():
        path = (source_folder or folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")


def persona_module(says: str) -> str:
    """Return a module whose ``persona`` gives a persona with that text."""
    return (
        "from assistants.personas import Persona\n\n\n"
        f"def persona(name):\n    return Persona(name, {says!r}, description='Of a plug-in.')\n"
    )
