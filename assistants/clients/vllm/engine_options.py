"""vLLM's options for offline models, from an environment variable."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from contextlib import suppress
from pathlib import Path

from assistants.errors import UsageError

VARIABLE = "VLLM_OFFLINE_ARGS"

_RESERVED = frozenset(
    "--model --served-model-name --config --host --port --uds --api-key --headless "
    "--api-server-count --grpc --enable-log-requests --enable-log-outputs".split()
)
"""The client decides the model's name, the server's address and its key."""

_NO_ANSWER_CHANGES = frozenset(
    "--gpu-memory-utilization --kv-cache-memory-bytes --max-num-seqs --max-num-batched-tokens "
    "--enforce-eager --no-enforce-eager --tensor-parallel-size -tp --pipeline-parallel-size -pp "
    "--data-parallel-size -dp --distributed-executor-backend --cpu-offload-gb "
    "--max-parallel-loading-workers --disable-log-stats".split()
)
"""Options about memory and how work is shared out: changing them keeps stored answers."""

_FLAG = re.compile(r"--|-[A-Za-z]")


def options_from_environment() -> tuple[str, ...]:
    """Return the options in ``VLLM_OFFLINE_ARGS``, word by word.

    Raises
    ------
    UsageError
        If they cannot be read, or one of them is decided by the client.
    """
    try:
        words = shlex.split(os.environ.get(VARIABLE, ""))
    except ValueError as error:
        raise UsageError(f"{VARIABLE} cannot be read: {error}.", fix="Close its quotes.") from None
    for word in words:
        if _name(word) in _RESERVED:
            raise UsageError(
                f"{VARIABLE} sets {_name(word)}, which an offline model decides itself.",
                fix="Leave it out; `vllm serve --help=all` lists what may be set.",
            )
    if words and not _FLAG.match(words[0]):
        raise UsageError(
            f"{VARIABLE} begins with {words[0]!r}, which is no option.",
            fix="Write options only, such as `--max-model-len 8192 --dtype bfloat16`.",
        )
    return tuple(words)


def answer_affecting_options(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the options that may change an answer, sorted.

    An option that is not known to change none counts: an answer asked for twice is better than one
    that another setting gave. A file (a chat template) counts by its content, wherever it lies.
    """
    options: list[list[str]] = []
    for word in words:
        if _FLAG.match(word):
            name, equals, value = word.partition("=")
            options.append([_name(name), *([_value(value)] if equals else [])])
        elif options:
            options[-1].append(_value(word))
    return tuple(sorted(" ".join(o) for o in options if o[0] not in _NO_ANSWER_CHANGES))


def _value(value: str) -> str:
    """Return a value, or a digest of the file that it names."""
    with suppress(OSError, ValueError):  # too long for a path: a template as it stands
        if Path(value).is_file():
            return hashlib.sha256(Path(value).read_bytes()).hexdigest()[:16]
    return value


def _name(word: str) -> str:
    name = word.partition("=")[0]
    return name.replace("_", "-") if name.startswith("--") else name
