"""The command line from outside: what it prints where, what it asks, and its exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from assistants.results import Results
from assistants.runs import RetryPolicy
from support.commands import call, on_terminal, run, write_experiment
from support.faulty_server import FaultyServer, Request


@pytest.fixture(autouse=True)
def at_server(here: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """``vllm:`` is the loopback server, and nothing waits between attempts."""
    monkeypatch.setenv("VLLM_BASE_URL", server.url)
    monkeypatch.setattr(RetryPolicy, "wait_s", lambda self, tried, error: None)
    monkeypatch.setattr(RetryPolicy, "refusal_wait_s", lambda self, error: None)


def asked(server: FaultyServer) -> int:
    return len(questions(server))


def questions(server: FaultyServer) -> list[Request]:
    """Without those that look at what becomes of a persona, which generate nothing."""
    return [each for each in server.requests if each.path.endswith("/chat/completions")]


def test_help_is_quick() -> None:
    """``assistants --help`` imports neither pandas nor openai, so that it is there at once."""
    code = (
        "import sys\nfrom assistants.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "heavy = {'pandas', 'openai', 'ipywidgets', 'papermill', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name in "run ask chat personas models results fetch doctor".split():
        assert f"  {name} " in done.stdout


def test_a_run_asks_compares_and_keeps(server: FaultyServer) -> None:
    """The answers go to stdout as a table, everything else to stderr, and all is written down."""
    done = call("run", write_experiment(), "--no-report")
    assert done.code == 0
    assert "Why is the sky blue?" in done.out
    assert "art" in done.out
    assert "2 to ask" in done.err
    assert "2 ok" in done.err
    assert "2 to ask" not in done.out
    left = {path.name for path in Results().latest("exp").folder.iterdir()}
    assert left == {"manifest.json", "trials.parquet", "transcripts"}
    assert asked(server) == 2
    again = call("run", "exp.yaml", "--no-report")
    assert again.code == 0
    assert "nothing to ask" in again.err
    assert asked(server) == 2


def test_options_change_the_design(server: FaultyServer) -> None:
    """``--model``, ``--repeats``, ``--cases``, ``--concurrency``, ``--results`` do as they say."""
    server.latency = 0.05
    file = write_experiment(cases=["one", "two", "three"], repeats=5)
    options = "-m vllm:a --model vllm:b --repeats 2 --cases 2 --concurrency 1 --results other"
    done = call("run", file, "--no-report", *options.split())
    assert done.code == 0
    frame = Results("other").latest().trials()
    assert len(frame) == 2 * 2 * 2 * 2
    assert set(frame["status"]) == {"ok"}
    assert set(frame["model"]) == {"vllm:a", "vllm:b"}
    assert {request.json["model"] for request in questions(server)} == {"a", "b"}
    assert asked(server) == len(frame)
    assert set(frame["case"]) == {"1", "2"}
    assert server.peak == 1
    assert not Path("results").exists()


def test_settings_win_over_every_other(server: FaultyServer) -> None:
    """Those of the line over the file, its personas and its pairs; what they leave out stays."""
    persona = {"name": "p", "system_prompt": "Hi.", "sampling": {"temperature": 1, "top_p": 0.5}}
    file = write_experiment(personas=["none", persona], sampling={"max_tokens": 5, "seed": 3})
    options = "--temperature .25 --max-tokens 9 --reasoning-effort low"
    done = call("run", file, "--no-report", *options.split(), "--set", 'extra={"a": [1]}')
    assert done.code == 0, done.err
    pair = {"persona": "art", "model": "vllm:m", "sampling": {"temperature": 1, "top_k": 4}}
    other = write_experiment("pairs.yaml", personas=[], models=[], assistants=[pair])
    assert call("run", other, "--no-report", "--temperature", "0", "--seed", "8").code == 0
    names = ("temperature", "max_tokens", "seed", "top_p", "top_k", "reasoning_effort", "a")
    sent = [tuple(request.json.get(name) for name in names) for request in questions(server)]
    assert sorted(sent, key=repr) == [
        (0.0, None, 8, None, 4, None, None),
        (0.25, 9, 3, 0.5, None, "low", [1]),
        (0.25, 9, 3, None, None, "low", [1]),
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "temprature=1"], "--set temprature: unknown setting 'temprature'"),
        (["--temperature", "3"], "--temperature: temperature must be between 0 and 2, not 3"),
        (["--set", "top_k=many"], "--set top_k: top_k must be a whole number, not 'many'"),
        (["--seed", "1.5"], "--seed: seed must be a whole number, not 1.5"),
        (["--set", 'extra={"n": 2}'], "--set extra: extra cannot set 'n'"),
        (["--top-p", "NaN"], "--top-p: top_p must be between 0 and 1, not nan"),
        (["--seed", "1", "--set", "seed=2"], "--set seed: seed is set by --seed already"),
        (["--set", "seed=null"], "--set seed: 'null' sets nothing"),
        (["--set", "seed"], "--set seed: no value"),
        (["--set", "repeat=1"], "--set repeat: unknown setting 'repeat'"),
    ],
)
def test_a_wrong_setting_reads_as_in_a_file(
    server: FaultyServer, options: list[str], words: str
) -> None:
    """It names the option, and nothing is asked, whatever the command."""
    for line in (["run", write_experiment()], ["ask", "-m", "vllm:m", "Hi?"], ["chat"]):
        done = call(*line, *options)
        assert (done.code, done.out) == (2, "")
        assert words in done.err
    assert asked(server) == 0


def test_a_folder_of_personas(server: FaultyServer) -> None:
    """``--personas DIR`` wins over the personas that come with the install."""
    Path("mine").mkdir()
    Path("mine/art.md").write_text("---\nlabel: Mine\n---\nPaint it black.\n", encoding="utf-8")
    done = call("run", write_experiment(personas=["art"]), "--no-report", "--personas", "mine")
    assert done.code == 0
    assert questions(server)[0].json["messages"][0]["content"] == "Paint it black."


def test_a_dry_run_leaves_nothing(server: FaultyServer) -> None:
    """``--dry-run`` asks nothing and writes nothing, as ``--json`` too."""
    file = write_experiment()
    before = sorted(Path().rglob("*"))
    done = call("run", file, "--dry-run")
    assert (done.code, done.out) == (0, "")
    assert "2 to ask" in done.err
    facts = json.loads(call("run", file, "--dry-run", "--json").out)
    assert (facts["trials"], facts["to_ask"], facts["usd"]) == (2, 2, 0)
    assert sorted(Path().rglob("*")) == before
    assert asked(server) == 0


@pytest.mark.parametrize(
    ("option", "code", "outcome"),
    [((), 0, "complete"), (("--limit-tokens", "0"), 3, "limit"), (("-m", "vllm:b"), 1, "failures")],
)
def test_json_is_one_object(
    server: FaultyServer,
    option: tuple[str, ...],
    code: int,
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``--json`` prints one object on stdout and nothing else there, however the run ends."""
    if code == 1:
        monkeypatch.setenv("VLLM_BASE_URL", server.url_of("400"))
    command = run if code == 0 else call
    done = command("run", write_experiment(), "--json", "--no-report", *option)
    said = json.loads(done.out)
    assert done.code == code
    assert said["outcome"] == outcome
    assert said["experiment"] == "exp"
    assert said["report"] is None
    assert sum(said["counts"].values()) == 2


