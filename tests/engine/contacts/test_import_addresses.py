"""Addresses in contact files: one contact per address in any spelling, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.contacts.import_contacts import ImportReport, import_contacts
from tests.engine.factories import NOW


def imported(database: Database, folder: Path, text: str) -> ImportReport:
    path = folder / "people.csv"
    path.write_text(text, encoding="utf-8")
    return import_contacts(database, path, now=NOW)


def rows(database: Database, statement: str) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(statement).fetchall()


def test_an_address_in_several_spellings_is_one_contact(database, tmp_path):
    report = imported(
        database,
        tmp_path,
        "email,name\nanna@example.com,Anna\n\u200banna@example.com,Anna\n"
        "ANNA@example.com.,Anna B\n",
    )
    assert (report.inserted, dict(report.rejected)) == (1, {"repeated_email": 2})
    assert rows(database, "SELECT email, name FROM contacts") == [("anna@example.com", "Anna B")]


@pytest.mark.parametrize("existing", ["Anna@xn--mller-kva.example", "ANNA@MÜLLER.example"])
def test_a_contact_that_an_application_wrote_is_found_in_any_spelling(
    database, tmp_path, existing: str
):
    with database.transaction() as connection:
        connection.execute("INSERT INTO workspaces (name) VALUES ('One')")
        connection.execute(
            "INSERT INTO contacts (workspace_id, email) SELECT id, %s FROM workspaces", [existing]
        )
    report = imported(database, tmp_path, "email,name\nanna@müller.example,Anna\n")
    assert (report.inserted, report.updated) == (0, 1)
    assert rows(database, "SELECT email, name FROM contacts") == [(existing, "Anna")]


def test_a_no_in_one_spelling_counts_for_the_address_in_the_others(database, tmp_path):
    imported(
        database,
        tmp_path,
        "email,unsubscribed\nann@xn--mller-kva.example,yes\nANN@müller.example,no\n",
    )
    assert rows(database, "SELECT reason FROM campaign_suppressions") == [("unsubscribed",)]


def test_addresses_that_can_never_be_sent_to_are_refused_with_the_reason(database, tmp_path):
    report = imported(
        database,
        tmp_path,
        "email\njörg@example.com\nann@foo_bar.com\nann@" + "b" * 64 + ".com\nann@straße.example\n",
    )
    assert dict(report.rejected) == {"invalid_domain": 2, "non_ascii_local_part": 1}
    assert rows(database, "SELECT email FROM contacts") == [("ann@straße.example",)]


def test_numbers_are_stored_as_e164_or_set_aside(database, tmp_path):
    report = imported(
        database,
        tmp_path,
        "email,phone\na@example.com,+49 (0)151 23456780\nb@example.com,0151 23456780\n"
        "c@example.com,+1 212 555 0100 ext. 5\nd@example.com,\n",
    )
    assert report.inserted == 4
    assert report.set_aside == {"phone: phone_without_country": 1, "phone: phone_with_extension": 1}
    assert rows(database, "SELECT email, phone FROM contacts WHERE phone IS NOT NULL") == [
        ("a@example.com", "+4915123456780")
    ]


def test_national_numbers_are_read_in_the_workspaces_country(database, tmp_path):
    with database.transaction() as connection:
        connection.execute("INSERT INTO workspaces (name, default_region) VALUES ('One', 'DE')")
    report = imported(database, tmp_path, "email,phone\nb@example.com,0151 23456780\n")
    assert report.set_aside == {}
    assert rows(database, "SELECT phone FROM contacts") == [("+4915123456780",)]


def test_a_refusal_holds_for_a_number_that_cannot_be_read(database, tmp_path):
    imported(
        database,
        tmp_path,
        "email,phone,SMS_BLACKLISTED\na@example.com,0151 23456780,yes\n",
    )
    assert rows(database, "SELECT address, channel FROM campaign_suppressions") == [
        ("0151 23456780", "sms")
    ]
