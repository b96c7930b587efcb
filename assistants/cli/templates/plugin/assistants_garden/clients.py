"""The provider ``parrot``, whose models repeat what they hear."""

from collections.abc import AsyncIterator, Sequence

from assistants.messages import Completion, Message, Sampling
from assistants.models import Model


class Parrot:
    """A client that repeats all messages; ``parrot:loud`` does so in capitals."""

    def __init__(self, model: Model) -> None:
        self.model = self.identity = model.name
        self.default_sampling, self.max_concurrency = model.sampling, 8

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Return all messages in one."""
        text = " ".join(message.content for message in messages)
        return Completion(text.upper() if self.model == "parrot:loud" else text)

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Completion]:
        """Yield the completion, in one piece."""
        yield await self.complete(messages, sampling)

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
