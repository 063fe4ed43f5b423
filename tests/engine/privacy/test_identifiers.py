"""What identifies a person is found in any spelling, and that of others is not."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest

from drip_pipeline.engine.privacy.identifiers import Finder, Identifiers
from drip_pipeline.engine.privacy.payloads import without_person

HERE, ELSEWHERE = UUID(int=1), UUID(int=2)
CONTACT = UUID("6f2b9c1e-0f6a-4d0e-9d2f-1f5a3b7c8d90")
ZOE = Identifiers(
    HERE,
    CONTACT,
    addresses=("zoe@example.org", "+14155550123", "o'neill+x@example.org", "shared@example.org"),
    shared=("shared@example.org",),
    references=("<Ref-1@mail>", "0100abc-ref"),
)
FINDER = Finder([ZOE])


@pytest.mark.parametrize(
    "text",
    [
        "zoe@example.org",
        "To: ZOE@Example.org.",
        "mailto:zoe@example.org?subject=x",
        "email=zoe%40example.org&x=1",
        '{"email": "zoe\\u0040example.org"}',
        "From=%2B14155550123",
        "tel (415) 555-0123 is not enough, +1 (415) 555-0123 is",
        "0014155550123",
        '"o\'neill+x@example.org"',
        f"contact {str(CONTACT).upper()}",
        '{"sg_message_id": "0100ABC-ref.filter0001"}',
    ],
)
def test_a_person_is_found(text: str):
    assert FINDER.finds(text)
    assert FINDER.finds(text, HERE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "joezoe@example.org",
        "zoe@example.org.uk",
        "zoe@example.orgs",
        "zoe at example.org",
        "914155550123",
        "141555501234",
        "4155550123",
        "2026-03-02T14:15:55.0123",
        "6f2b9c1e-0f6a-4d0e-9d2f-1f5a3b7c8d91",
        "Zoe",
        "shared@example.org",
    ],
)
def test_others_are_not_found(text: str):
    assert not FINDER.finds(text)
    assert FINDER.replaced(text) == text


def test_a_shared_address_counts_in_the_own_workspace_only():
    assert FINDER.finds("shared@example.org", HERE)
    assert not FINDER.finds("shared@example.org", ELSEWHERE)
    assert not FINDER.finds("zoe@example.org", ELSEWHERE)


def test_identifiers_are_replaced_and_the_rest_stays():
    text = orjson.dumps(
        {"to": ["zoe@example.org", "yan@example.org"], "id": CONTACT, "n": "+14155550123"}
    ).decode()
    assert orjson.loads(FINDER.replaced(text)) == {
        "to": ["[erased]", "yan@example.org"],
        "id": "[erased]",
        "n": "[erased]",
    }
    assert len(FINDER.replaced(text, by="")) == len(text)


BOTH = [{"email": "zoe@example.org", "ip": "1.2.3.4"}, {"email": "yan@example.org"}]


@pytest.mark.parametrize(
    ("payload", "rest"),
    [
        (b"[]", b"[]"),
        (b"not json", b"not json"),
        (orjson.dumps(BOTH), orjson.dumps(BOTH[1:])),
        (orjson.dumps(BOTH[:1]), None),
        (orjson.dumps({"events": BOTH, "n": 2}), orjson.dumps({"events": BOTH[1:], "n": 2})),
        (orjson.dumps({"events": BOTH, "to": "zoe@example.org"}), None),
        (orjson.dumps({"mail": {"to": ["zoe@example.org"]}, "ip": "1.2.3.4"}), None),
        (b"From=%2B14155550123&Body=Hi", None),
        (b"\xff\xfe zoe@example.org", None),
        (
            b'{"email": "zoe@example.org"}\n{"email": "yan@example.org"}\n',
            b'{"email": "yan@example.org"}\n',
        ),
    ],
)
def test_the_events_of_others_stay_in_a_payload(payload: bytes, rest: bytes | None):
    assert without_person(payload, FINDER) == rest


def test_stored_identifiers_are_read_again():
    assert Identifiers.of(HERE, CONTACT, ZOE.stored()) == ZOE