def test_caps_stop_a_run(server: FaultyServer) -> None:
    """``--limit-tokens`` and ``--limit-usd`` end a run with 3, and it says what is left."""
    Path("models.toml").write_text(
        '[models]\nm = { model = "vllm:m", prices = { input = 1e6, output = 1e6 } }\n', "utf-8"
    )
    file = write_experiment(models=["m"], cases=["a", "b", "c"])
    few = call("run", file, "--no-report", "--yes", "--limit-tokens", "1", "--concurrency", "1")
    assert few.code == 3
    assert "5 left" in few.err
    assert asked(server) == 1
    cheap = call("run", file, "--no-report", "--limit-usd", "0.01", "--concurrency", "1")
    assert cheap.code == 3
    assert asked(server) == 2


def test_a_limit_counts_over_the_file(server: FaultyServer) -> None:
    """A cap in the file holds until the command line gives another."""
    file = write_experiment(limits={"tokens": 0})
    assert call("run", file, "--no-report").code == 3
    assert call("run", file, "--no-report", "--limit-tokens", "1000").code == 0
    assert asked(server) == 2


@pytest.mark.parametrize("price", ["", "prices = { input = 1, output = 1 }"])
def test_nobody_spends_by_accident(server: FaultyServer, price: str) -> None:
    """A price, known or unknown, needs a cap or a yes; without a terminal that is wrong usage."""
    Path("models.toml").write_text(
        f'[providers.other]\naddress = "{server.url}"\n{price}\n', encoding="utf-8"
    )
    file = write_experiment(models=["other:m"])
    done = call("run", file, "--no-report")
    assert done.code == 2
    assert "--limit-usd" in done.err
    assert asked(server) == 0
    assert call("run", file, "--no-report", "--yes").code == 0
    assert asked(server) == 2


