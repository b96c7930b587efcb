"""Models: their names, addresses, API keys and prices."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistants.clients import connect
from assistants.errors import UsageError
from assistants.messages import Usage
from assistants.models import (
    PACKAGED,
    Catalogue,
    Model,
    Prices,
    base_url,
    call_cost,
    is_cost_known,
    user_file,
)


def project(text: str) -> Catalogue:
    Path("models.toml").write_text(text)
    return Catalogue.default()


def user(text: str) -> None:
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text(text)


def provider(address: str, **more: str) -> str:
    lines = [f'address = "{address}"', *(f'{k} = "{v}"' for k, v in more.items())]
    return "\n".join(["[providers.x]", *lines, ""])


def test_short_names_stand_for_models(here: Path) -> None:
    """chatgpt, smollm2 and echo work out of the box; a full name always does."""
    catalogue = Catalogue.default()
    assert catalogue.find("chatgpt").name == "openai:gpt-6-luna"
    assert catalogue.find("smollm2").name == "local:smollm2"
    assert catalogue.find("vllm:Qwen/Qwen3-8B:free").id == "Qwen/Qwen3-8B:free"
    assert connect("echo").model == "scripted:echo"


@pytest.mark.parametrize(
    ("name", "said"),
    [("chatgtp", "'chatgpt'"), ("opnai:x", "'openai'"), ("openai:", "unknown"), ("", "model")],
)
def test_unknown_names_show_the_nearest(here: Path, name: str, said: str) -> None:
    """A mistyped model or provider is refused with the one that was meant."""
    with pytest.raises(UsageError, match=said):
        Catalogue.default().find(name)


@pytest.mark.parametrize("wrong", ["tgi", "tgi:x"])
def test_a_short_name_for_nothing_names_the_file(here: Path, wrong: str) -> None:
    """Not the short name is unknown but what it stands for, and where that is written is said."""
    found = project(f'[models]\nbig = "{wrong}"')
    with pytest.raises(UsageError, match=r"^models\.toml: big: unknown (model|provider) 'tgi'"):
        found.find("big")


def test_the_later_file_wins(here: Path) -> None:
    """Package, then the project's models.toml, then the user's."""
    assert project('[models]\nchatgpt = "vllm:a"').find("chatgpt").name == "vllm:a"
    user('[models]\nchatgpt = {model = "vllm:b", concurrency = 3}')
    found = Catalogue.default()
    assert found.find("chatgpt").name == "vllm:b"
    assert found.find("chatgpt").concurrency == 3
    assert found.sources["smollm2"].endswith("assistants/models.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[provider.x]", "'providers'"),
        (provider("http://a/v1", kee="X"), "'key'"),
        (provider("http://a/v1", key="sk-real-key-1234"), "name of an environment variable"),
        (provider("http://a/v1", key="PATH"), "name of an environment variable"),
        ('[models]\na = {modle = "b:c"}', "'model'"),
        ("[models]\na = 3", "models.a"),
        ('[models]\na = {model = "b:c", prices = {input = -1, output = 0}}', "prices.input"),
        ("[models\n", "line 1"),
    ],
)
def test_a_mistake_names_the_file_and_the_word(here: Path, text: str, said: str) -> None:
    """Nothing in a models.toml is passed over, and a key itself is never accepted there."""
    with pytest.raises(UsageError, match=r"models\.toml") as caught:
        project(text)
    assert said in str(caught.value)


HOSTILE = [
    "", "x", "//host/v1", "http://", "http:///v1", "http:host", "http:/host/v1", "https://:443/v1",
    "file:///etc/passwd", "ftp://host/v1", "javascript:alert(1)", "data:text/plain,x", "ws://host",
    "unix:///run/x.sock", "gopher://host", "HTTPX://host", "http+unix://x", "jar:http://x!/",
    "http://user@host/v1", "http://user:sk-12345678@host/v1", "http://@host", "http://a@b@c/v1",
    "http://host/v1?key=1", "http://host/v1?", "http://host/v1#x", "http://host#@api.openai.com",
    "http://[::1/v1", "http://[bad]/v1", "http://[]/v1", "http://host:99999/v1", "http://host:x/v1",
    "http://host:-1/v1", "http://ho st/v1", "http://host/\n/v1", "http://host\r\nX: y/v1",
    "http://host\t/v1", "http://host\\@evil/v1", "http://\0host/v1", "http://host\u2028/v1",
    "http://host\u00a0/v1", "http://host\x7f/v1", "http://ex\uff0fample.com/v1", " http://host/v1",
    "http://host/\u202ev1",
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_address_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Only http and https, a host, and no room for a key, a query or a trick."""
    monkeypatch.setenv("VLLM_BASE_URL", url.replace("\0", "\x01"))
    from assistants.utils.urls import check_url

    with pytest.raises(UsageError):
        check_url(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "https://[::1]:8000", "http://gpu-3/v1/"])
