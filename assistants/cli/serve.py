"""``assistants serve``, ``plan``, ``servers`` and ``stop``: local vLLM servers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistants.cli import options, server_output
from assistants.cli.console import out, say, show
from assistants.errors import ServerStartError, UnknownNameError, UsageError
from assistants.utils import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assistants.clients import ServerRecord
    from assistants.servers import LaunchOptions, Plan

Gpus = Annotated[str | None, typer.Option(metavar="GPUS", help="Sizes, such as 24GiB,24GiB.")]
Aim = Annotated[
    str | None,
    typer.Option(metavar="AIM", help="`fit all`, `longest context` or `most conversations`."),
]
Free = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Memory of each GPU to leave for the cache: 4GiB."),
]


_WITH_PLAN = frozenset({"plan", "key_from", "python", "wait", "detach"})
"""Options that hold for all servers of a plan file; the file has the others, for each server."""


def serve(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="A folder of weights, a name on the hub, or smollm2."
        ),
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="After `--`: options of vLLM's own server."),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Start the servers of this file.")
    ] = None,
    gpus: Annotated[
        str | None, typer.Option(metavar="0,1", help="The GPUs to split the model over.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", help="The port; by default the first free one from 8000."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="The address; another than loopback opens the server to the network.",
        ),
    ] = "127.0.0.1",
    max_model_len: Annotated[
        int | None, typer.Option(metavar="N", help="Most tokens of a question with its answer.")
    ] = None,
    gpu_memory_utilization: Annotated[
        float | None, typer.Option(metavar="F", help="The part of each GPU's memory to use.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(metavar="D", help="bfloat16, float16, ...")] = None,
    quantization: Annotated[str | None, typer.Option(metavar="Q", help="fp8, awq, ...")] = None,
    chat_template: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A chat template in place of the model's own."),
    ] = None,
    served_name: Annotated[
        str, typer.Option(metavar="NAME", help="The model's name, after `vllm:`.")
    ] = "",
    key_from: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE", help="The variable with its API key; by default the key is random."
        ),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="The Python interpreter that has vLLM.")
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="S", min=1, help="Seconds that each server has to start.")
    ] = 1800.0,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running; stop it with `assistants stop`.")
    ] = False,
) -> int:
    """Start one vLLM server, or those of a plan file."""
    from assistants.servers import LaunchOptions, find_gpus, plan_of_launch, read_plan

    if (model is None) == (plan is None):
        raise UsageError(
            "Name either a model, or a plan file with `--plan`.",
            fix="For example: `assistants serve Qwen/Qwen3-8B`.",
        )
    if plan is not None:
        _refuse_with_plan(context)
        planned = read_plan(plan, here=True, report=say)
        if planned.plan is not None:
            show(planned.plan.text(out.width))
        starts = [replace(launch, key_from=key_from) for launch in planned.starts]
        return asyncio.run(_serve(starts, planned.plan, python, wait, detach))
    launch = LaunchOptions(
        source=str(model),
        served_name=served_name,
        gpus=_indices(gpus),
        port=port,
        host=host,
        max_model_len=max_model_len,
        utilization=gpu_memory_utilization,
        dtype=dtype,
        quantization=quantization,
        chat_template=chat_template,
        key_from=key_from,
        options=tuple(extra or ()),
    )
    predicted = plan_of_launch(launch, find_gpus(hidden=bool(launch.gpus)))
    return asyncio.run(_serve([launch], predicted, python, wait, detach))


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plan file (.toml) of servers.")],
    gpus: Gpus = None,
    aim: Aim = None,
    free: Free = None,
    as_json: options.Json = False,
) -> int:
    """Show which model fits on which GPU."""
    from assistants.servers import load_measurements, read_plan

    planned = read_plan(file, on=gpus, aim=aim, free=free, report=say)
    if planned.plan is None:
        raise UsageError("There is no GPU here.", fix="Name some: `--gpus 24GiB,24GiB`.")
    if as_json:
        rows = planned.plan.compare_with_measured(load_measurements())
        unplaced = [{"model": model.name, "why": str(model)} for model in planned.plan.unplaced]
        document = {"servers": rows, "left_out": unplaced, "verdict": planned.plan.verdict}
        typer.echo(to_json(document))
    else:
        show(planned.plan.text(out.width))
    return 1 if planned.plan.unplaced else 0


def servers(
    action: Annotated[
        str, typer.Argument(metavar="[test]", help="`test` asks each server a question.")
    ] = "",
    question: Annotated[
        str | None,
        typer.Option("-q", "--question", metavar="QUESTION", help="The question that `test` asks."),
    ] = None,
    as_json: options.Json = False,
) -> int:
    """List the servers started on this machine, or test them."""
    from assistants.clients import registry
    from assistants.servers import QUESTION, remove_stale

    if action not in ("", "test"):
        raise UnknownNameError("action", action, ["test"])
    for entry in remove_stale():
        say(f"{entry.name} is gone; its log is {entry.log}.")
    living = registry.records()
    if not living and not as_json:
        say("No server runs here. Start one with `assistants serve MODEL`.")
        return 1 if action else 0
    if action:
        return asyncio.run(server_output.test(living, question or QUESTION, as_json))
    return asyncio.run(server_output.show_all(living, as_json))


def stop(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A name that `assistants servers` lists.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Stop all servers.")] = False,
) -> int:
    """Stop a server, or all that were started on this machine."""
    from assistants.clients import registry
    from assistants.servers import find_server, remove_stale, stop_server

    if (name is None) != every:
        raise UsageError("Name either a server, or `--all`.")
    remove_stale()
    living = registry.records()
    if name and not living:
        raise UsageError(f"unknown server {name!r}: none runs here.")
    if not living:
        say("No server runs here.")
    for entry in [find_server(name)] if name else living:
        stop_server(entry)
        show(f"{entry.name} has ended.")
    return 0


async def _serve(
    launches: Sequence[LaunchOptions],
    plan: Plan | None,
    python: str | None,
    wait: float,
    detach: bool,
) -> int:
    from assistants.servers import server_status, start_server, stop_server

    started: list[ServerRecord] = []
    try:
        for launch in launches:
            server_output.warn_if_open(launch)
            with server_output.progress() as report:
                entry = await start_server(
                    launch, python=python, detach=detach, limit=wait, report=report
                )
            started.append(entry)
            server_output.show_card(entry, await server_status(entry))
        if plan is not None:
            server_output.show_measured(plan, list(zip(launches, started, strict=True)))
        if detach:
            say("List running servers with `assistants servers`; stop them with `assistants stop`.")
            return 1 if plan is not None and plan.unplaced else 0
        say("Ctrl-C ends " + ("it." if len(started) == 1 else f"all {len(started)}."))
        return await server_output.until_ended(started)
    except ServerStartError as error:
        if error.log:
            say(error.log, style="dim")
        raise
    finally:
        if not detach:
            for entry in reversed(started):
                stop_server(entry)


def _refuse_with_plan(context: typer.Context) -> None:
    """Refuse options that a plan file would override: one may have been meant for safety."""
    refused: list[str] = []
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if source is not None and source.name == "COMMANDLINE" and option.name not in _WITH_PLAN:
            refused.append(option.opts[0])
    if refused:
        raise UsageError(
            f"{', '.join(refused)} cannot be used with `--plan`.",
            fix="Set it in the file for each server, or leave it to `assistants plan FILE`.",
        )


def _indices(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"{text!r} names no GPUs.", fix="Write `--gpus 0,1`.") from None
