"""What `FLOW_EGRESS_ALLOW` opens, and what stays closed even so."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from flow_engine.egress.addresses import METADATA, Address, plain, why_closed
from flow_engine.environment import EnvironmentReader, address, connectable, joined

SETTING = "FLOW_EGRESS_ALLOW"

Endpoint = tuple[str, int]
"""Host and port; the host an address in its shortest form, or a name in lower case."""

PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}


@dataclass(frozen=True, slots=True)
class EgressRules:
    """endpoints: opened one by one. networks: opened whole, but for the engine's own endpoints and metadata.

    own: where the engine's own services are.
    """

    endpoints: frozenset[Endpoint] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    own: frozenset[Endpoint] = frozenset()

    @property
    def own_ports(self) -> frozenset[int]:
        return frozenset(port for _, port in self.own)

    def names(self, host: str, port: int) -> bool:
        """Whether the endpoint is opened as it is asked for, whatever its address."""
        return (canonical(host), port) in self.endpoints

    def opens(self, found: Address, port: int) -> bool:
        """Whether an address is opened one by one, by itself."""
        return (str(plain(found)), port) in self.endpoints

    def why_closed(self, found: Address) -> str:
        """What is wrong with an address that is not opened by itself; "" if nothing is."""
        found = plain(found)
        kind = why_closed(found)
        if kind and found not in METADATA and any(found in network for network in self.networks):
            return ""
        return kind


CLOSED = EgressRules()
"""The public internet only."""


def canonical(host: str) -> str:
    """One spelling for each host, as far as that can be told without resolving it."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return str(plain(ip_address(name)))
    except ValueError:
        return name


def endpoint(host: str, port: int) -> Endpoint:
    return canonical(host), port


def opened(text: str) -> EgressRules:
    """Rules of a list `host:port, address, network`, separated by commas or spaces. Raises ValueError."""
    endpoints: set[Endpoint] = set()
    networks: list[IPv4Network | IPv6Network] = []
    for entry in text.replace(",", " ").split():
        try:
            networks.append(ip_network(entry, strict=False))
            continue
        except ValueError:
            pass
        try:
            endpoints.add(endpoint(*address(entry)))
        except ValueError:
            raise ValueError(
                f"holds {entry!r}, which is neither host:port nor a network such as 10.1.0.0/16"
            ) from None
    return EgressRules(frozenset(endpoints), tuple(networks))


def egress_rules(read: EnvironmentReader, *own: str) -> EgressRules:
    """From the environment. own: addresses `host:port` and URLs of the engine's own services; "" is none."""
    rules = read(SETTING, opened, CLOSED)
    places = (_place(text) for text in own if text)
    return EgressRules(rules.endpoints, rules.networks, frozenset(place for place in places if place))


def _place(text: str) -> Endpoint | None:
    """None for what is not on a network, such as a file, and for what is reported elsewhere as wrong."""
    url = urlsplit(text if "://" in text else f"//{text}")
    try:
        port = url.port or PORTS.get(url.scheme)
    except ValueError:
        return None
    return endpoint(connectable(url.hostname), port) if url.hostname and port else None


def told(host: str, port: int) -> str:
    """The entry that opens it."""
    return joined(host.strip("[]"), port)