def test_an_honest_address_is_taken(here: Path, url: str) -> None:
    """Loopback, IPv6 and names in a local network are all addresses."""
    assert project(provider(url)).find("x:m").server


def test_an_environment_variable_moves_a_server(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VLLM_BASE_URL goes before the file, at the moment of the call."""
    server = Catalogue.default().find("vllm:m").server
    assert server is not None
    assert base_url(server) == "http://127.0.0.1:8000/v1"
    monkeypatch.setenv("VLLM_BASE_URL", "http://gpu:9/v1")
    assert base_url(server) == "http://gpu:9/v1"


@pytest.mark.parametrize("address", ["https://evil.example/v1", "http://api.openai.com/v1"])
def test_a_cloned_project_collects_no_keys(here: Path, address: str) -> None:
    """A project's file cannot send a key of the package's or the user's to another host."""
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        project(provider(address, key="OPENAI_API_KEY"))
    user('[providers.y]\naddress = "https://y.example/v1"\nkey = "Y_API_KEY"\n')
    with pytest.raises(UsageError, match=r"Y_API_KEY.*y\.example"):
        project(provider(address, key="Y_API_KEY"))
    same = project(provider("https://y.example/other", key="Y_API_KEY"))
    assert same.find("x:m").server


def test_a_user_may_send_a_key_through_a_proxy(here: Path) -> None:
    """Only the user decides where a key goes, and may decide on several places."""
    user(provider("https://proxy.example/v1", key="OPENAI_API_KEY"))
    assert Catalogue.default().find("x:m").server
    assert Catalogue.default().find("chatgpt").server
    assert PACKAGED.is_file()


def test_a_hosted_model_elsewhere_is_another_model(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of a hosted model's stand-in are not shared with it; a local server may move."""
    plain = [connect(name).identity for name in ("openai:m", "vllm:m")]
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("VLLM_BASE_URL", "http://127.0.0.1:1/v1")
    moved = [connect(name).identity for name in ("openai:m", "vllm:m")]
    assert plain[0] != moved[0]
    assert plain[1] == moved[1]


def test_a_hosted_model_of_another_file_is_another_model(here: Path) -> None:
    """Whoever writes another address into ``models.toml`` gets no answers of the old one."""
    found = {connect("openai:m").identity}
    for place in ("a", "b"):
        found.add(connect("x:m", catalogue=custom(f"https://{place}.example/v1")).identity)
        user(
            f'[providers.openai]\naddress = "https://{place}.example/v1"\nkey = "OPENAI_API_KEY"\n'
        )
        found.add(connect("openai:m").identity)
    assert len(found) == 5
    assert "openai:m" in found


def custom(address: str) -> Catalogue:
    user(provider(address, key="X_API_KEY"))
    return Catalogue.default()


SOME = Usage(input_tokens=1000, output_tokens=100)


def test_a_listed_model_has_a_price(here: Path) -> None:
    """The offline table knows ChatGPT, and more tokens cost more."""
    model = Catalogue.default().find("chatgpt")
    small, large = call_cost(model, SOME), call_cost(model, Usage(2000, 200))
    assert small is not None
    assert large == pytest.approx(2 * small)


def test_an_unknown_price_is_none(here: Path) -> None:
    """A model nobody listed, or tokens nobody counted, cost "unknown"."""
    unknown = Catalogue.default().find("openai:not-a-model-9")
    assert call_cost(unknown, SOME) is None
    assert not is_cost_known(unknown)
    assert call_cost(Model("nobody:x"), SOME) is None
    chatgpt = Catalogue.default().find("chatgpt")
    assert call_cost(chatgpt, Usage()) is None
    assert call_cost(chatgpt, Usage(input_tokens=5)) is None


def test_own_prices_go_first() -> None:
    """US dollars per million tokens, cached ones at their own price."""
    prices = Prices(input=2.0, output=10.0, cached=1.0)
    assert call_cost(Model("x:y", prices=prices), Usage(1_000_000, 100_000, 500_000)) == 2.5
    full = Prices(input=2.0, output=10.0)
    assert call_cost(Model("x:y", prices=full), Usage(1_000_000, 0, 500_000)) == 2.0
    assert call_cost(Model("x:y", prices=prices), Usage(10, 0, 99)) == pytest.approx(1e-5)


def test_only_a_free_model_is_free(here: Path) -> None:
    """A server of one's own costs 0 whatever it reports."""
    for name in ("vllm:m", "smollm2", "echo"):
        assert call_cost(Catalogue.default().find(name), Usage()) == 0


@pytest.mark.parametrize("usage", [Usage(5, 5, 99), Usage(10**18, 10**18), Usage(0, 0)])
def test_strange_counts_raise_nothing(here: Path, usage: Usage) -> None:
    """What a server reports can be nonsense; the worst price is unknown."""
    found = call_cost(Catalogue.default().find("chatgpt"), usage)
    assert found is None or found >= 0
