"""Checks of a chat template: what it does with a system message, shown by marker words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from assistants.runs.audit.verdicts import AS_WITHOUT, Verdict
from assistants.utils import truncate_line

SYSTEM, FIRST, ANSWER, SECOND = "quvelo", "zorbin", "kelmat", "wixorn"
"""Words that stand for the persona, a question, its answer and the next question.

Short, lower case and without spaces, so that what a template does to texts does not hide them.
"""

# What a template writes around a text without saying anything: tokens such as <|im_start|>, [INST]
# or <<SYS>>, [gMASK] (GLM), [|endofturn|] (EXAONE), [UNUSED_TOKEN_146] (InternLM), ]~b] and [e~[
# (MiniMax), and a line that names a role.
_CONTROL = re.compile(
    r"<<?/?[^<>\s]{1,60}>>?|\[/?g?[A-Z_]{2,40}[0-9]{0,4}\]|\[\|[^\[\]|\s]{1,40}\|\]"
    r"|\]~!?b[\[\]]|\[e~\["
)
_ROLE = re.compile(
    r"^[\W_]*(system|user|assistant|model|human|ai|bot|developer|tool|inst|instructions?|input"
    r"|response|question|answer)"
    r"( (prompt|message|instructions?|question|query|input|turn))?[\W_]*$",
    re.IGNORECASE | re.MULTILINE,
)
_NAMED = re.compile(
    r"^\W*(\w+ ){0,2}(system|user|assistant|human):\s*$", re.IGNORECASE | re.MULTILINE
)
_WIRED = re.compile(r"<[|｜].{1,60}[|｜]>|</?s>|<(bos|eos|pad|unk|start_of_turn|end_of_turn)>")


@dataclass(frozen=True, slots=True)
class TemplateBehaviour:
    """A verdict on the template as such, and the words that show it; ``None`` if it is sound."""

    verdict: Verdict | None
    detail: str = ""


def template_behaviour(
    with_system: str, without: str | None, turns: str | None, *, folded: bool = False
) -> TemplateBehaviour:
    """Return a verdict on what a template does with a system message.

    Parameters
    ----------
    with_system
        ``SYSTEM``, then ``FIRST`` (and ``ANSWER`` and ``SECOND``), rendered.
    without
        The same without ``SYSTEM``; ``None`` if the template refuses that.
    turns
        ``FIRST``, ``ANSWER``, ``SECOND``, rendered: how a question follows an answer shows how
        the template begins a user's turn.
    folded
        The persona is meant to stand in the user's turn.
    """
    text = with_system
    if (count := text.count(SYSTEM)) != 1:
        if count > 1:
            return TemplateBehaviour("repeated")
        gone = text == without or not own_words(text)
        return (
            TemplateBehaviour("dropped")
            if gone
            else TemplateBehaviour("altered", quoted(own_words(text)))
        )
    place = text.index(SYSTEM)
    users = [(text.find(word), word) for word in (FIRST, SECOND) if word in text]
    after = [found for found in users if found[0] > place]
    if not after:
        return TemplateBehaviour("misplaced")
    at, word = min(after)
    if not folded:
        gap = text[place + len(SYSTEM) : at]
        if _is_merged(text[:place], gap, word, without, turns):
            return TemplateBehaviour("merged")
    if len(after) < len(users):
        return TemplateBehaviour("misplaced")
    if words := own_words(text[:place]):
        same = without is not None and own_words(without) == own_words(text)
        return TemplateBehaviour(
            "prepended", quoted(words)[:-1] + AS_WITHOUT if same else quoted(words)
        )
    if words := own_words(text[place + len(SYSTEM) :]):
        return TemplateBehaviour("followed", quoted(words))
    return TemplateBehaviour(None)


def own_words(text: str) -> str:
    """Return a template's own words, without markers, control tokens and names of roles."""
    for word in (SYSTEM, FIRST, ANSWER, SECOND):
        text = text.replace(word, "\n")
    text = _CONTROL.sub("\n", text)
    text = _NAMED.sub("", _ROLE.sub("", text))
    words = " ".join(text.split())
    return words if any(character.isalnum() for character in words) else ""


def control_tokens(pieces: tuple[str, ...], template: str) -> list[str]:
    """Return the tokens that steer the model: those the template uses, and their like."""
    used = set(_CONTROL.findall(template))
    return [piece for piece in pieces if piece in used or _WIRED.fullmatch(piece)]


def quoted(words: str) -> str:
    """Return words of a template as a sentence."""
    return f"Its words: {truncate_line(words, 300)!r}."


def _is_merged(before: str, gap: str, word: str, without: str | None, turns: str | None) -> bool:
    """Return whether nothing parts the persona from the user's text that follows it.

    What begins a user's turn stands between an answer and the next question. If nothing of that
    stands between the persona and the question, or the user's turn has begun before the persona
    does, both are one turn; unless control tokens (<<SYS>> in that of Llama 2) part them in it.
    """
    ends = _CONTROL.search(gap) is not None
    if turns is not None and ANSWER in turns and SECOND in turns:
        begins = turns[turns.index(ANSWER) + len(ANSWER) : turns.index(SECOND)]
        if not ends and not _common_end(gap, begins).strip():
            return True
    if without is None or word not in without:
        return False
    if word == SECOND and ANSWER in without and ANSWER in before:
        before = before[before.index(ANSWER) :]
        head = without[without.index(ANSWER) : without.index(SECOND)]
    else:
        head = without[: without.index(word)]
    own_place = ends and _CONTROL.search(before[len(head) :]) is not None
    return before.startswith(head) and not own_place


def common_start(one: str, other: str) -> int:
    """Return the number of characters that two texts begin alike with."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _common_end(one: str, other: str) -> str:
    return one[len(one) - common_start(one[::-1], other[::-1]) :]
