from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_engine.egress.addresses import METADATA, plain, why_closed

CLOSED = {
    "a loopback address": "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1",
    "a private address": "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 fc00::1 fd12:3456::1 fec0::1",
    "a link-local address": "169.254.1.1 fe80::1 fe80::1%eth0 ::ffff:169.254.1.1",
    "an address of a provider's own network": "100.64.0.1 100.127.255.255",
    "a cloud's metadata service": "169.254.169.254 100.100.100.200 168.63.129.16 fd00:ec2::254 fd20:ce::254 "
    "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe",
    "an unspecified address": "0.0.0.0 0.1.2.3 ::",
    "a multicast address": "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
    "a broadcast address": "255.255.255.255",
    "a tunnel address": "2002:7f00:1:: 2002:a00:1::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 "
    "2600::5efe:7f00:1 2600::200:5efe:a00:1",
    "a benchmarking address": "198.18.0.1 198.19.255.255",
    "a documentation address": "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1",
    "a reserved address": "192.0.0.1 240.0.0.1 ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b:1::7f00:1 100::1 "
    "2001:2::1 2001:10::1 4000::1 5f00::1",
    "a relay address": "192.88.99.1",
}


@pytest.mark.parametrize(
    ("address", "kind"),
    [(address, kind) for kind, addresses in CLOSED.items() for address in addresses.split()],
)
def test_special_addresses_are_closed(address: str, kind: str) -> None:
    assert why_closed(ip_address(address)) == kind


@pytest.mark.parametrize(
    "address",
    "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 "
    "172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 223.255.255.255 2606:4700::1111 "
    "2001:4860:4860::8888 2a00:1450::1 ::ffff:1.1.1.1 64:ff9b::101:101".split(),
)
def test_the_public_internet_is_open(address: str) -> None:
    assert why_closed(ip_address(address)) == ""


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_whatever_python_calls_private_is_closed_in_every_disguise(address: IPv4Address) -> None:
    closed = bool(why_closed(address))
    assert closed or (address.is_global and not address.is_multicast) or str(address).startswith("192.0.0.")
    for disguise in (0xFFFF << 32, 0x64FF9B << 96):
        assert bool(why_closed(IPv6Address(disguise | int(address)))) is closed
    assert why_closed(IPv6Address(0x2002 << 112 | int(address) << 80))
    assert why_closed(IPv6Address(int(address)))


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_only_global_unicast_can_be_open(address: IPv6Address) -> None:
    if not why_closed(address):
        assert address.is_global or address.ipv4_mapped is not None


def test_a_mapped_address_is_its_ipv4_one_and_zones_are_dropped() -> None:
    assert plain(ip_address("::ffff:1.2.3.4")) == ip_address("1.2.3.4")
    assert plain(ip_address("fe80::1%eth0")) == ip_address("fe80::1")
    assert all(why_closed(address) for address in METADATA)