def test_a_tape_records_and_replays(server: FaultyServer) -> None:
    """``--tape FILE`` records; with the file there, nothing is asked."""
    file = write_experiment()
    assert call("run", file, "--no-report", "--tape", "t.jsonl").code == 0
    assert len(Path("t.jsonl").read_text("utf-8").splitlines()) == 2
    done = call("run", file, "--no-report", "--tape", "t.jsonl", "--results", "again")
    assert done.code == 0
    assert "2 to replay from a tape: no model is asked" in done.err
    assert asked(server) == 2
    more = "--no-report --tape t.jsonl --results again --repeats 2".split()
    missed = call("run", file, *more)
    assert missed.code == 1
    assert "has no answer to" in missed.err
    assert "Run the same command again" not in missed.err, "the tape would say the same"


def test_a_dry_run_counts_controls_that_have_no_text_yet(server: FaultyServer) -> None:
    """As many trials as the run will have, at about its price; and nothing is written."""
    file = write_experiment(controls={"neutral": True, "paraphrases": 2, "same": True})
    done = call("run", file, "--dry-run", "--json")
    assert "3 control texts would be made first" in done.err
    drafted = json.loads(done.out)
    assert asked(server) == 0
    assert not Path("exp.controls.yaml").exists()
    assert call("run", file, "--no-report").code == 0
    assert drafted["trials"] == drafted["to_ask"] == len(Results().latest("exp").trials()) == 6
    whole = json.loads(call("run", file, "--dry-run", "--json", "--results", "new").out)
    assert drafted["input_tokens"] == pytest.approx(whole["input_tokens"], rel=0.5)


def test_a_dry_run_counts_controls_of_techniques(here: Path) -> None:
    """They need no text, and are asked like everybody else."""
    pair = {"persona": "none", "model": "echo", "enrich": {"model": "echo"}}
    entries = {"assistants": [pair], "controls": {"enrich": "echo"}}
    Path("x.yaml").write_text(json.dumps({**entries, "cases": ["Why?"]}), encoding="utf-8")
    assert json.loads(call("run", "x.yaml", "--dry-run", "--json").out)["trials"] == 2


