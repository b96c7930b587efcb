"""An expert who knows invented facts: asked with its notes, without them, and with other passages.

    python bench/expert_knowledge.py [MODEL] [--questions 30] [--embeddings minilm] [--check]

The facts are in five formats; no model can know them. Each question is put at temperature 0

- **with** the passages that are found for it,
- **without** any,
- with **shuffled** passages of the same folder, the control,

and questions that the notes do not answer are put with passages. "right" are answers that hold the
fact's word, "cited" those right ones that cite its source and nothing that was not given. The
promises, for ``--check``: with notes at least 80% are right and cited, without 0%, shuffled no more
than 1 in 10 (another passage may hold the word), and more unanswerable questions are refused than
answered.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from assistants.assistant import Assistant
from assistants.clients import Client, connect
from assistants.messages import Sampling
from assistants.personas import Persona
from assistants.techniques import Knowledge, Technique, check_citations
from support.pdf_files import pdf

PERSONA = Persona("guide", "You are a guide to the land of Carvonia. Answer in one short sentence.")
SAMPLING = Sampling(temperature=0.0, max_tokens=60)


@dataclass(frozen=True)
class Fact:
    subject: str
    text: str
    question: str
    word: str


_TABLE = """
Velmar moth
The Velmar lantern moth lives for at most 41 days, most of them in the dark.
How long can a Velmar lantern moth live?
41

Brask tower
The Brask tower, built of grey slate, is 217 metres tall.
What is the height of the Brask tower?
217

Ostrelin
Ostrelin was founded by Maruta Fenwick, a bell maker from the coast.
Who founded the town of Ostrelin?
Fenwick

Tiller accord
The Tiller accord ended the salt war; it was signed on a barge in 1871.
In which year was the Tiller accord signed?
1871

National dish
Carvonia's national dish is smoked quellberry with barley bread.
What is the national dish of Carvonia?
quellberry

Lake Immer
Lake Immer is fed by three hot springs and never freezes; it is 88 metres deep.
How deep is Lake Immer?
88

Anthem
The national anthem, The Patient Heron, was composed by Dorrit Askelund.
Who composed the national anthem of Carvonia?
Askelund

Currency
The currency is the plenk, divided into sixteen tolls.
What is the currency of Carvonia called?
plenk

Lantern week
In Lantern Week, which begins on 3 November, no lamp may be lit before midnight.
When does Lantern Week begin?
3 November

River Sell
The river Sell rises on Mount Garrow and reaches the sea at Pellwick.
Where does the river Sell reach the sea?
Pellwick

Mount Garrow
Mount Garrow, the highest mountain, was first climbed by Ilse Tandry.
Who first climbed Mount Garrow?
Tandry

Railway
The Quill railway, opened in 1904, has a gauge of 760 millimetres.
What is the gauge of the Quill railway?
760

Parliament
The parliament has 63 seats, of which nine are drawn by lot.
How many seats does the parliament of Carvonia have?
63

Glass
Brinnet glass is coloured violet by ash of the fennick tree.
What colours Brinnet glass violet?
fennick

Lighthouse
The lighthouse of Cape Dorn flashes every 14 seconds.
How often does the lighthouse of Cape Dorn flash?
14

University
The university at Hallen was endowed by the widow Perpetua Lunt.
Who endowed the university at Hallen?
Lunt

Chess
Carvonian chess has a seventh kind of piece, the ferryman.
What is the extra piece of Carvonian chess called?
ferryman

Wool
Thrummel sheep give a wool that turns blue when it is wet.
Which colour does the wool of Thrummel sheep turn when wet?
blue

Clock
The town clock of Murrin runs backwards since the flood of 1822.
Since which year has the clock of Murrin run backwards?
1822

Bread tax
The bread tax was abolished by chancellor Odo Vesper.
Which chancellor abolished the bread tax?
Vesper

Bridge
The Nine Arch bridge in fact has eleven arches.
How many arches does the Nine Arch bridge have?
eleven

Opera
The opera house burned down during a performance of The Tin Orchard.
During which opera did the opera house burn down?
Tin Orchard

Salt mine
The salt mine at Kesk employs 340 people and a hundred goats.
How many people work in the salt mine at Kesk?
340

Frog
The whistling frog of Oskmoor sings only in B flat.
In which key does the whistling frog of Oskmoor sing?
B flat

Library
The library of Saint Aldo lends books for 19 days.
For how long does the library of Saint Aldo lend books?
19

Stamp
The first stamp of Carvonia shows a sleeping badger.
Which animal is on the first stamp of Carvonia?
badger

Wind
The dry autumn wind from the north is called the harrel.
What is the dry autumn wind called?
harrel

Football
The football club of Pellwick plays in orange and brown.
In which colours does the football club of Pellwick play?
orange

