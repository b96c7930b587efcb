"""Every error this package raises on purpose.

AssistantsError                     what went wrong, where, and what to do next
├── UsageError                      something a person wrote: fix it and run again
│   ├── FileError                   a persona, experiment, case or config file; names file and line
│   ├── UnknownNameError            a name that is not defined; names the nearest ones
│   ├── PartialImportError          a configuration of another tool has parts that we have not
│   ├── PluginError                 a plug-in of another package cannot be used
│   └── MissingDependencyError      an extra, a program or weights that are not installed
├── StoreError                      the record cannot be read or written
├── ReportError                     a notebook broke off while it was executed
├── ExportError                     an export did not arrive where it was sent
├── ServerStartError                a server of our own did not start
├── BudgetExceededError             a cap on money, tokens or minutes stopped the run
└── CallError                       one call to one model failed
    ├── MissingKeyError             no API key where the model's entry says it is
    ├── MissingAddressError         no address where the model's entry says it is
    ├── ServerUnreachableError      nothing answered at the address
    ├── CallTimeoutError            first token, idle or total
    │   └── ConnectTimeoutError     nobody took the call in time
    ├── RateLimitError              429
    ├── ServerError                 5xx, or an error object inside a reply
    ├── BadRequestError             4xx: sending it again cannot help
    │   ├── AuthenticationError     401, 403
    │   ├── ModelNotFoundError      404
    │   ├── ContextLengthError      the conversation does not fit the model
    │   └── ParameterRefusedError   the model does not take a parameter, or not this value of it
    ├── RedirectRefusedError        3xx: the prompt would go to another address
    ├── ReplyTooLargeError          more bytes than any answer needs
    ├── MalformedReplyError         a reply that breaks the protocol
    │   └── UnknownFinishReasonError  a reply that ended for a reason outside the protocol
    ├── IncompleteReplyError        the reply ended before the model did; keeps what arrived
    ├── ReasoningLimitError         reasoning used the whole cap on tokens; there is no answer
    ├── PluginCallError             the client of a plug-in raised what no client may
    ├── PluginTechniqueError        the technique of a plug-in raised what no technique may
    ├── BatchError                  a batch, or one request of it, ended without an answer
    ├── TapeMissError               a replay was asked for an answer that was never recorded
    └── CircuitOpenError            not asked: the last calls to this persona or model all failed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class AssistantsError(Exception):
    """An error that says what went wrong and where (``message``), and what to do (``fix``)."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".rstrip()


class UsageError(AssistantsError):
    """Something a person wrote is wrong: a name, a file, an option."""


class FileError(UsageError):
    """A file says something it may not; ``where`` is ``path`` or ``path:line``."""

    def __init__(self, where: str, message: str, *, fix: str = "") -> None:
        super().__init__(f"{where}: {message}", fix=fix)
        self.where = where


class UnknownNameError(UsageError):
    """A name nobody defined, with the nearest ones that somebody did."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        place = f"{where}: " if where else ""
        super().__init__(f"{place}unknown {kind} {name!r}.", fix=nearest(name, known))
        self.name = name


class PartialImportError(UsageError):
    """A configuration of another tool has parts that cannot be carried over, all listed."""

    def __init__(self, source: str, losses: Sequence[str]) -> None:
        count = f"{len(losses)} things" if len(losses) > 1 else "one thing"
        listed = "".join(f"\n- {loss}" for loss in losses)
        super().__init__(
            f"{source}: {count} cannot be carried over:{listed}",
            fix="Change them, or leave them out with `--partial`: the experiment then lists them.",
        )
        self.losses = tuple(losses)


class PluginError(UsageError):
    """A plug-in of another package cannot be used; ``reason`` says why."""

    def __init__(self, plugin: str, package: str, reason: str) -> None:
        super().__init__(
            f"{plugin} cannot be used: {reason.rstrip('.')}.",
            fix=f"Update or uninstall {package}, or leave plug-ins out with `--no-plugins`.",
        )
        self.reason = reason


class MissingDependencyError(UsageError):
    """An extra, a program or weights that this installation lacks."""


class StoreError(AssistantsError):
    """The record cannot be read or written."""


class ReportError(AssistantsError):
    """The notebook of a report broke off; the answers themselves are all stored."""


class ExportError(AssistantsError):
    """An export did not arrive where it was sent; the record itself is untouched."""


class ServerStartError(AssistantsError):
    """A server that was to be started here did not come up; ``log`` is what it said last."""

    def __init__(self, message: str, *, fix: str = "", log: str = "") -> None:
        super().__init__(message, fix=fix)
        self.log = log


class BudgetExceededError(AssistantsError):
    """A cap on money, tokens or minutes stopped the run; what was answered is kept."""


class CallError(AssistantsError):
    """One call to one model failed.

    ``retryable`` says whether the same call may succeed later, ``retry_after`` how many seconds
    the server asked to be left alone, ``partial`` what had arrived, ``at_fault`` whether the
    model's server (rather than this one request) is to blame, and ``billable`` whether the model
    was at work, so that the call may cost money though there is no answer. ``tries`` is the number
    of times it was sent.
    """

    retryable = False
    at_fault = False
    billable = False

    def __init__(
        self,
        message: str,
        *,
        fix: str = "",
        retry_after: float | None = None,
        partial: object | None = None,
    ) -> None:
        super().__init__(message, fix=fix)
        self.retry_after = retry_after
        self.partial = partial
        self.tries = 1


class MissingKeyError(CallError):
    """No API key where the model's entry says it is."""

    def __init__(self, model: str, name: str) -> None:
        super().__init__(
            f"{model}: the environment variable {name} holds no API key.",
            fix=f"Set it (`export {name}=...`), or use `-m qwen`, which needs none.",
        )


