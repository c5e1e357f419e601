"""Who calls, asked of the executor before the body of a call is read, and remembered for a moment.

The executor decides again at each call of its own, so what is remembered here opens nothing: it saves
reading what would be refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from flow_engine.clock import Clock
from flow_engine.v1 import access_pb2 as pb
from services.gateway.call import PUBLIC, Route
from services.gateway.credentials import Sender, unauthenticated
from services.gateway.errors import Refused

REMEMBER_SECONDS = 5.0
STALE_SECONDS = 600.0
"""While the executor does not answer, who was known is known for so long: streams wait for it meanwhile."""
MOST_REMEMBERED = 10_000

PACKAGE = "flow_engine.v1."


@dataclass(frozen=True, slots=True)
class Known:
    me: pb.WhoAmIResponse
    methods: frozenset[str]
    asked_at: float


class Admission:
    """ask: the executor's WhoAmI for the present sender. required: whether there must be credentials."""

    def __init__(
        self, ask: Callable[[], Awaitable[pb.WhoAmIResponse]], clock: Clock, *, required: bool
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._required = required
        self._known: OrderedDict[str, Known] = OrderedDict()

    async def check(self, route: Route, sender: Sender) -> None:
        """Raises Refused. The sender is the present one."""
        if route.rpc == PUBLIC:
            return
        known = await self._who(sender)
        if known is not None and PACKAGE + route.rpc not in known.methods:
            role = pb.Role.Name(known.me.role).removeprefix("ROLE_").lower()
            raise Refused("PERMISSION_DENIED", f"{role} may not call {route.rpc.rpartition('/')[2]}")

    async def me(self, sender: Sender) -> pb.WhoAmIResponse:
        """Raises Refused; asks anew."""
        return (await self._learn(sender)).me

    async def _who(self, sender: Sender) -> Known | None:
        """None when nobody can tell, and nothing here says that it must be known."""
        if self._required and not sender.bearer:
            raise unauthenticated("this needs credentials: Authorization: Bearer …, or sign in")
        known = self._known.get(sender.key)
        age = self._clock.monotonic() - known.asked_at if known else STALE_SECONDS
        if known is not None and age < REMEMBER_SECONDS:
            return known
        try:
            return await self._learn(sender)
        except Refused as refused:
            if not refused.passing or (self._required and age >= STALE_SECONDS):
                raise
            return known

    async def _learn(self, sender: Sender) -> Known:
        self._known.pop(sender.key, None)
        me = await self._ask()
        if self._required and not me.authentication_required:
            raise Refused("UNAVAILABLE", "the executor asks nobody for credentials, and this gateway must")
        known = self._known[sender.key] = Known(me, frozenset(me.methods), self._clock.monotonic())
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return known
