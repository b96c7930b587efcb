"""Every scenario has an empty folder, no keys, and a server only if it asks for one.

Those of a feature that is tagged ``jupyterlab`` share one JupyterLab and one Chromium, in whose
root their folders are, and each has a page of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from behave.fixture import fixture, use_fixture
from behave.model import Feature, Scenario
from behave.runner import Context

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.story_world import World

# As in conftest.py: a shell in the background has everything ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@fixture
def jupyterlab(context: Context) -> Iterator[None]:
    from support.browser import chromium, jupyter_lab

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        context.lab = stack.enter_context(jupyter_lab(Path(folder).resolve()))
        context.browser = stack.enter_context(chromium())
        context.browser_context = context.browser.new_context()
        yield


def before_feature(context: Context, feature: Feature) -> None:
    if "jupyterlab" in feature.tags:
        use_fixture(jupyterlab, context)


@fixture
def lab_page(context: Context) -> Iterator[None]:
    context.page = context.browser_context.new_page()
    context.page.set_viewport_size({"width": 1280, "height": 1000})
    yield
    context.lab.shut_down_kernels()
    context.page.close()


def before_scenario(context: Context, scenario: Scenario) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "VLLM_", "OLLAMA_", "ASSISTANTS_")):
            del os.environ[name]
    os.environ["ASSISTANTS_NO_PLUGINS"] = "1"
    root = None
    if "jupyterlab" in scenario.effective_tags:
        use_fixture(lab_page, context)
        root = context.lab.root
    folder = context.folder = tempfile.TemporaryDirectory(dir=root, ignore_cleanup_errors=True)
    context.world = World(Path(folder.name).resolve())


def after_scenario(context: Context, scenario: Scenario) -> None:
    context.world.close()
    context.folder.cleanup()