class MissingAddressError(CallError):
    """No address where the model's entry says it is."""

    def __init__(self, model: str, name: str) -> None:
        super().__init__(
            f"{model}: the environment variable {name} holds no address.",
            fix=f"Set it to the base URL of your own endpoint (`export {name}=https://...`).",
        )


class ServerUnreachableError(CallError):
    """Nothing answered at a model's address."""

    retryable = True
    at_fault = True


class CallTimeoutError(CallError):
    """A call took longer than one of its deadlines: first token, idle or total."""

    retryable = True
    at_fault = True
    billable = True


class ConnectTimeoutError(CallTimeoutError):
    """Nobody took the call in time."""

    billable = False


class RateLimitError(CallError):
    """HTTP 429: too many requests, or no credit left."""

    retryable = True


class ServerError(CallError):
    """HTTP 5xx, or an error object where an answer belongs."""

    retryable = True
    at_fault = True


class BadRequestError(CallError):
    """HTTP 4xx: the server will not answer this request, however often it is sent."""


class AuthenticationError(BadRequestError):
    """HTTP 401 or 403."""

    at_fault = True


class ModelNotFoundError(BadRequestError):
    """HTTP 404: the server does not know the model, or is no OpenAI-compatible server."""

    at_fault = True


class ContextLengthError(BadRequestError):
    """The conversation and the answer together do not fit the model's context."""


class ParameterRefusedError(BadRequestError):
    """The model does not take a parameter, or not this value of it; nothing was spent.

    ``parameter`` is the name in a request's body, without what is below it.
    """

    def __init__(
        self,
        message: str,
        *,
        parameter: str,
        fix: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, fix=fix, retry_after=retry_after)
        self.parameter = parameter


class RedirectRefusedError(CallError):
    """HTTP 3xx: following it would send the prompt, and perhaps the key, somewhere else."""

    at_fault = True


class ReplyTooLargeError(CallError):
    """The server sent more bytes than any answer needs."""

    billable = True


class MalformedReplyError(CallError):
    """The reply breaks the protocol, so there is no answer in it to trust."""

    retryable = True
    billable = True


class UnknownFinishReasonError(MalformedReplyError):
    """The model stopped for a reason that is not in the protocol; ``partial`` keeps its words.

    Another try would end in the same way, and cost as much.
    """

    retryable = False
    at_fault = True


class IncompleteReplyError(CallError):
    """The reply ended before the model had finished; ``partial`` keeps what arrived."""

    retryable = True
    billable = True


class ReasoningLimitError(CallError):
    """Reasoning used the whole cap on tokens, so there is no answer; ``partial`` has the usage.

    Another try would most likely end in the same way, and cost as much.
    """

    at_fault = True
    billable = True


class PluginCallError(CallError):
    """The client of a plug-in raised what no client may, or returned no completion."""

    at_fault = True
    billable = True


class PluginTechniqueError(CallError):
    """The technique of a plug-in raised what no technique may, or returned no draft."""


class BatchError(CallError):
    """A batch, or one request of it, ended without an answer; ``code`` is the provider's word."""

    def __init__(self, message: str, *, fix: str = "", code: str = "") -> None:
        super().__init__(message, fix=fix)
        self.code = code


class TapeMissError(CallError):
    """A replay was asked for an answer that was never recorded."""


class SidecarReplyError(CallError):
    """A sidecar's reply cannot be used: it is cut, empty or a refusal; ``partial`` is the reply."""


class CircuitOpenError(CallError):
    """Not asked, because the last calls to this persona or to this model all failed."""


MISCONFIGURED = (AuthenticationError, MissingAddressError, MissingKeyError, ModelNotFoundError)
"""Failures that every other call to the model would meet too."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return help for somebody who mistyped ``name``: close names, or all of a short list."""
    names = sorted({str(word) for word in known})
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(repr(word) for word in close)}?"
    if not names:
        return ""
    shown = ", ".join(names[:20])
    return f"Known: {shown}{', ...' if len(names) > 20 else ''}."
