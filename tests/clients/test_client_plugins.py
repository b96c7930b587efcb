"""Providers of other packages: clients of their own, or servers whose keys stay bound to hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from assistants.clients import Client, connect
from assistants.errors import FileError, PluginCallError, PluginError, UnknownNameError
from assistants.messages import Completion, Delta, Message, Sampling, Usage
from assistants.models import Catalogue, call_cost
from support.faulty_server import FaultyServer
from support.plugins import install

ENTRIES = "[assistants.clients]\nacme = acme_models:connect\n"

CLIENT = """
from assistants.messages import Completion, Delta, Sampling


class Client:
    def __init__(self, model):
        self.model = self.identity = model.name
        self.max_concurrency, self.default_sampling = 2, model.sampling

    async def complete(self, messages, sampling):
        {complete}

    async def stream(self, messages, sampling):
        {stream}

    async def aclose(self):
        pass


connect = {connect}
"""

ASKED = [Message("user", "Why?")]


def provide(packages: Path, complete: str = "", stream: str = "", connect: str = "Client") -> None:
    source = CLIENT.format(
        complete=complete or "return Completion(messages[-1].content)",
        stream=stream or "yield await self.complete(messages, sampling)",
        connect=connect,
    )
    install(packages, "acme-models", ENTRIES, {"acme_models.py": source})


async def test_a_client_of_a_plugin_answers(packages: Path, here: Path) -> None:
    """Whole and streamed, under the names and settings of models.toml like any other."""
    provide(packages)
    (here / "models.toml").write_text(
        '[models]\nbig = {model = "acme:large", sampling = {temperature = 0.5}}\n'
    )
    client = connect("big")
    assert isinstance(client, Client)
    assert (client.model, client.max_concurrency) == ("acme:large", 2)
    assert client.default_sampling.temperature == 0.5
    assert (await client.complete(ASKED, Sampling())).text == "Why?"
    assert [p.text async for p in client.stream(ASKED, Sampling())] == ["Why?"]
    await client.aclose()


def test_its_cost_is_unknown_until_a_file_says_so(packages: Path, here: Path) -> None:
    """And never 0, as it is for what runs in this process."""
    provide(packages)
    usage = Usage(input_tokens=10, output_tokens=10)
    assert call_cost(Catalogue.default().find("acme:large"), usage) is None
    (here / "models.toml").write_text(
        '[models."acme:large"]\nprices = {input = 1, output = 1}\n', encoding="utf-8"
    )
    assert call_cost(Catalogue.default().find("acme:large"), usage) == 2e-5


@pytest.mark.parametrize(
    ("complete", "reason"),
    [
        ("raise KeyError('choices')", "KeyError: 'choices'"),
        ("return 'Yes.'", "returned str, not a Completion"),
        ("return None", "returned NoneType, not a Completion"),
    ],
)
async def test_what_a_client_gets_wrong_is_a_failed_call(
    complete: str, reason: str, packages: Path
) -> None:
    """With the reason, and stored like every failure of a call."""
    provide(packages, complete)
    client = connect("acme:m")
    with pytest.raises(PluginCallError, match=reason):
        await client.complete(ASKED, Sampling())
    with pytest.raises(PluginCallError, match=reason):
        [piece async for piece in client.stream(ASKED, Sampling())]


async def test_a_stream_without_an_end_is_a_failed_call(packages: Path) -> None:
    """The pieces that came are given on before it."""
    provide(packages, stream="yield Delta('Wh')")
    pieces: AsyncIterator[Delta | Completion] = connect("acme:m").stream(ASKED, Sampling())
    assert await anext(pieces) == Delta("Wh")
    with pytest.raises(PluginCallError, match="returned Delta, not a Completion"):
        await anext(pieces)


@pytest.mark.parametrize(
    ("connect_source", "reason"),
    [
        ("5", "no function, but int"),
        ("lambda model: 5", "returned int, not Client"),
        ("lambda model: 1 / 0", "ZeroDivisionError"),
        ("lambda model: Client(type('M', (), {'name': 'openai:m', 'sampling': None}))",
         "a client of the model 'openai:m'"),
    ],
)  # fmt: skip
def test_a_broken_provider(connect_source: str, reason: str, packages: Path) -> None:
    """A list of models needs no provider; a client of it is an error that names it."""
    provide(packages, connect=connect_source)
    assert Catalogue.default().find("acme:m").plugin is not None
    with pytest.raises(PluginError, match=reason):
        connect("acme:m")


def test_built_in_providers_are_never_replaced(packages: Path, here: Path) -> None:
    """Nor those of a models.toml; an unknown one is told the plug-ins' names."""
    provide(packages)
    install(packages, "thief", "[assistants.clients]\nopenai = thief:f\nlocal = thief:f\n")
    assert Catalogue.default().find("openai:m").plugin is None
    assert Catalogue.default().find("local:qwen").plugin is None
    with pytest.warns(UserWarning, match="built in"), pytest.raises(UnknownNameError) as raised:
        connect("acmee:m")
    assert "'acme'" in raised.value.fix
    (here / "models.toml").write_text('[providers.acme]\naddress = "http://127.0.0.1:9/v1"\n')
    assert Catalogue.default().find("acme:m").plugin is None


# -- a server that speaks the OpenAI protocol ------------------------------------------------------


def serve(packages: Path, address: str, key: str | None) -> None:
    source = "from assistants.models import Provider\n\n\n"
    source += f"connect = Provider(address={address!r}, key={key!r})\n"
    install(packages, "acme-models", ENTRIES, {"acme_models.py": source})


async def test_a_server_of_a_plugin(
    packages: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked like one of models.toml, with the key that its variable holds at the call."""
    serve(packages, server.url, "ACME_API_KEY")
    client = connect("acme:m")
    monkeypatch.setenv("ACME_API_KEY", "sk-acme-0123456789")
    await client.complete(ASKED, Sampling())
    await client.aclose()
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer sk-acme-0123456789"
    assert client.identity == f"acme:m@{server.url}"


def test_no_plugin_takes_the_key_of_another_host(packages: Path) -> None:
    """A key that the package binds goes to its own host, whoever asks for it."""
    serve(packages, "https://acme.example/v1", "OPENAI_API_KEY")
    with pytest.raises(PluginError, match="would send OPENAI_API_KEY to https://acme"):
        connect("acme:m")


def test_no_project_takes_the_key_of_a_plugin(packages: Path, here: Path) -> None:
    """Neither under the plug-in's own name nor under another."""
    serve(packages, "https://acme.example/v1", "ACME_API_KEY")
    for name in ("acme", "other"):
        (here / "models.toml").write_text(
            f'[providers.{name}]\naddress = "https://evil.example/v1"\nkey = "ACME_API_KEY"\n'
        )
        with pytest.raises(FileError, match="would send ACME_API_KEY to https://evil"):
            connect("acme:m")
