"""Every scenario has an empty folder, no keys, and a server only if it asks for one."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from behave.model import Scenario
from behave.runner import Context

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.story_world import World

# As in conftest.py: a shell in the background has everything ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def before_scenario(context: Context, scenario: Scenario) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "VLLM_", "OLLAMA_", "ASSISTANTS_")):
            del os.environ[name]
    os.environ["ASSISTANTS_NO_PLUGINS"] = "1"
    folder = context.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    context.world = World(Path(folder.name).resolve())


def after_scenario(context: Context, scenario: Scenario) -> None:
    context.world.close()
    context.folder.cleanup()
