"""Exports say what the store says: answers, scores, and failures as failures; never a key."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from assistants.assistant import Assistant
from assistants.clients import ScriptedClient
from assistants.errors import (
    ExportError,
    IncompleteReplyError,
    MissingDependencyError,
    UnknownNameError,
    UsageError,
)
from assistants.experiment import Experiment
from assistants.messages import Completion, Message, Sampling, Usage
from assistants.personas import Persona
from assistants.results import Run
from assistants.runs import RetryPolicy
from assistants.runs.export import read_trials
from assistants.trial import Case
from support.commands import call
from support.experiments import quiet

SCRIPT = """\
"What is a tree?": "A plant with a trunk."
"And a bush?": "A small one."
"""
CANARY = "sk-canary-0123456789abcdef"

needs_otel = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None
    or importlib.util.find_spec("opentelemetry.exporter") is None,
    reason="the extra `otel` is not installed",
)
needs_inspect = pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None, reason="the extra `inspect` is not installed"
)


@pytest.fixture
async def run(here: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Two personas, an answered case, one of two turns, one that fails; scored."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    Path("answers.yaml").write_text(SCRIPT)
    experiment = Experiment.define(
        "trees",
        personas=["none", {"name": "gardener", "system_prompt": "You grow `trees`.\n```\nEnd."}],
        models=["scripted:answers.yaml"],
        cases=[
            {"id": "tree", "question": "What is a tree?", "reference": "trunk"},
            {"id": "both", "turns": ["What is a tree?", "And a bush?"]},
            {"id": "lost", "question": "Who are you?"},
        ],
        scorers=["words", "contains"],
        sampling={"temperature": 0.5, "max_tokens": 50},
        repeats=2,
        description="Of <b>trees</b>\n# and *bushes*",
    )
    return await experiment.run(on_progress=quiet)


def files_of(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    yield from (archive.read(name) for name in archive.namelist())


async def test_records_say_what_was_sent_and_what_failed(run: Run) -> None:
    """Every trial has its conversation; one that failed has its error and no completion."""
    trials = list(read_trials(run.results, run.id))
    assert len(trials) == 12
    both = next(t for t in trials if t.row["case"] == "both" and t.row["persona"] == "gardener")
    assert [m.role for m in both.messages(1)] == ["system", "user", "assistant", "user"]
    assert both.transcript.completion.text == "A small one."
    lost = [t for t in trials if t.row["case"] == "lost"]
    assert len(lost) == 4
    for trial in lost:
        assert not trial.is_answered
        assert trial.completions == ()
        assert trial.error_type == "BadRequestError"
        assert "has no answer" in (trial.error or "")


async def test_a_dataset_folder_loads_and_its_card_is_true(run: Run) -> None:
    """The card's head names the files there are, and failures have no answer in the table."""
    folder = run.export("huggingface")
    assert folder == run.folder / "huggingface"
    card = (folder / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    configs = YAML(typ="safe").load(head)["configs"]
    named = {c["config_name"]: folder / c["data_files"][0]["path"] for c in configs}
    assert set(named) == {"trials", "scores"}
    frame = pd.read_parquet(named["trials"])
    assert frame["status"].value_counts().to_dict() == {"ok": 8, "error": 4}
    failed = frame[frame["status"] == "error"]
    assert failed["answer"].isna().all()
    assert failed["error"].notna().all()
    assert set(frame["answer"].dropna()) == {"A plant with a trunk.", "A small one."}
    scores = pd.read_parquet(named["scores"])
    assert len(scores) == 24
    assert "8 ok, 4 error" in body
    assert "<b>" not in body
    assert "\n# and" not in body
    assert "````text\nYou grow `trees`.\n```\nEnd.\n````" in body
    run.export("huggingface")  # again is no error


@pytest.mark.filterwarnings("ignore")
async def test_what_had_arrived_of_a_reply_is_no_answer(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a reply that broke off, and of one that reasoning used up, every export says the same."""

    def broken(messages: Sequence[Message], sampling: Sampling) -> str:
        partial = Completion("Half a sen", status="truncated", usage=Usage(3, 2))
        raise IncompleteReplyError("the reply broke off", partial=partial)

    experiment = Experiment(
        name="half",
        assistants=(Assistant(Persona("none", None), ScriptedClient(broken, "broken")),),
        cases=(Case("one", ("Why?",)),),
    )
    monkeypatch.setattr(RetryPolicy, "wait_s", lambda self, tried, error: None)
    run = await experiment.run(on_progress=quiet)
    assert run.statuses() == {"truncated": 1}
    (trial,) = read_trials(run.results, run.id)
    assert (trial.is_answered, trial.completions, trial.error_type) == (
        False, (), "IncompleteReplyError",
    )  # fmt: skip
    frame = pd.read_parquet(run.export("huggingface") / "data" / "trials.parquet")
    assert frame["answer"].isna().all()
    assert list(frame["partial_answer"]) == ["Half a sen"]
    if importlib.util.find_spec("inspect_ai"):
        from inspect_ai.log import read_eval_log

        (path,) = run.export("inspect").iterdir()
        (sample,) = read_eval_log(str(path)).samples
        assert (sample.output.completion, sample.metadata["partial_answer"]) == ("", "Half a sen")
        assert "broke off" in sample.error.message


async def test_an_export_overwrites_nothing(run: Run) -> None:
    """A folder that holds something is refused; a new or empty one is taken."""
    Path("mine").mkdir()
    assert run.export("huggingface", "mine") == Path("mine")
    with pytest.raises(UsageError, match="is there already"):
        run.export("huggingface", "mine")
    Path("note").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        run.export("files", "note")
    assert (run.export("files", "new") / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("to", "module", "extra"),
    [("inspect", "inspect_ai.log", "inspect"), ("otel", "opentelemetry.exporter", "otel")],
)
async def test_a_missing_extra_is_named_with_its_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, to: Any, module: str, extra: str
) -> None:
    """The error is the command that fixes it."""
    for name in (module, *(m for m in sys.modules if m.startswith(f"{module}."))):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError) as error:
        run.export(to)
    assert error.value.fix == f"pip install 'assistants[{extra}]'"


async def test_the_command_says_what_it_wrote(run: Run) -> None:
    """By id or by experiment; a wrong format or name is refused with the known ones."""
    done = call("export", run.id, "--to", "huggingface", "--out", "there")
    assert (done.code, Path("there/README.md").is_file()) == (0, True)
    assert "12 trials" in done.err
    assert "4 of them without an answer" in done.err
    assert call("export", "trees").code == 0
    wrong = call("export", "trees", "--to", "hugingface")
    assert (wrong.code, "Did you mean 'huggingface'?" in wrong.err) == (2, True)
    assert call("export", "tree").code == 2
    assert call("export", "trees", "--to", "otel", "--out", "x").code == 2
    with pytest.raises(UnknownNameError):
        run.export("csv")  # type: ignore[call-overload]


async def test_no_export_holds_a_key(run: Run) -> None:
    """Whatever can be written here is searched, archives too."""
    run.export("files", "out/files")
    run.export("huggingface", "out/huggingface")
    if importlib.util.find_spec("inspect_ai"):
        run.export("inspect", "out/inspect")
    for content in files_of(Path("out")):
        assert CANARY.encode() not in content


# -- inspect ---------------------------------------------------------------------------------------


@needs_inspect
@pytest.mark.filterwarnings("ignore")
async def test_inspect_reads_its_logs(run: Run) -> None:
    """One log per persona; cases are samples, repeats epochs, failures errors without scores."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    folder = run.export("inspect")
    assert len(list_eval_logs(str(folder))) == 2
    logs = [read_eval_log(str(path)) for path in sorted(folder.iterdir())]
    assert [log.eval.metadata["persona"] for log in logs] == ["none", "gardener"]
    log = logs[1]
    assert (log.eval.task, log.eval.model) == ("trees", "scripted/answers.yaml")
    assert log.eval.model_generate_config.temperature == 0.5
    assert log.status == "error"
    assert (log.results.total_samples, log.results.completed_samples) == (6, 4)
    samples = {(sample.id, sample.epoch): sample for sample in log.samples}
    assert len(samples) == 6
    both = samples["both", 2]
    assert [m.role for m in both.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert both.output.completion == "A small one."
    assert samples["tree", 1].scores["contains"].value == 1
    assert samples["tree", 1].target == "trunk"
    assert "contains" not in both.scores
    assert "reference" in both.metadata["unscored"]["contains"]
    lost = samples["lost", 1]
    assert lost.error is not None
    assert not lost.scores
    assert lost.output.completion == ""


# -- OpenTelemetry ---------------------------------------------------------------------------------


class Collector:
    """A loopback server that keeps what is posted to it; ``status`` is its reply."""

    def __init__(self, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sent = {name.lower(): value for name, value in self.headers.items()}
                collector.requests.append((self.path, sent, body))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[dict[str, Any]]:
        from google.protobuf.json_format import MessageToDict
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        return [
            span
            for _, _, body in self.requests
            for resource in MessageToDict(ExportTraceServiceRequest.FromString(body))[
                "resourceSpans"
            ]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


def plain(value: dict[str, Any]) -> Any:
    """Return a value of OTLP as Python has it."""
    ((kind, content),) = value.items()
    if kind == "arrayValue":
        return [plain(each) for each in content.get("values", [])]
    if kind == "kvlistValue":
        return attributes(content["values"])
    return int(content) if kind == "intValue" else content


def attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: plain(pair["value"]) for pair in pairs}


@needs_otel
async def test_a_collector_gets_a_span_for_each_call(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the conventions of generative AI: messages, model, tokens, scores, errors; one trace."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=collectors-own")
        assert run.export("otel") == f"{collector.url}/v1/traces"
        first = collector.spans()
        path, headers, _ = collector.requests[0]
        assert (path, headers["x-api-key"]) == ("/v1/traces", "collectors-own")
        run.export("otel")
        assert [s["spanId"] for s in collector.spans()] == [s["spanId"] for s in first] * 2
        for _, sent, body in collector.requests:
            assert CANARY.encode() not in body
            assert CANARY not in json.dumps(sent)
    root = first[-1]
    assert root["name"] == "experiment trees"
    calls = first[:-1]
    assert len(calls) == 4 + 8 + 4  # a trial of two turns is two calls
    assert {s["traceId"] for s in first} == {root["traceId"]}
    assert {s["parentSpanId"] for s in calls} == {root["spanId"]}
    assert {(s["name"], s["kind"]) for s in calls} == {("chat answers.yaml", "SPAN_KIND_CLIENT")}
    found = [(s, attributes(s["attributes"])) for s in calls]
    gardener = [f for f in found if f[1]["assistants.persona"] == "gardener"]
    span, about = next(f for f in gardener if f[1]["assistants.case"] == "tree")
    assert about["gen_ai.operation.name"] == "chat"
    assert about["gen_ai.provider.name"] == "scripted"
    assert about["gen_ai.request.temperature"] == 0.5
    assert about["gen_ai.usage.output_tokens"] == 5
    system, user = about["gen_ai.input.messages"]
    assert system["parts"][0]["content"].startswith("You grow")
    assert user == {"role": "user", "parts": [{"type": "text", "content": "What is a tree?"}]}
    (reply,) = about["gen_ai.output.messages"]
    assert reply["parts"] == [{"type": "text", "content": "A plant with a trunk."}]
    events = [attributes(event["attributes"]) for event in span["events"]]
    values = {e["gen_ai.evaluation.name"]: e["gen_ai.evaluation.score.value"] for e in events}
    assert values == {"words": 5.0, "contains": 1.0}
    span, about = next(f for f in gardener if f[1]["assistants.case"] == "lost")
    assert span["status"]["code"] == "STATUS_CODE_ERROR"
    assert about["error.type"] == "BadRequestError"
    assert "gen_ai.output.messages" not in about
    assert "events" not in span


@needs_otel
@pytest.mark.parametrize("status", [401, 307])
async def test_a_collector_that_refuses_is_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """It is said, and nothing follows a redirect: prompts go to one address only."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1")
    with Collector() as other, Collector(status, {"Location": other.url}) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with pytest.raises(ExportError, match="did not take the spans"):
            run.export("otel")
        assert collector.requests
        assert not other.requests
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@127.0.0.1:1")
    with pytest.raises(UsageError) as error:
        run.export("otel")
    assert "secret" not in str(error.value)
