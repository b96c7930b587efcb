"""A machine on which servers can be started."""

from __future__ import annotations

import json
import shlex

from behave import given, when
from behave.runner import Context

from support.fake_vllm_python import python_with_vllm
from support.published_configs import CONFIGS


@given("a machine that has vLLM")
def machine(context: Context) -> None:
    world = context.world
    python = python_with_vllm(world.folder)
    world.extra_environment = {
        "ASSISTANTS_CACHE": str(world.folder / "cache"),
        "ASSISTANTS_VLLM_PYTHON": str(python),
    }


@given("a file of servers with a small model and one that is too large")
def file_of_servers(context: Context) -> None:
    lines = []
    for name, model in {"small": "gemma-3-1b", "large": "DeepSeek-V3"}.items():
        file = context.world.folder / f"{name}.json"
        file.write_text(json.dumps(CONFIGS[model][1]))
        lines += [f"[servers.{name}]", f'model = "{model}"', f'config = "{file.name}"']
    (context.world.folder / "servers.toml").write_text("\n".join(lines))


@when('I type "assistants {line}"')
def type_it(context: Context, line: str) -> None:
    context.world.run(shlex.split(line))