@pytest.mark.parametrize(
    "line",
    [
        "run",
        "run exp.yaml --nope",
        "run exp.yaml --repeats 0",
        "run exp.yaml --limit-usd nan",
        "run exp.yaml -m nope",
        "run exp.yaml --personas nope",
        "run nope.yaml",
        "run exp.yaml extra",
        "ask",
        "ask --nope x",
        "ask -p nope x",
        "ask -m vllm x",
        "ask -m echo -p wants x --personas .",
        "chat -p nope",
        "personas nope",
        "models chck",
        "results nope",
        "results --format xml",
        "fetch nope",
        "doctor extra",
        "nope",
    ],
)
def test_wrong_usage_is_2(server: FaultyServer, line: str) -> None:
    """Wrong words on the line: exit code 2, a message on stderr, nothing on stdout, no question."""
    write_experiment()
    Path("wants.md").write_text("---\nlabel: W\n---\nFor {{ audience }}.\n", encoding="utf-8")
    done = call(*line.split())
    assert done.code == 2
    assert done.err.strip()
    assert "Traceback" not in done.err
    assert done.out == ""
    assert asked(server) == 0


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_results_in_every_format(form: str) -> None:
    """``assistants results`` shows the newest run; ``--out`` writes the same to a file."""
    call("run", write_experiment(), "--no-report")
    done = call("results", "exp", "--format", form)
    assert done.code == 0
    assert "art" in done.out
    folder = Path("new/folder")
    kept = call("results", "--format", form, "--out", str(folder / "f"))
    assert (kept.out, kept.err) == ("", f"2 rows in {folder / 'f'}.\n")
    written = (folder / "f").read_text("utf-8")
    if form == "json":
        assert json.loads(written) == json.loads(done.out)
        assert len(json.loads(written)) == 2
    elif form == "csv":
        assert list(pd.read_csv(folder / "f")["persona"]) == ["none", "art"]
    else:
        assert max(map(len, written.splitlines())) <= 160


def test_a_score_that_scores_nothing_says_why() -> None:
    """A reference that no case has, and votes that nobody cast, are no table of blanks."""
    call("run", write_experiment(), "--no-report")
    done = call("effects", "exp", "--score", "contains")
    assert done.code == 2
    assert "contains scores no answer of exp: " in done.err
    one = call("effects", "exp", "--score", "words")  # one case: a table, and too little to tell
    assert one.code == 0, one.err
    assert "too little data" in one.out
    voted = call("effects", "exp", "--score", "votes")
    assert voted.code == 2
    assert "Rate(run)" in voted.err


def test_results_as_parquet() -> None:
    """Parquet goes to a file, and only there."""
    call("run", write_experiment(), "--no-report")
    assert call("results", "--format", "parquet").code == 2
    assert call("results", "--format", "parquet", "--out", "a.parquet").code == 0
    assert len(pd.read_parquet("a.parquet")) == 2


def test_results_of_a_run_without_answers(server: FaultyServer) -> None:
    """A run in which nothing was answered is shown like any other."""
    call("run", write_experiment(), "--no-report", "--limit-tokens", "0")
    done = call("results")
    assert done.code == 0
    assert done.out.count(" open") == 3  # two trials and the count of them


def test_a_disk_that_refuses() -> None:
    """A file that may not be written is an error with its name, not a traceback."""
    call("run", write_experiment(), "--no-report")
    Path("folder").mkdir()
    done = call("results", "--format", "csv", "--out", "folder")
    assert done.code == 1
    assert "folder" in done.err


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_without_colour(columns: int) -> None:
    """``NO_COLOR`` gives no colour; a pipe gets no escape code at all."""
    write_experiment()
    code, screen = on_terminal("models", columns=columns, NO_COLOR="1")
    assert code == 0
    assert "\x1b[3" not in screen
    assert "\x1b[9" not in screen
    rows = [line for line in re.sub(r"\x1b\[\d*m", "", screen).split("\r\n") if "built in" in line]
    assert rows
    assert max(map(len, rows)) <= columns
    done = run("run", "exp.yaml", "--no-report")
    assert "\x1b" not in done.out + done.err
