"""What is left of each GPU, given to the caches there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from assistants.servers.planning.memory import BLOCK, SEQUENCES
from assistants.servers.planning.plan import Aim, ModelRequest, PlacedServer


def asked(model: ModelRequest, aim: Aim, level: int) -> tuple[int, int]:
    """Context and conversations at a level of an aim; never less than what was asked for.

    A level is a block of context, or a conversation; where all are to fit, there is none.
    """
    context, conversations = model.context, model.conversations
    if aim == "longest context":
        context = max(context, min(level * BLOCK, model.facts.context))
    if aim == "most conversations":
        conversations = max(conversations, min(level, SEQUENCES))
    return context, conversations


def top(models: Sequence[ModelRequest], aim: Aim) -> int:
    """The level that no model goes beyond."""
    if aim == "longest context":
        return -(-max((model.facts.context for model in models), default=0) // BLOCK)
    return SEQUENCES if aim == "most conversations" else 0


def level_of(servers: Sequence[PlacedServer], room: Mapping[int, int], aim: Aim, most: int) -> int:
    """The highest level, ``most`` if any, that all servers reach where they stand.

    Parameters
    ----------
    servers
        With the cache that they need at least.
    room
        Bytes that may be promised, by the index of the GPU.
    """
    return _Filling(servers, room, aim, most).rise(range(len(servers)), 0)


def share_out(
    servers: Sequence[PlacedServer], room: Mapping[int, int], aim: Aim
) -> list[PlacedServer]:
    """Raise every server as far as its own GPUs allow, and give what is then left to the caches.

    All rise together until one cannot, then the others, so that the lowest stands as high as it
    can, and after it the next.
    """
    filling = _Filling(servers, room, aim, top([server.wanted for server in servers], aim))
    rising = list(range(len(servers)))
    level = 0
    while rising and level < filling.top:
        level = filling.rise(rising, level)
        rising = [at for at in rising if filling.put(at, level + 1)]
        level += 1
    return _equally(filling.servers, room)


class _Filling:
    """Servers on their GPUs, and the bytes that are left there at the levels they have reached."""

    def __init__(
        self, servers: Sequence[PlacedServer], room: Mapping[int, int], aim: Aim, most: int
    ) -> None:
        self.servers = list(servers)
        self.aim = aim
        self.top = most
        self.left = dict(room)
        for server in servers:
            for gpu in server.gpus:
                self.left[gpu] -= server.need.total

    def rise(self, rising: Sequence[int], level: int) -> int:
        """Put these at the highest level that they reach together, and say which it is."""
        level = _last(lambda each: self._fits(rising, each), level, self.top)
        for at in rising:
            self.put(at, level)
        return level

    def put(self, at: int, level: int) -> bool:
        """Put one server at a level, if there is room."""
        if not self._fits([at], level):
            return False
        more = self._more(at, level)
        server = self.servers[at]
        for gpu in server.gpus:
            self.left[gpu] -= more
        need = replace(server.need, cache=server.need.cache + more)
        context, _ = asked(server.wanted, self.aim, level)
        self.servers[at] = replace(server, context=context, need=need)
        return True

    def _more(self, at: int, level: int) -> int:
        server = self.servers[at]
        wanted = server.kept.bytes_for(*asked(server.wanted, self.aim, level))
        return max(0, wanted - server.need.cache)

    def _fits(self, these: Sequence[int], level: int) -> bool:
        more: dict[int, int] = {}
        for at in these:
            size = self._more(at, level)
            for gpu in self.servers[at].gpus:
                more[gpu] = more.get(gpu, 0) + size
        return all(size <= self.left[gpu] for gpu, size in more.items() if size)


def _last(fits: Callable[[int], bool], low: int, high: int) -> int:
    """The last level that fits, if ``low`` does, and whatever fits does so at every lower one."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _equally(servers: Sequence[PlacedServer], room: Mapping[int, int]) -> list[PlacedServer]:
    """Give what is left on each GPU to the caches there, in equal shares.

    A server takes the same on each of its GPUs, and no more than 256 conversations could use.
    """
    servers = list(servers)
    for _ in range(8):  # what one cannot use, the others get in the next round
        left = dict(room)
        hungry: dict[int, int] = {}
        for each in servers:
            for gpu in each.gpus:
                left[gpu] -= each.need.total
                hungry[gpu] = hungry.get(gpu, 0) + (_wish(each) > 0)
        for at, each in enumerate(servers):
            share = min(max(0, left[gpu]) // max(1, hungry[gpu]) for gpu in each.gpus)
            more = min(_wish(each), share)
            if more > 0:
                servers[at] = replace(each, need=replace(each.need, cache=each.need.cache + more))
    return servers


def _wish(server: PlacedServer) -> int:
    return server.kept.bytes_for(server.context, SEQUENCES) - server.need.cache
