"""The database compares addresses as the domain does, whatever an application has written."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drip_pipeline.db.migration_files import migration_files, statements
from drip_pipeline.domain.addresses import Unusable, canonical_email, parse_email, parse_phone

LETTERS = "abzAZ09-" + "äöüÄÖÜßéèñçøåœ" + "абвяАЯё" + "αβωΑΩς" + "日本語ドメイン한국"


def in_database(database, function: str, texts: list[str]) -> list[str | None]:
    with database.transaction() as connection:
        rows = connection.execute(
            f"SELECT {function}(t) FROM unnest(%s::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n",
            [texts],
        ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        "Ann@Example.com",
        "ann@example.com.",
        "\u200bann@example.com\ufeff",
        "a@straße.example",
        "a@MÜLLER.example",
        "a@mu\u0308ller.example",
        "a@xn--MLLER-kva.example",
        "a@bücher。example",
        "ａｎｎ@example.com",
        "jörg@example.com",
        "a@日本語.例え.jp",
        "a@βόλος.com",
        "a@ليهمابتكلموشعربي؟.example",
        "",
        "no address",
        "@",
    ],
)
def test_an_address_has_the_same_canonical_form_in_the_database(database, text: str):
    if not isinstance(parse_email(text), Unusable) or text.isascii():
        assert in_database(database, "canonical_email", [text]) == [canonical_email(text)]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.text("aZ1.+\u200b", min_size=1, max_size=5),
            st.lists(st.text(LETTERS, min_size=1, max_size=12), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_address_that_can_be_sent_to_is_compared_alike(database, parts):
    texts = [f"{local}@{'.'.join(labels)}.com" for local, labels in parts]
    usable = [text for text in texts if not isinstance(parse_email(text), Unusable)]
    expected = [canonical_email(text) for text in usable]
    assert in_database(database, "canonical_email", usable) == expected


SPELLINGS = [
    "+4915123456780",
    "+49 (0)151 23456780",
    "+49 0151 23456780",
    "0049 151 2345 6780",
    "0049(0)151/23456780",
    "tel:+49-151-23456780",
    "\u202a+4915123456780\u202c",
    "+\uff14\uff19\uff11\uff15\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff10",
    "+4915123456780; +4915123456788",
    "+4915123456780 / +4915123456788",
    "+4915123456780 ext. 5",
    "+4915123456780 (Ann)",
]


def test_spellings_of_one_number_are_one_in_the_database(database):
    assert set(in_database(database, "canonical_phone", SPELLINGS)) == {"+4915123456780"}
    assert in_database(database, "canonical_address", ["+49 (0)151 23456780"]) == ["+4915123456780"]


def test_a_number_and_its_e164_form_are_one_in_the_database(database):
    written = ["+39 06 1234567", "+225 07 12 34 56 78", "+1 (201) 555-0123", "+7 495 123-45-67",
               "+44 (0)20 7946 0018", "+351 912 345 678", "+353 (0)1 234 5678"]  # fmt: skip
    stored = [str(parse_phone(text)) for text in written]
    assert in_database(database, "canonical_phone", written) == in_database(
        database, "canonical_phone", stored
    )
    others = ["+4915123456781", "+493012345678", "+15123456780", "015123456780", "nothing"]
    assert len(set(in_database(database, "canonical_phone", [*others, "+4915123456780"]))) == 6


def test_equal_suppressions_of_an_earlier_version_become_one(database):
    with database.transaction() as connection:
        connection.execute("DROP INDEX campaign_suppressions_key")
        connection.execute("INSERT INTO workspaces (name) VALUES ('one')")
        for address, reason in (
            ("ann@müller.example", "bounced"),
            ("Ann@xn--mller-kva.example", "unsubscribed"),
            ("ann@mueller.example", "manual"),
        ):
            connection.execute(
                "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at) "
                "SELECT w.id, %s, %s, now() FROM workspaces w",
                [address, reason],
            )
        (migration,) = [file for file in migration_files() if file.version == 11]
        (deletion,) = [
            part.code
            for part in statements(migration.text)
            if part.code.startswith("DELETE FROM campaign_suppressions")
        ]
        connection.execute(deletion.encode())
        rows = connection.execute(
            "SELECT reason FROM campaign_suppressions ORDER BY reason"
        ).fetchall()
    assert [row[0] for row in rows] == ["manual", "unsubscribed"]
