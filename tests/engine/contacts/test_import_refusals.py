"""Contact imports never lose a no: columns, words and repetitions that refuse messages."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drip_pipeline.engine.contacts.consent import read_consent, read_refusal
from tests.engine.contacts.import_files import (
    contacts,
    imported,
    rejected_cells,
    suppressed,
    written,
)


@pytest.mark.parametrize(
    "rows",
    [
        "ann@example.com,yes\nANN@example.com,no\n",
        "ann@example.com,yes\nann@example.com,\n",
        "ann@example.com,no\nann@example.com,yes\nann@example.com,no\n",
        "ann@example.com,2022-01-01\nann@example.com,0\n",
        "ann@example.com,who knows\nann@example.com,no\n",
    ],
)
def test_one_yes_in_a_file_wins_over_every_no_and_empty_cell(database, tmp_path, rows):
    report = imported(database, written(tmp_path, "email,unsubscribed\n" + rows))
    assert suppressed(database) == [("ann@example.com", None, "unsubscribed")]
    assert report.refusals["unsubscribed"] == 1


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        *((text, "no") for text in ("yes", "X", "on", "1", "1.0", "TRUE", "Ja", "✓", "cleaned")),
        *(
            (text, "no")
            for text in (
                "2022-01-01 00:00:00", "2022-01-01", "12.03.2024 09:14", "3/12/2024 2:30 PM",
                "Mar 12, 2024", "12 March 2024", "20240312", "1710234840", "2022-01-01T00:00:00Z",
            )
        ),
        *((text, "yes") for text in ("no", "0", "0.0", "False", "off", "nein", "subscribed")),
        *(
            (text, "nothing")
            for text in ("", " ", "-", "NULL", "n/a", "NaN", "0000-00-00", "0000-00-00 00:00:00")
        ),
        *((text, "unreadable") for text in ("perhaps", "2", "ask Ann", "?")),
    ],
)  # fmt: skip
def test_cells_of_a_refusal_are_read_and_others_are_unreadable(cell, said):
    assert read_refusal(cell) == said


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        *((text, "no") for text in ("no", "false", "0", "UNSUBSCRIBED", "NEVER_SUBSCRIBED")),
        *((text, "yes") for text in ("yes", "TRUE", "SUBSCRIBED", "2023-05-08 15:34", "opted_in")),
        *((text, "nothing") for text in ("", "null")),
        *((text, "unreadable") for text in ("pending", "Legitimate interest")),
    ],
)
def test_cells_of_a_consent_are_read_the_other_way_round(cell, said):
    assert read_consent(cell) == said


def test_an_unreadable_cell_counts_as_a_no_and_is_reported(database, tmp_path):
    path = written(tmp_path, "email,unsubscribed\na@example.com,perhaps\nb@example.com,no\n")
    report = imported(database, path)
    assert suppressed(database) == [("a@example.com", None, "unsubscribed")]
    assert report.first_set_aside == ((2, "unsubscribed", "unreadable_counts_as_unsubscribed"),)
    assert rejected_cells(database)[0][3] == "perhaps"
    assert contacts(database) == ["a@example.com", "b@example.com"]


def test_brevo_blacklists_by_channel(database, tmp_path):
    text = (
        "EMAIL;LASTNAME;FIRSTNAME;SMS;EMAIL_BLACKLISTED;SMS_BLACKLISTED\n"
        "br1@example.com;Durand;Bruno;+33612345671;Yes;No\n"
        "br2@example.com;Petit;Léa;+33612345672;No;Yes\n"
        "br3@example.com;Roy;Max;;No;Yes\n"
    )
    report = imported(database, written(tmp_path, text))
    assert suppressed(database) == [
        ("+33612345672", "sms", "unsubscribed"),
        ("br1@example.com", "email", "unsubscribed"),
        ("br3@example.com", "sms", "unsubscribed"),
    ]
    assert report.refusals == {"EMAIL_BLACKLISTED": 1, "SMS_BLACKLISTED": 2}
    assert contacts(database, "name, phone") == [
        ("Bruno Durand", "+33612345671"),
        ("Léa Petit", "+33612345672"),
        ("Max Roy", None),
    ]


def test_every_number_of_a_repeated_contact_that_refuses_sms_is_suppressed(database, tmp_path):
    text = (
        "email,phone,sms_opt_out\n"
        "a@example.com,+33612345671,yes\na@example.com,+33612345672,\n"
    )  # fmt: skip
    imported(database, written(tmp_path, text))
    assert suppressed(database) == [("+33612345671", "sms", "unsubscribed")]


@pytest.mark.parametrize(
    ("header", "cell", "entry"),
    [
        ("UNSUB_TIME", "2022-01-01 00:00:00", (None, "unsubscribed")),
        ("CLEAN_TIME", "2022-01-01 00:00:00", ("email", "bounced")),
        ("donotemail", "1", ("email", "unsubscribed")),
        ("Do Not Email", "Yes", ("email", "unsubscribed")),
        ("HasOptedOutOfEmail", "true", ("email", "unsubscribed")),
        ("Unsubscribed from all email", "true", ("email", "unsubscribed")),
        ("Opted-Out", "x", (None, "unsubscribed")),
        ("Email Marketing Consent", "UNSUBSCRIBED", ("email", "unsubscribed")),
        ("Email Marketing Consent", "false", ("email", "unsubscribed")),
        ("Email Marketing Consent", "no idea", ("email", "unsubscribed")),
        ("Accepts Email Marketing", "no", ("email", "unsubscribed")),
        ("Hard bounced", "Yes", ("email", "bounced")),
        ("Spam complaint", "2022-01-01", ("email", "complained")),
        ("status", "blocklisted", (None, "unsubscribed")),
        ("status", "Bounced", ("email", "bounced")),
        ("status", "unsubscribed", (None, "unsubscribed")),
        ("Status", "cleaned", ("email", "bounced")),
        ("STATUS", "complained", ("email", "complained")),
        ("Email Status", "Hard bounce", ("email", "bounced")),
        ("subscription_status", "never_subscribed", (None, "unsubscribed")),
        ("unsubscribed", "bounced", ("email", "bounced")),
    ],
)
def test_columns_of_exports_that_say_no_are_honored_and_told(
    database, tmp_path, header, cell, entry
):
    path = written(tmp_path, f"email,{header}\na@example.com,{cell}\nb@example.com,\n")
    report = imported(database, path)
    assert suppressed(database) == [("a@example.com", *entry)]
    assert report.refusals == {header: 1}
    assert report.inserted == 2


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("status", "subscribed"),
        ("Lead Status", "NEW"),
        ("Email Marketing Consent", "SUBSCRIBED"),
        ("Email Marketing Consent", "2023-05-08 15:34:13"),
        ("UNSUB_TIME", "0000-00-00 00:00:00"),
        ("EMAIL_BLACKLISTED", "No"),
    ],
)
def test_who_did_not_say_no_is_not_suppressed(database, tmp_path, header, cell):
    imported(database, written(tmp_path, f"email,{header}\na@example.com,{cell}\n"))
    assert suppressed(database) == []


def test_typed_columns_say_no_too(database, tmp_path):
    table = pa.table(
        {
            "email": ["a@example.com", "b@example.com", "c@example.com"],
            "email_opt_out": [True, False, None],
            "unsubscribed": pa.array([0.0, 1.0, None]),
            "do_not_contact": pa.array([None, [], ["sms"]], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "people.parquet")
    imported(database, tmp_path / "people.parquet")
    assert suppressed(database) == [
        ("a@example.com", "email", "unsubscribed"),
        ("b@example.com", None, "unsubscribed"),
        ("c@example.com", None, "unsubscribed"),
    ]


def test_a_no_survives_a_byte_that_is_not_utf8(database, tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes(b"email,name,unsubscribed\na@example.com,Zo\xeb,yes\nb@example.com,x,\xff\n")
    imported(database, path)
    assert [row[0] for row in suppressed(database)] == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize(
    ("row", "entry"),
    [
        ("a@example.com,Acme, Inc,yes,no", ("a@example.com", None, "unsubscribed")),
        ("a@example.com,Acme,yes", ("a@example.com", None, "unsubscribed")),
        ("a@example.com,Acme,yes,no,x,y", ("a@example.com", None, "unsubscribed")),
        ("Acme, Inc,a@example.com,2022-01-01,no", ("a@example.com", None, "unsubscribed")),
        ("a@example.com,Acme, Inc,no,yes", ("a@example.com", "sms", "unsubscribed")),
    ],
)
def test_a_no_in_a_row_with_a_wrong_number_of_cells_is_kept(database, tmp_path, row, entry):
    path = written(tmp_path, f"email,company,unsubscribed,sms_opt_out\n{row}\n")
    report = imported(database, path)
    assert report.rejected == {"wrong_number_of_cells": 1}
    assert entry in suppressed(database)
    assert "rejected rows refuse messages for 1 addresses" in report.warnings[0]


def test_a_row_with_a_wrong_number_of_cells_that_says_nothing_is_only_rejected(database, tmp_path):
    path = written(tmp_path, "email,company,unsubscribed\na@example.com,Acme, Inc,no\n")
    report = imported(database, path)
    assert (suppressed(database), report.warnings) == ([], ())


def test_a_number_without_an_address_keeps_its_no(database, tmp_path):
    text = (
        "email,phone,unsubscribed,sms_opt_out\n"
        ",+491511234567,,yes\nbroken,+491511234568,x,\n,+491511234569,,no\n"
    )
    report = imported(database, written(tmp_path, text))
    assert suppressed(database) == [
        ("+491511234567", "sms", "unsubscribed"),
        ("+491511234568", None, "unsubscribed"),
    ]
    assert report.is_all_rejected
