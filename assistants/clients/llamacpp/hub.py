"""Weights from the Hugging Face hub, fetched by its own library.

``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_OFFLINE``, proxies and its cache are that library's
business. What the hub says of a repository was written by strangers: names are checked, and a file
is used only with the digest that was recorded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from assistants.clients.llamacpp.weights import EmbeddedWeights, HubFile
from assistants.errors import AssistantsError, MissingDependencyError, UsageError
from assistants.utils import NAME_PATTERN, api_keys, escape_control_chars, truncate_line

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

ByteCount = Callable[[int], None]
"""Called with the number of bytes that are here by now."""

PREFIX = "hf:"
_TIMEOUT_S = 5.0
_REFERENCE = re.compile(
    r"hf:([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}):([\w.-]{1,200})", re.A
)
_FILE = re.compile(r"(?:[A-Za-z0-9_][\w.+-]*/)*[A-Za-z0-9_][\w.+-]*", re.A)
_REVISION = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPLIT = re.compile(r"-\d{5}-of-\d{5}$")
_USER_OF_URL = re.compile(r"(?<=//)[^/@\s]+@")


def find_on_hub(reference: str, name: str = "") -> EmbeddedWeights:
    """Return the weights that ``hf:OWNER/REPO:QUANT`` stands for, as the hub has them now.

    Parameters
    ----------
    reference
        ``QUANT`` is a quantization (``Q4_K_M``) or the name of a file.
    name
        The name to use it under; by default the file's name in lower case.

    Raises
    ------
    UsageError
        If the reference is malformed, the repository has no such file or several, it is split, or
        its name is not one that can be used.
    MissingDependencyError
        If huggingface_hub is not installed or the hub does not answer.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UsageError(
            f"{reference!r} names no weights.",
            fix="Write hf:OWNER/REPO:QUANT, for example "
            "hf:Qwen/Qwen2.5-Coder-3B-Instruct-GGUF:Q4_K_M.",
        )
    repo, quant = match.groups()
    _check_installed()
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(repo, files_metadata=True, timeout=_TIMEOUT_S)
        files, card = found.siblings or [], found.card_data
        revision = str(found.sha)
        licence = str((card and card.get("license")) or "unknown")
    except Exception as error:  # of several libraries, none of which share a base class
        raise _hub_error(repo, error) from None
    sibling = _choose(repo, quant, files)
    file = sibling.rfilename
    sha256, size = sibling.lfs.sha256 if sibling.lfs else "", sibling.size or 0
    if not (_REVISION.fullmatch(revision) and _SHA256.fullmatch(str(sha256)) and size > 0):
        raise UsageError(
            f"{repo} gives no digest to check {truncate_line(file, 100)} by.",
            fix="Download it yourself and use it as local:PATH.",
        )
    return EmbeddedWeights(
        name=_checked_name(name or PurePosixPath(file).stem.lower(), file),
        size=int(size),
        sha256=str(sha256),
        licence=truncate_line(escape_control_chars(licence), 60),
        hub=HubFile(repo, revision, file),
    )


def fetch_from_hub(weights: EmbeddedWeights, count: ByteCount) -> Path:
    """Return the path of the file in the hub's own cache, downloaded unless it is there.

    An interrupted download is resumed by the hub's library. The digest is not checked here.

    Raises
    ------
    MissingDependencyError
        If huggingface_hub is not installed, or the hub does not have the file or does not answer.
    """
    _check_installed()
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    hub = weights.hub
    assert hub is not None
    download = partial(hf_hub_download, hub.repo, hub.file, revision=hub.revision)
    try:
        with suppress(LocalEntryNotFoundError):
            return Path(download(local_files_only=True))
        # Without a network the download itself would try for minutes.
        url = hf_hub_url(hub.repo, hub.file, revision=hub.revision)
        get_hf_file_metadata(url, timeout=_TIMEOUT_S)

        class Bar(_Bar):
            report = staticmethod(count)

        return Path(download(etag_timeout=_TIMEOUT_S, tqdm_class=Bar))
    except Exception as error:  # of several libraries, none of which share a base class
        raise _hub_error(hub.repo, error) from None


class _Bar:
    """A progress bar in the form of the hub's library, which passes the count of bytes on."""

    report: ByteCount

    def __init__(self, *_: object, initial: float = 0, **__: object) -> None:
        self.n = self._total = int(initial)

    def update(self, more: float | None = 1) -> None:
        self.n += int(more or 0)
        self.report(self.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def __getattr__(self, _: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: None


def _check_installed() -> None:
    if find_spec("huggingface_hub") is None:
        raise MissingDependencyError(
            "huggingface_hub, which fetches files of the hub, is not installed.",
            fix="Run `pip install 'assistants[hub]'`.",
        )


def _choose(repo: str, quant: str, files: list[RepoSibling]) -> RepoSibling:
    """Return the one GGUF file of this quantization or name."""
    ggufs = [file for file in files if str(file.rfilename).lower().endswith(".gguf")]
    exact = [file for file in ggufs if PurePosixPath(file.rfilename).name == quant]
    ends = re.compile(rf"(?:^|[._-]){re.escape(quant)}(?:-\d{{5}}-of-\d{{5}})?\.gguf", re.I)
    fitting = exact or [f for f in ggufs if ends.search(PurePosixPath(f.rfilename).name)]
    names = [truncate_line(escape_control_chars(str(file.rfilename)), 100) for file in fitting]
    if any(_SPLIT.search(PurePosixPath(file.rfilename).stem) for file in fitting):
        raise UsageError(
            f"{repo} has {quant} split into {len(fitting)} files, which is not supported.",
            fix="Choose a smaller quantization, or join them with llama.cpp's own llama-gguf-split "
            "and use the file as local:PATH.",
        )
    if len(fitting) != 1:
        known = names or [escape_control_chars(str(file.rfilename)) for file in ggufs]
        listed = truncate_line(", ".join(known), 400)
        raise UsageError(
            f"{repo} has {len(fitting) or 'no'} GGUF file{'s' * bool(fitting)} for {quant}.",
            fix=f"Name one of these in its place: {listed}." if known else "",
        )
    if not _FILE.fullmatch(str(fitting[0].rfilename)):
        raise UsageError(f"{repo} has a file with a name that cannot be used: {names[0]!r}.")
    return fitting[0]


def _checked_name(name: str, file: str) -> str:
    if not NAME_PATTERN.fullmatch(name) or name.endswith(".gguf"):
        raise UsageError(
            f"{truncate_line(name, 100)!r} cannot be the name of a model.",
            fix=f"Give {truncate_line(file, 60)} another: `--name NAME`, up to 64 small letters, "
            "digits, dots and hyphens.",
        )
    return name


def _hub_error(repo: str, error: Exception) -> AssistantsError:
    """Return the error of the hub's library in one line, without secrets."""
    if token := os.environ.get("HF_TOKEN", ""):
        api_keys.remember(token)
    text = " ".join(str(error).split()) or type(error).__name__
    text = _USER_OF_URL.sub("", api_keys.redact(text))
    return MissingDependencyError(
        f"Hugging Face did not give {repo}: {truncate_line(escape_control_chars(text), 300)}",
        fix="Check the network, and HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE where they are set.",
    )
