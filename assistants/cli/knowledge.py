"""``assistants knowledge``: what a folder of notes holds, and what is found in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistants.cli import options
from assistants.cli.console import out, say, show, table
from assistants.errors import UsageError
from assistants.utils import Document, pluralize, truncate_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assistants.messages import Transcript
    from assistants.personas import Persona
    from assistants.techniques import Hit, Knowledge, RetrievalScores


def knowledge(
    notes: Annotated[
        str, typer.Argument(metavar="FOLDER", help="A folder, or a persona that names one.")
    ],
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="Show what is found for it.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="Number of passages.")] = 5,
    embeddings: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Search by meaning too: minilm, or a model behind a server."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", metavar="MODEL", help="Ask this model too, and check its citations."
        ),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Score the search on cases that say their `source`."),
    ] = None,
    personas: options.Folders = None,
) -> int:
    """List what a folder of notes holds, show what is found for a question, or score the search."""
    persona, folder = _find(notes, personas or ())
    from assistants.techniques import Knowledge

    found = Knowledge.of(folder, k=k, embeddings=embeddings)
    if cases is not None:
        return _score(found, cases)
    if question is None:
        if model is not None:
            raise UsageError("There is no question to ask.", fix="Write it behind the folder.")
        return _list(found)
    hits = asyncio.run(found.passages(question))
    _explain(found, hits)
    if model is not None:
        _show_answer(asyncio.run(_ask(found, persona, model, question)))
    return 0


def _find(name: str, folders: Sequence[Path]) -> tuple[Persona | None, Path]:
    """Return a persona and its folder, or a folder that a person named."""
    from assistants.personas import Library
    from assistants.techniques import find_knowledge

    if Path(name).is_dir():
        return None, Path(name)
    library = Library.default(folders)
    if name not in library.names():
        return None, find_knowledge(name, where="the command line")
    persona = library.find(name)
    if persona.knowledge is None:
        raise UsageError(
            f"persona {name!r} names no folder of notes.",
            fix=f"Write `knowledge: FOLDER` into the front matter of {persona.source}.",
        )
    return persona, find_knowledge(persona.knowledge, persona.source, where=persona.source)


def _list(found: Knowledge) -> int:
    corpus = found.corpus
    rows = [[source.name, source.chunks, f"{source.size:,}"] for source in corpus.sources]
    out.print(table(["source", "passages", "bytes"], rows))
    say(f"\n{corpus.path}: {pluralize(len(corpus.chunks), 'passage')}, digest {corpus.digest}.")
    return 0


def _explain(found: Knowledge, hits: Sequence[Hit]) -> None:
    if not hits:
        say("No passage was found: the question shares no word with the notes.")
        return
    names = list(dict.fromkeys(name for hit in hits for name in hit.ranks))
    rows = [
        [f"[{number}]", hit.chunk.place, hit.chunk.heading, *(_rank(hit, name) for name in names)]
        for number, hit in enumerate(hits, start=1)
    ]
    out.print(table(["", "place", "heading", *names], rows))
    for number, hit in enumerate(hits, start=1):
        show(f"\n[{number}] {truncate_line(hit.chunk.text, 400)}")
    if found.embedder is not None:
        say("\nThe order is that of both rankings together, by reciprocal rank.")


def _rank(hit: Hit, name: str) -> str:
    if name not in hit.ranks:
        return "-"
    rank, score = hit.ranks[name]
    return f"{rank} ({score:.2f})"


async def _ask(found: Knowledge, persona: Persona | None, model: str, question: str) -> Transcript:
    from assistants.assistant import Assistant
    from assistants.clients import connect
    from assistants.personas import Library

    client = connect(model)
    try:
        assistant = Assistant(
            persona or Library.default().find("none"), client, techniques=(found,)
        )
        return await assistant.reply(question)
    finally:
        await client.aclose()


def _show_answer(transcript: Transcript) -> None:
    from assistants.techniques import check_citations

    show(f"\n{transcript}")
    citations = check_citations(str(transcript), transcript.techniques[0])
    if citations.unknown:
        numbers = ", ".join(map(str, citations.unknown))
        say(f"\nIt cites what it was not given: {numbers}.", style="red")
    elif citations.cited:
        say(f"\nIt cites {', '.join(citations.sources)}.", style="green")
    else:
        say("\nIt cites nothing.", style="yellow")


def _score(found: Knowledge, cases: Path) -> int:
    from assistants.design import read_cases
    from assistants.techniques import retrieval_scores

    document = Document(str(cases.parent / "cases"), {"cases": cases.name}, {})
    judged = [
        (case.questions[-1], case.source)
        for case in read_cases(document, cases.name)
        if case.source is not None
    ]
    _show_scores(asyncio.run(retrieval_scores(found, judged)), len(judged))
    return 0


def _show_scores(scores: RetrievalScores, count: int) -> None:
    rows = [
        [name, scores.hit_rate(name, 1), scores.hit_rate(name), scores.mrr(name)]
        for name in scores.ranks
    ]
    out.print(table(["search", "hit@1", f"hit@{scores.k}", "MRR"], rows))
    say(f"\n{pluralize(count, 'question')} with a known source.")
    if "fused" in scores.ranks:
        change = scores.difference("fused", "bm25")
        say(
            f"MRR of fused minus bm25: {change.mean:+.3f}, 95% interval "
            f"{change.low:+.3f} to {change.high:+.3f}."
        )
