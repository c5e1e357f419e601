"""Asks where a name leads, once, and lets nobody go where workflows have no business."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import structlog

from flow_engine.egress.addresses import Address, plain
from flow_engine.egress.resolving import Resolve, resolve
from flow_engine.egress.rules import CLOSED, SETTING, EgressRules, told
from flow_engine.nodes.contract import NodeError

log = structlog.get_logger()

EGRESS_DENIED = "EGRESS_DENIED"
EGRESS_ERRORS = {
    EGRESS_DENIED: f"Workflows may not connect there; the message tells what `{SETTING}` would open it.",
}


class EgressGuard:
    """For all nodes of one process. resolve: how names become addresses."""

    def __init__(self, rules: EgressRules = CLOSED, resolve: Resolve = resolve) -> None:
        self._rules = rules
        self._own_ports = rules.own_ports
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> list[str]:
        """Where to connect for `host`, best first; connect to these and resolve the name no more.

        Raises NodeError EGRESS_DENIED if only one of its addresses is closed, OSError if there is none.
        """
        found = await self._resolve(host, port)
        if not self._rules.names(host, port):
            for text in found:
                await self._check(host, port, ip_address(text))
        return found

    async def _check(self, host: str, port: int, found: Address) -> None:
        if self._rules.opens(found, port):
            return
        why = self._rules.why_closed(found)
        if not why and port in self._own_ports and await self._is_ours(plain(found), port):
            why = "a service of the engine itself"
        if why:
            log.warning("egress.denied", host=host, port=port, address=str(found), reason=why)
            raise denied(host, port, why)

    async def _is_ours(self, found: Address, port: int) -> bool:
        """Whether one of the engine's own services is there; asked only of ports that they have."""
        if _is_of_this_machine(found):
            return True
        for own_host, own_port in self._rules.own:
            if own_port == port:
                try:
                    places = await self._resolve(own_host, port)
                except OSError:
                    continue
                if any(plain(ip_address(place)) == found for place in places):
                    return True
        return False


def denied(host: str, port: int, why: str) -> NodeError:
    """The address that a name leads to is not told: it would be a map of the network behind us."""
    place = told(host, port)
    return NodeError(
        EGRESS_DENIED,
        f"workflows may not connect to {place}: it is {why}; {SETTING}={place} opens it",
        target=place,
        setting=SETTING,
    )


def _is_of_this_machine(found: Address) -> bool:
    """Only an address of one's own can be bound to; port 0 and no listening: nothing is taken."""
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(found), 0))
    except OSError:
        return False
    return True
