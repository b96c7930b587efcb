"""What a server that nobody planned should report, so that it can be held against what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from assistants.clients import folder_of
from assistants.errors import AssistantsError
from assistants.servers.gpus import Gpu
from assistants.servers.launch_options import LaunchOptions
from assistants.servers.planning.architecture import read_model
from assistants.servers.planning.memory import cache_of, need
from assistants.servers.planning.plan import ModelRequest, PlacedServer, Plan

DEFAULT = 0.92
"""The part of each GPU that vLLM takes unless it is told otherwise (``gpu_memory_utilization``)."""


def as_planned(launch: LaunchOptions, gpus: Sequence[Gpu]) -> Plan | None:
    """One server as the plan that its options come to.

    Parameters
    ----------
    launch
        What is started. Without ``gpus`` it is on the first one.
    gpus
        Those of this machine.

    Returns
    -------
    Plan or None
        ``None`` where nothing can be predicted: no such GPU, or a config that is not here or
        that cannot be counted.
    """
    by_index = {gpu.index: gpu for gpu in gpus}
    chosen = launch.gpus or tuple(sorted(by_index))[:1]
    folder = folder_of(launch.source)
    if folder is None or not chosen or not set(chosen) <= set(by_index):
        return None
    try:
        facts = read_model(folder, quantization=launch.quantization, dtype=launch.dtype)
        context = min(launch.max_model_len or facts.context, facts.context)
        wanted = ModelRequest(launch.served, facts, context=context)
        least = need(facts, context, 1, len(chosen))
        kept = cache_of(facts, len(chosen))
    except AssistantsError:
        return None
    part = launch.utilization or DEFAULT
    total = min(by_index[index].total for index in chosen)
    cache = max(0, round(part * total) - least.weights - least.overhead)
    server = PlacedServer(wanted, chosen, context, replace(least, cache=cache), kept, part)
    shown = tuple(by_index[index] for index in chosen)
    return Plan("fit all", shown, (server,), (), proven=False, verdict="Not planned.")
