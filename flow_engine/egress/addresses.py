"""Which addresses are nobody's business of a workflow: everything that is not plainly the public internet.

`ipaddress.is_global` is no such filter: it is true for 224.0.0.1, ::127.0.0.1, 64:ff9b::7f00:1 and
2002:7f00:1::, all of which lead back to this machine or its network.
Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 4291, 6052, 3056, 4380; the manuals of the
clouds for their metadata services.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google, Azure, DigitalOcean, OpenStack
        "169.254.170.2",  # credentials of ECS tasks
        "169.254.170.23",  # of EKS pods
        "169.254.0.23",  # Tencent
        "168.63.129.16",  # Azure's wire server: a public address
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
        "fd00:c1::a9fe:a9fe",  # Oracle
    )
)


def _table4(rows: Iterable[tuple[str, str]]) -> tuple[tuple[IPv4Network, str], ...]:
    return tuple((IPv4Network(network), kind) for network, kind in rows)


def _table6(rows: Iterable[tuple[str, str]]) -> tuple[tuple[IPv6Network, str], ...]:
    return tuple((IPv6Network(network), kind) for network, kind in rows)


_CLOSED4 = _table4(
    [
        ("0.0.0.0/8", "an unspecified address"),
        ("127.0.0.0/8", "a loopback address"),
        ("10.0.0.0/8", "a private address"),
        ("172.16.0.0/12", "a private address"),
        ("192.168.0.0/16", "a private address"),
        ("169.254.0.0/16", "a link-local address"),
        ("100.64.0.0/10", "an address of a provider's own network"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.31.196.0/24", "a reserved address"),
        ("192.52.193.0/24", "a reserved address"),
        ("192.88.99.0/24", "a relay address"),
        ("192.175.48.0/24", "a reserved address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("255.255.255.255/32", "a broadcast address"),
        ("240.0.0.0/4", "a reserved address"),
    ]
)

_CLOSED6 = _table6(
    [
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("fe80::/10", "a link-local address"),
        ("fc00::/7", "a private address"),
        ("fec0::/10", "a private address"),
        ("ff00::/8", "a multicast address"),
        ("2001::/32", "a tunnel address"),  # Teredo
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a documentation address"),
        ("2002::/16", "a tunnel address"),  # 6to4
        ("3fff::/20", "a documentation address"),
    ]
)

_PUBLIC6 = IPv6Network("2000::/3")
"""All that has been given out as global unicast; whatever lies outside is special by definition."""
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def plain(address: Address) -> Address:
    """An IPv4 address that is written as IPv6 (::ffff:1.2.3.4) as itself; a zone (%eth0) is dropped."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def why_closed(address: Address) -> str:
    """What the address is that workflows must not reach, in words; "" if it is a public one."""
    address = plain(address)
    if address in METADATA:
        return "a cloud's metadata service"
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _CLOSED4 if address in network), "")
    if address in _NAT64:  # a gateway connects on our behalf to the address inside
        return why_closed(IPv4Address(int(address) & 0xFFFFFFFF))
    if kind := next((kind for network, kind in _CLOSED6 if address in network), ""):
        return kind
    if address not in _PUBLIC6:
        return "a reserved address"
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return "a tunnel address"
    return ""
