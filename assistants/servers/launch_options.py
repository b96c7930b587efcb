"""Options of a start: decided here, passed to vLLM and nobody else."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from assistants.clients import answer_affecting_options, registry, weights_digest
from assistants.errors import UsageError
from assistants.servers.planning import PlacedServer
from assistants.utils import api_keys
from assistants.utils.text import to_json

LOOPBACK = "127.0.0.1"

OURS = {
    "--api-key": "`ps` would show it: put it into a variable and name that with `--key-from`.",
    "--host": "Use `--host` of `assistants serve`.",
    "--config": "A file may set all of these: write its options out.",
    "--uds": "Its address is a port on this machine.",
    "--port": "Use `--port` of `assistants serve`.",
    "--model": "Name the model first.",
    "--served-model-name": "Use `--served-name`.",
}
"""Options of vLLM that are decided elsewhere."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
"""No small letters: a key that somebody gives in place of a name has some, and is not repeated."""

_ANY = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "[::1]"}  # noqa: S104 - asked for, not given


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """One server that is to be started; what is ``None`` is left to vLLM.

    Parameters
    ----------
    source
        A folder with weights, or a name on the Hugging Face hub.
    served_name
        What it is asked for, behind ``vllm:``; the last part of ``source`` unless given.
    gpus
        As ``nvidia-smi`` counts them; split over all of them. Empty: vLLM's choice.
    port
        The first free one from 8000 unless given.
    host
        Another one than loopback opens the server to the network, behind its key only.
    max_model_len
        Tokens of question and answer.
    utilization
        The part of each GPU's memory that it may take.
    chat_template
        A jinja file in place of the model's own.
    key_from
        The environment variable that holds its key; a random one is made unless given.
    options
        Anything else that vLLM's server understands, as it would stand on its command line.
    """

    source: str
    served_name: str = ""
    gpus: tuple[int, ...] = ()
    port: int | None = None
    host: str = LOOPBACK
    max_model_len: int | None = None
    utilization: float | None = None
    dtype: str | None = None
    quantization: str | None = None
    chat_template: Path | None = None
    key_from: str | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.source or self.source.startswith("-") or not self.source.isprintable():
            raise UsageError(f"{self.source!r} names no model.", fix="Name it first of all.")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", self.served):
            raise UsageError(
                f"A server cannot be asked for {self.served!r}.",
                fix="Give it a name with `--served-name`: letters, digits, '.', '_', '-', '/'.",
            )
        if self.port is not None and not 1 <= self.port <= 65535:
            raise UsageError(f"There is no port {self.port}.", fix="Ask for 1 to 65535.")
        if self.utilization is not None and not 0 < self.utilization <= 1:
            raise UsageError(
                f"{self.utilization:g} is no part of a GPU's memory.", fix="Ask for 0 to 1."
            )
        if self.max_model_len is not None and self.max_model_len < 1:
            raise UsageError(f"A context of {self.max_model_len} tokens.", fix="Ask for 1 or more.")
        if len(set(self.gpus)) != len(self.gpus) or min(self.gpus, default=0) < 0:
            raise UsageError(f"GPUs {self.gpus}: each one once, counted from 0.")
        if self.chat_template is not None and not self.chat_template.is_file():
            raise UsageError(f"{self.chat_template}: there is no such chat template.")
        if self.key_from is not None and not _VARIABLE.fullmatch(self.key_from):
            raise UsageError(
                "A key comes from an environment variable, and this names none.",
                fix="Name one in capitals, never the key itself: `--key-from SERVER_API_KEY`.",
            )
        for option in self.options:
            name = option.partition("=")[0].replace("_", "-")
            # vLLM reads the beginning of an option as the whole of it.
            for ours, fix in OURS.items() if len(name) > 3 else ():
                if name.startswith("--") and ours.startswith(name):
                    raise UsageError(f"{ours} cannot be passed on to vLLM.", fix=fix)

    @property
    def served(self) -> str:
        """The name that it is asked for."""
        return self.served_name or Path(self.source).name

    @property
    def name(self) -> str:
        """The name of its record and its log, and for ``assistants stop``."""
        return re.sub(r"[^a-z0-9._-]", "-", self.served.lower())[:64]

    @property
    def variant(self) -> str:
        """A digest of what its answers depend on besides its name.

        Empty for a model of the hub that is served under its own name, as it is: answers of such
        a server are those of any other, wherever it runs. Of two with the same last name
        (``Qwen/Qwen3-8B``, ``unsloth/Qwen3-8B``) that is the one which was started first here.
        """
        path = Path(self.source)
        asked = {"--dtype": self.dtype, "--quantization": self.quantization}
        set_here = [word for name, value in asked.items() if value for word in (name, value)]
        parts: dict[str, object] = {}
        if path.exists():
            parts["weights"] = weights_digest(path)
        elif path.name != self.served or registry.first_source(self.served) not in (
            "",
            self.source,
        ):
            parts["weights"] = self.source
        if self.chat_template is not None:
            parts["template"] = self.chat_template.read_text(encoding="utf-8", errors="replace")
        if options := answer_affecting_options((*set_here, *self.options)):
            parts["options"] = options
        return hashlib.sha256(to_json(parts).encode()).hexdigest()[:16] if parts else ""

    @property
    def reached_at(self) -> str:
        """The host by which this machine reaches it."""
        if self.host in _ANY:
            return _ANY[self.host]
        return f"[{self.host}]" if ":" in self.host else self.host

    def key(self) -> str:
        """Return the key that it will ask for: random, or what its variable holds now.

        Raises
        ------
        UsageError
            If the variable is not set, or holds what is too short to be kept off a page or what
            no HTTP header can carry.
        """
        key = _key_in(self.key_from) if self.key_from else secrets.token_urlsafe(32)
        api_keys.remember(key)
        return key

    def argv(self, python: str, port: int) -> list[str]:
        """Return the command, without the key."""
        # Not the `vllm` command: that of the build for CPUs looks for a package of another name.
        command = [python, "-m", "vllm.entrypoints.openai.api_server"]
        asked: dict[str, object] = {
            "--model": self.source,
            "--served-model-name": self.served,
            "--host": self.host,
            "--port": port,
            "--max-model-len": self.max_model_len,
            "--gpu-memory-utilization": self.utilization,
            "--dtype": self.dtype,
            "--quantization": self.quantization,
            "--chat-template": self.chat_template,
            "--tensor-parallel-size": len(self.gpus) if len(self.gpus) > 1 else None,
        }
        for option, value in asked.items():
            if value is not None:
                command += [option, str(value)]
        return [*command, *self.options]

    def environment(self, key: str, given: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return its environment: with its own key, and nobody else's."""
        kept = api_keys.without_secrets(given) | {
            "VLLM_API_KEY": key,
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
        }
        if Path(self.source).exists():
            kept["HF_HUB_OFFLINE"] = "1"
        if self.gpus:
            shown = ",".join(str(index) for index in self.gpus)
            kept |= {"CUDA_VISIBLE_DEVICES": shown, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return kept

    def planned(self, server: PlacedServer) -> LaunchOptions:
        """Return the same options with what a plan decided."""
        return replace(
            self,
            gpus=server.gpus,
            max_model_len=server.context,
            utilization=server.utilization,
            options=(*server.options, *self.options),
        )


def _key_in(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"There is no key in {variable}.",
            fix="Set it, or leave `--key-from` out: then the key is random.",
        )
    if (
        len(key) < api_keys.MIN_SECRET_CHARS
        or not (key.isascii() and key.isprintable())
        or " " in key
    ):
        raise UsageError(
            f"What {variable} holds is no key for a server.",
            fix=f"Use {api_keys.MIN_SECRET_CHARS} or more letters, digits and signs, no spaces.",
        )
    return key