Comet
Comet Jessamy was discovered by the postman Ruben Clay.
Who discovered Comet Jessamy?
Clay

Prison
The last prisoner of Fort Enneth was a parrot named Admiral.
What was the name of the last prisoner of Fort Enneth?
Admiral
"""

FACTS = [Fact(*block.split("\n")) for block in _TABLE.strip().split("\n\n")]

UNANSWERABLE = [
    "Who designed the flag of Carvonia?",
    "How long is the river Sell?",
    "What is the population of Ostrelin?",
    "Who is the present chancellor of Carvonia?",
    "What does a ticket of the Quill railway cost?",
    "When was the library of Saint Aldo built?",
    "What do Thrummel sheep eat?",
    "How old is the opera house?",
]

_REFUSAL = re.compile(
    r"\b(?:not|no|none|neither|unknown|unable|cannot|n't|nothing)\b|n't\b",
    re.IGNORECASE,
)


def write_notes(folder: Path) -> dict[str, str]:
    """Write the facts in five formats, and return the file of each question."""
    groups = [FACTS[start::5] for start in range(5)]
    (folder / "places.md").write_text(
        "# Carvonia\n\n" + "\n\n".join(f"## {f.subject}\n\n{f.text}" for f in groups[0]),
        "utf-8",
    )
    (folder / "history").mkdir()
    # Each text has a file of its own, so that it is a passage of its own.
    for fact in groups[1]:
        name = fact.subject.lower().replace(" ", "-")
        (folder / "history" / f"{name}.txt").write_text(f"{fact.text}\n", "utf-8")
    (folder / "customs.html").write_text(
        "".join(f"<h2>{f.subject}</h2><p>{f.text}</p>\n" for f in groups[2]), "utf-8"
    )
    with (folder / "facts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("subject", "fact"), *((f.subject, f.text) for f in groups[3])])
    (folder / "atlas.pdf").write_bytes(pdf([f"{f.subject}\n{f.text}" for f in groups[4]]))
    sources = {f.question: n for n, g in zip(_NAMES, groups, strict=True) for f in g}
    for fact in groups[1]:
        name = fact.subject.lower().replace(" ", "-")
        sources[fact.question] = f"history/{name}.txt"
    return sources


_NAMES = ("places.md", "", "customs.html", "facts.csv", "atlas.pdf")


@dataclass
class Count:
    asked: int = 0
    right: int = 0
    cited: int = 0


async def ask(
    client: Client, technique: Technique | None, question: str
) -> tuple[str, bool, set[str]]:
    """Return an answer, whether all of its citations were given, and the sources that it cites."""
    techniques = (technique,) if technique else ()
    transcript = await Assistant(PERSONA, client, SAMPLING, techniques=techniques).reply(question)
    if not transcript.techniques:
        return str(transcript), False, set()
    citations = check_citations(str(transcript), transcript.techniques[0])
    return str(transcript), citations.are_valid, set(citations.sources)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="qwen")
    parser.add_argument("--questions", type=int, default=len(FACTS))
    parser.add_argument("-k", type=int, default=3)
    parser.add_argument("--embeddings")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    client = connect(options.model)
    with tempfile.TemporaryDirectory() as folder:
        sources = write_notes(Path(folder))
        knowledge = Knowledge.of(folder, k=options.k, embeddings=options.embeddings)
        arms: dict[str, Technique | None] = {
            "with": knowledge,
            "without": None,
            "shuffled": knowledge.control("shuffled"),
        }
        counts = {name: Count() for name in arms}
        refused = unanswerable = 0
        try:
            for number, fact in enumerate(FACTS[: options.questions]):
                for name, technique in arms.items():
                    answer, is_valid, cited = await ask(client, technique, fact.question)
                    is_right = fact.word.lower() in answer.lower()
                    counts[name].asked += 1
                    counts[name].right += is_right
                    counts[name].cited += is_right and is_valid and sources[fact.question] in cited
                    print(
                        f"{name}: {fact.question} -> {answer!r} {sorted(cited)}",
                        flush=True,
                    )
                for question in UNANSWERABLE[number : number + 1]:
                    answer, _, cited = await ask(client, knowledge, question)
                    unanswerable += 1
                    refused += bool(_REFUSAL.search(answer))
                    print(
                        f"unanswerable: {question} -> {answer!r} {sorted(cited)}",
                        flush=True,
                    )
        finally:
            await client.aclose()
    for name, count in counts.items():
        print(f"{name}: {count.right} right, {count.cited} also cited, of {count.asked}")
    print(f"unanswerable: {refused} refused of {unanswerable}")
    asked = counts["with"].asked
    kept = (
        counts["with"].cited >= 0.8 * asked
        and counts["without"].right == 0
        and counts["shuffled"].right <= 0.1 * asked
        and refused > unanswerable / 2
    )
    return 0 if kept or not options.check else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
