"""Every run says whether its personas reached their models, and a report warns if not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistants.clients import Tape
from assistants.errors import FileError, UsageError
from assistants.experiment import Experiment
from assistants.models import Model
from assistants.results import Results, Run
from assistants.runs.store import Store
from assistants.widgets.html import prompt_audit
from support.experiments import QUICK, client_at, experiment_at, quiet
from support.faulty_server import FaultyServer
from support.template_server import TemplateServer, template

LONG = "Be terse, and kind, and never say more than is needed to be understood by a child."


async def run_on(server: FaultyServer, **more: Any) -> Run:
    experiment = experiment_at(server.url, 2, client=client_at(server.url, "vllm:m"), **more)
    return await experiment.run(on_progress=quiet, retry=QUICK)


async def test_a_run_records_what_became_of_its_personas(here: Path) -> None:
    """Before its first question, and it can be read without the server."""
    with TemplateServer(template("default")) as server:
        run = await run_on(server)
        first = next(i for i, path in enumerate(server.paths) if path.endswith("completions"))
        assert set(server.paths[:first]) == {"/tokenize"}
        assert "/tokenize" not in server.paths[first:]
    rows = run.prompt_audit().set_index("persona")
    assert list(rows["verdict"]) == ["default inserted", "delivered"]
    assert list(rows["ok"]) == [False, True]
    assert list(rows["known_by"]) == ["tokens", "tokens"]
    assert list(rows["persona_in"]) == ["system", "system"]
    assert [each["verdict"] for each in run.manifest["delivery"]] == list(rows["verdict"])
    page = prompt_audit(run)
    assert "SmolLM" in page.body
    assert 'class="bad"' in page.body


async def test_what_was_found_stays_with_the_answers(here: Path) -> None:
    """A run that asks nothing knows what the run knew that asked; it asks the server nothing."""
    with TemplateServer(template("upper")) as server:
        await run_on(server)
        before = len(server.requests)
        again = await run_on(server)
        assert len(server.requests) == before
    assert list(again.prompt_audit()["verdict"]) == ["empty", "altered"]


async def test_an_audit_that_fails_stops_nothing(here: Path, server: FaultyServer) -> None:
    """A server that does not show its prompts is asked all the same."""
    run = await run_on(server)
    assert run.outcome == "complete"
    assert "does not show" in run.prompt_audit()["note"].iloc[1]


async def test_a_server_of_nobodys_is_sent_nothing_but_questions(
    here: Path, server: FaultyServer
) -> None:
    """Hosted APIs, and servers that models.toml does not know, get no request of the audit."""
    await experiment_at(server.url, 2).run(on_progress=quiet)
    client = client_at(server.url, "openai:m")
    await replace(experiment_at(server.url, 2, client=client), name="hosted").run(on_progress=quiet)
    assert {request.path for request in server.requests} == {"/v1/chat/completions"}


async def test_token_counts_are_evidence_and_no_proof(here: Path) -> None:
    """Where nothing is shown, tokens that rise as they should say something, and no more."""
    for name, verdict, ok in (("chatml", "counted", None), ("drop", "not counted", False)):
        with TemplateServer(template(name), "silent") as server:
            client = client_at(server.url, "openai:m")
            experiment = experiment_at(server.url, 2, client=client)
            none, terse = experiment.assistants
            terse = replace(terse, persona=replace(terse.persona, text=LONG))
            experiment = replace(experiment, name=name, assistants=(none, terse))
            run = await experiment.run(here / name, on_progress=quiet)
        rows = run.prompt_audit().set_index("persona")
        assert rows.loc["terse", "verdict"] == verdict
        assert rows.loc["terse", "known_by"] == "token counts"
        assert (None if rows["ok"].isna()["terse"] else bool(rows.loc["terse", "ok"])) is ok
        assert "no prompt" in rows.loc["terse", "note"]


async def test_a_tape_replays_without_a_server(here: Path) -> None:
    """The recording was audited; the replay asks nobody and says so."""
    with TemplateServer(template("chatml")) as server:
        recorded = await run_on(server, tape=here / "t.jsonl")
        url = server.url
    assert list(recorded.prompt_audit()["verdict"]) == ["empty", "delivered"]
    assert Tape(here / "t.jsonl").replays
    client = client_at(url, "vllm:m")
    replayed = experiment_at(url, 2, client=client, tape=here / "t.jsonl")
    run = await replayed.run(here / "elsewhere", on_progress=quiet)
    assert run.outcome == "complete"
    assert {each["verdict"] for each in run.manifest["delivery"]} == {"not audited"}


async def test_scripted_answers_have_nothing_to_deliver(here: Path) -> None:
    """Said as it is, and no warning."""
    run = await Experiment.define(
        "tea", personas=["none", "art"], models=["echo"], cases=["Tea?"]
    ).run(on_progress=quiet)
    assert list(run.prompt_audit()["verdict"]) == ["not audited", "not audited"]
    assert run.prompt_audit()["ok"].isna().all()
    assert 'class="bad"' not in prompt_audit(run).body


async def test_several_turns_and_variables_of_a_case(here: Path) -> None:
    """What is audited is what the first case would send."""
    made = Experiment.define(
        "vars",
        personas=[{"name": "for", "system_prompt": "Explain to {{ who }}."}],
        models=["vllm:m"],
        cases=[{"id": "a", "turns": ["One?", "Two?"], "vars": {"who": "a child"}}],
    )
    with TemplateServer(template("chatml")) as server:
        client = client_at(server.url, "vllm:m")
        made = replace(made, assistants=tuple(replace(a, client=client) for a in made.assistants))
        run = await made.run(on_progress=quiet)
        asked = [request.body for request in server.requests if request.path == "/tokenize"]
    assert list(run.prompt_audit()["verdict"]) == ["delivered"]
    assert list(run.prompt_audit()["persona"]) == ["for"]
    assert any(b"Explain to a child." in body and b"Two?" in body for body in asked)


async def test_the_place_of_the_system_prompt_is_in_key_and_table(here: Path) -> None:
    """A template that refuses is answered when it is chosen, and no table hides that."""
    content = {"personas": ["none", "art"], "models": ["vllm:m"], "cases": ["Tea?"]}
    plain = Experiment.define("plain", **content)
    chosen = Experiment.define("chosen", **content, system_prompt_in="user")
    keys = [[trial.key for trial in each.trials()] for each in (plain, chosen)]
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]
    with TemplateServer(template("gemma2")) as server:
        client = client_at(server.url, "vllm:m")
        runs = [
            await replace(e, assistants=tuple(replace(a, client=client) for a in e.assistants)).run(
                on_progress=quiet, retry=QUICK
            )
            for e in (plain, chosen)
        ]
    assert [list(run.prompt_audit()["verdict"]) for run in runs] == [
        ["empty", "refused"],
        ["empty", "delivered"],
    ]
    assert [run.outcome for run in runs] == ["failures", "complete"]
    assert list(runs[0].trials()["persona_in"]) == ["system", "system"]
    assert list(runs[1].trials()["persona_in"]) == ["user", "user"]
    assert list(runs[1].prompt_audit()["persona_in"]) == ["user", "user"]
    _, transcript, _ = list(runs[1].transcripts())[1]
    assert [message.role for message in transcript.messages] == ["user"]
    assert transcript.messages[0].content.endswith("\n\nTea?")


def test_a_place_for_an_unknown_model_is_refused(here: Path) -> None:
    """A misspelt name would leave the persona where it is refused."""
    with pytest.raises(FileError, match=r"not among the models"):
        Experiment.define(
            "x",
            personas=["art"],
            models=["vllm:m"],
            cases=["?"],
            system_prompt_in={"vllm:n": "user"},
        )


async def test_a_manifest_of_strangers_is_refused(here: Path) -> None:
    """What a store says is checked before it is shown."""
    run = await Experiment.define("tea", personas=["art"], models=["echo"], cases=["Tea?"]).run(
        on_progress=quiet
    )
    for strange in ([{"verdict": "fine"}], [{"persona": "a", "model": "b", "verdict": "fine"}]):
        with Store("results") as store:
            store.describe_run(run.id, {**run.manifest, "delivery": strange})
        with pytest.raises(UsageError, match="prompt audits that cannot be read"):
            Results("results").get(run.id).prompt_audit()


async def test_an_earlier_run_knows_nothing(here: Path) -> None:
    """A manifest from before there was an audit is not taken for a proof."""
    run = await Experiment.define("tea", personas=["art"], models=["echo"], cases=["Tea?"]).run(
        on_progress=quiet
    )
    manifest = {k: v for k, v in run.manifest.items() if k != "delivery"}
    with Store("results") as store:
        store.describe_run(run.id, manifest)
    assert list(Results("results").get(run.id).prompt_audit()["verdict"]) == ["unknown"]
    assert Model("vllm:m").provider == "vllm"
