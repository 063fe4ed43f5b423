"""Allowed addresses: ranges, unusual notations, the operator's exceptions."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.channels.http.address_guard import AddressGuard, is_forbidden
from drip_pipeline.errors import AddressForbidden, SettingsError

INTERNAL = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:db8::1", "2002:a00:1::", "3fff::1", "5f00::1", "fc00::1", "fd12::1",
    "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "192.0.1.1",
    "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "64:ff9b::808:808", "2002:808:808::",
    "::ffff:8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", INTERNAL)
def test_internal_and_reserved_addresses_are_forbidden(address: str):
    assert is_forbidden(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str):
    assert not is_forbidden(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_checked_like_the_plain_one(address: ipaddress.IPv4Address):
    number = int(address)
    carriers = [
        ipaddress.IPv6Address(int(ipaddress.IPv6Address("::ffff:0:0")) | number),
        ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number),
        ipaddress.IPv6Address(int(ipaddress.IPv6Address("2002::")) | number << 80),
    ]
    assert {is_forbidden(carrier) for carrier in carriers} == {is_forbidden(address)}
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert is_forbidden(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",  # decimal
        "http://0x7f000001/",  # hexadecimal
        "http://0x7f.0.0.1/",
        "http://017700000001/",  # octal
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[2002:7f00:1::]/",  # 6to4
        "http://[64:ff9b::7f00:1]/",  # NAT64
        "http://[fe80::1%25eth0]/",
        "http://0/",
        "http://0.0.0.0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://１２７.０.０.１/",
        "http://①②⑦.⓪.⓪.①/",
        "http://user@93.184.216.34/",
        "http://user:password@hooks.example.com/",
        "http://hooks.example.com:22/",
        "http://93.184.216.34:6379/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://hooks.example.com:70/",
        "//hooks.example.com/",
        "http:///path",
        "http://[::1",
        "hooks.example.com",
        "",
    ],
)
def test_malicious_urls_are_refused_before_resolving(url: str):
    with pytest.raises(AddressForbidden):
        AddressGuard().check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/a?b=c",
        "http://hooks.example.com:8080/",
        "https://93.184.216.34/",
        "https://[2606:4700:4700::1111]/",
        "https://münchen.example/hook",
        "https://1password.example/",
    ],
)
def test_ordinary_urls_pass(url: str):
    assert AddressGuard().check_url(url).scheme in ("http", "https")


def test_one_internal_address_refuses_all_of_a_name():
    guard = AddressGuard()
    guard.check_addresses("hooks.example.com", 443, ["93.184.216.34"])
    with pytest.raises(AddressForbidden, match="internal"):
        guard.check_addresses("hooks.example.com", 443, ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(AddressForbidden):
        guard.check_addresses("hooks.example.com", 443, ["not an address"])


@pytest.mark.parametrize(
    ("entry", "passes", "fails"),
    [
        ("hooks.internal:9000", "http://hooks.internal:9000/", "http://hooks.internal:9001/"),
        ("hooks.internal", "http://HOOKS.internal.:9001/", "http://other.internal:9001/"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/", "http://127.0.0.1:9001/"),
        ("10.1.0.0/16", "http://10.1.2.3:5000/", "http://10.2.0.1/"),
        ("[fd00::5]:9000", "http://[fd00::5]:9000/", "http://[fd00::6]:9000/"),
        ("fd00::/8", "http://[fd12::1]/", "http://[fe80::1]/"),
    ],
)
def test_the_operator_may_allow_hosts_addresses_and_networks(entry: str, passes: str, fails: str):
    guard = AddressGuard(["", entry])
    guard.check_url(passes)
    with pytest.raises(AddressForbidden):
        guard.check_url(fails)


def test_an_allowed_name_may_resolve_to_any_address():
    guard = AddressGuard(["hooks.internal:9000", "10.9.0.0/16"])
    guard.check_addresses("hooks.internal", 9000, ["127.0.0.1"])
    guard.check_addresses("other.example.com", 443, ["10.9.1.1"])
    with pytest.raises(AddressForbidden, match=r"name the host|internal"):
        guard.check_addresses("other.example.com", 9000, ["127.0.0.1"])


def test_credentials_are_refused_even_for_allowed_hosts():
    with pytest.raises(AddressForbidden, match="credentials"):
        AddressGuard(["hooks.internal"]).check_url("http://user:secret@hooks.internal/")


def test_a_refusal_quotes_neither_path_nor_credentials():
    for url in ("http://user:canary@10.0.0.1/canary", "http://10.0.0.1/canary?canary"):
        with pytest.raises(AddressForbidden) as caught:
            AddressGuard().check_url(url)
        assert "canary" not in f"{caught.value} {caught.value.hint}"


def test_an_invalid_entry_is_refused():
    with pytest.raises(SettingsError, match="DRIP_WEBHOOK_ALLOW"):
        AddressGuard(["http://hooks.internal:9000/path"])
