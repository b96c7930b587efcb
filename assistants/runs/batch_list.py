"""The batches of a store, as their providers see them now, and the end of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from assistants.clients import BatchClient, OpenAIClient, connect
from assistants.errors import AssistantsError, CallError, ModelNotFoundError, UnknownNameError
from assistants.runs.store import BatchRecord, Store


async def refresh_batches(
    store: Store, on_problem: Callable[[AssistantsError], None]
) -> list[BatchRecord]:
    """Return the batches of a store, oldest first; those that are out as they are now.

    Parameters
    ----------
    on_problem
        Called with the error where a provider cannot be asked; then the status is the last known.
    """
    records = []
    for record in store.batches():
        if record.ended_at is None and record.id is not None:
            try:
                client = _batch_client(record)
                try:
                    batch = await client.retrieve(record.id)
                finally:
                    await client.client.aclose()
                record = replace(record, status=batch.status)
            except AssistantsError as error:
                on_problem(error)
        records.append(record)
    return records


async def cancel_batch(store: Store, batch: str) -> str:
    """Ask the provider to end a batch, and return a sentence on what became of it.

    A batch that the provider does not know is given up: the next run asks its trials again.

    Raises
    ------
    UnknownNameError
        If no run of the store has sent it, or it has ended.
    CallError
        If the provider refuses.
    """
    out = {r.id: r for r in store.batches() if r.id is not None and r.ended_at is None}
    if batch not in out:
        raise UnknownNameError("batch", batch, [name for name in out if name is not None])
    record = out[batch]
    client = _batch_client(record)
    try:
        ended = await client.cancel(batch)
    except ModelNotFoundError:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        store.update_batch(replace(record, status="given up", updated_at=now, ended_at=now))
        return f"{record.model}: the provider knows no batch {batch}. It is given up."
    finally:
        await client.client.aclose()
    return f"{batch} is {ended.status}. The next run keeps the answers that it has by then."


def _batch_client(record: BatchRecord) -> BatchClient:
    client = connect(record.model)
    if not isinstance(client, OpenAIClient):
        raise CallError(f"{record.model} takes no batches.")
    return BatchClient(client)
