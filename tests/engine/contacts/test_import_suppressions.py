"""Importing a suppression list: what a row means, what is refused, and that nobody comes off it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.contacts.import_suppressions import import_suppressions
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.errors import ImportFileError
from tests.engine.factories import NOW, a_published_campaign, contacts
from tests.engine.graphs import email, end, graph, trigger

LETTER = graph(trigger("hello"), email("hello", default="end"), end())


def listed(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def on_the_list(database: Database) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT address, reason, channel, campaign_id, contact_id IS NOT NULL "
            "FROM campaign_suppressions ORDER BY address, channel"
        ).fetchall()


def test_rows_become_suppressions_of_the_contacts_they_name(database, tmp_path):
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, LETTER)
        contacts(connection, campaign.workspace_id, 4)
    path = listed(
        tmp_path,
        "email,reason,channel,campaign\n"
        "PERSON1@example.com,unsubscribed,,\n"
        "person2@example.com,bounced,email,\n"
        "person3@example.com,complained,,Welcome\n"
        "stranger@example.com,,,\n",
    )
    report = import_suppressions(database, path, now=NOW)
    assert (report.rows, report.added, report.already) == (4, 4, 0)
    assert on_the_list(database) == [
        ("PERSON1@example.com", "unsubscribed", None, None, True),
        ("person2@example.com", "bounced", "email", None, True),
        ("person3@example.com", "complained", None, campaign.campaign_id, True),
        ("stranger@example.com", "manual", None, None, False),
    ]
    enrollment = enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    assert (enrollment.enrolled, enrollment.refused) == (1, {"suppressed": 3})


def test_repeating_adds_nothing_and_keeps_the_first_reason(database, tmp_path):
    path = listed(tmp_path, "address,reason\na@example.com,bounced\nA@example.com,manual\n")
    assert import_suppressions(database, path, now=NOW).added == 1
    path = listed(tmp_path, "address,reason\na@example.com,complained\n")
    again = import_suppressions(database, path, now=NOW)
    assert (again.added, again.already) == (0, 1)
    assert [row[:2] for row in on_the_list(database)] == [("a@example.com", "bounced")]


def test_invalid_rows_are_reported_with_their_line(database, tmp_path):
    path = listed(
        tmp_path,
        "address,reason,channel,campaign\n"
        "+15550100,,sms,\n"
        ",manual,,\n"
        "a@b,manual,,\n"
        "b@example.com,bored,,\n"
        "c@example.com,manual,fax,\n"
        "d@example.com,manual,,Nothing\n",
    )
    report = import_suppressions(database, path, now=NOW)
    assert (report.rows, report.added) == (6, 2)
    assert report.first_rejected == (
        (3, "no_address"),
        (4, "invalid_address"),
        (6, "invalid_channel"),
        (7, "unknown_campaign"),
    )


def test_a_file_without_addresses_is_refused(database, tmp_path):
    with pytest.raises(ImportFileError, match="has no column with addresses"):
        import_suppressions(database, listed(tmp_path, "name\nAnn\n"), now=NOW)


SENDGRID_BOUNCES = """\
status,reason,email,created
5.1.1,"550 5.1.1 The email account does not exist",one@example.com,1617181723
5.2.1,"550 5.2.1 disabled",two@example.com,1617181724
"""
MAILCHIMP_UNSUBSCRIBED = """\
"Email Address","First Name","Last Name",MEMBER_RATING,OPTIN_TIME,LAST_CHANGED,NOTES,TAGS,\
UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_CAMPAIGN_ID,UNSUB_REASON,UNSUB_REASON_OTHER
one@example.com,Una,Gone,2,"2020-02-03 04:05:06","2022-01-01 00:00:00",,VIP,\
"2022-01-01 00:00:00","January news",a1b2c3,"No longer interested",
two@example.com,Una,Gone,2,"2020-02-03 04:05:06","2022-01-01 00:00:00",,,\
"2022-01-01 00:00:00","January news",a1b2c3,"This is spammy content",
"""
MAILCHIMP_CLEANED = """\
Email Address,First Name,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE
one@example.com,Una,2022-01-01 00:00:00,January news
two@example.com,Due,2022-01-01 00:00:00,January news
"""
POSTMARK = """\
EmailAddress,SuppressionReason,Origin,CreatedAt
one@example.com,HardBounce,Recipient,2022-01-01T00:00:00Z
two@example.com,SpamComplaint,Recipient,2022-01-01T00:00:00Z
three@example.com,ManualSuppression,Customer,2022-01-01T00:00:00Z
"""
MAILGUN_BOUNCES = """\
address,code,error,created_at
one@example.com,550,550 5.1.1 user unknown,"Tue, 01 Mar 2022 10:00:00 UTC"
two@example.com,554,5.7.1 Message rejected as spam by policy,"Tue, 01 Mar 2022 10:00:00 UTC"
"""
BREVO_CONTACTS = """\
EMAIL;SMS;EMAIL_BLACKLISTED;SMS_BLACKLISTED
one@example.com;+33611111111;Yes;No
two@example.com;+33611111112;No;No
three@example.com;+33611111113;No;2022-01-01
"""
SES = """\
EmailAddress,Reason,LastUpdateTime
one@example.com,BOUNCE,2022-01-01T00:00:00Z
two@example.com,COMPLAINT,2022-01-01T00:00:00Z
"""
A_BOUNCE, AN_UNSUBSCRIPTION = ("bounced", None), ("unsubscribed", None)


@pytest.mark.parametrize(
    ("name", "text", "entries"),
    [
        (
            "bounces.csv",
            SENDGRID_BOUNCES,
            {"one@example.com": A_BOUNCE, "two@example.com": A_BOUNCE},
        ),
        (
            "blocks.csv",
            "status,reason,email,created\n,554 5.7.1 policy: spam,one@example.com,1617181723\n",
            {"one@example.com": ("manual", None)},
        ),
        (
            "suppression_group_unsubscribes.csv",
            "email,created\none@example.com,1617181723\n",
            {"one@example.com": AN_UNSUBSCRIPTION},
        ),
        (
            "spam_reports.csv",
            "email,ip,created\none@example.com,192.0.2.1,1617181723\n",
            {"one@example.com": ("complained", None)},
        ),
        (
            "members.csv",
            MAILCHIMP_UNSUBSCRIBED,
            {"one@example.com": AN_UNSUBSCRIPTION, "two@example.com": AN_UNSUBSCRIPTION},
        ),
        (
            "members.csv",
            MAILCHIMP_CLEANED,
            {"one@example.com": A_BOUNCE, "two@example.com": A_BOUNCE},
        ),
        (
            "export.csv",
            POSTMARK,
            {
                "one@example.com": A_BOUNCE,
                "three@example.com": ("manual", None),
                "two@example.com": ("complained", None),
            },
        ),
        (
            "export.csv",
            MAILGUN_BOUNCES,
            {"one@example.com": A_BOUNCE, "two@example.com": ("manual", None)},
        ),
        (
            "contacts.csv",
            BREVO_CONTACTS,
            {"+33611111113": ("unsubscribed", "sms"), "one@example.com": ("unsubscribed", "email")},
        ),
        (
            "blocked.csv",
            "Email,Reason\none@example.com,Hard bounced\ntwo@example.com,Unsubscribed via email\n",
            {"one@example.com": A_BOUNCE, "two@example.com": AN_UNSUBSCRIPTION},
        ),
        ("ses.csv", SES, {"one@example.com": A_BOUNCE, "two@example.com": ("complained", None)}),
    ],
)
def test_the_exports_of_other_tools_are_read(
    database: Database,
    tmp_path: Path,
    name: str,
    text: str,
    entries: dict[str, tuple[str, str | None]],
):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    report = import_suppressions(database, path, now=NOW)
    assert {row[0]: row[1:3] for row in on_the_list(database)} == entries
    assert report.added == len(entries)
    assert report.rows == sum(report.reasons.values()) + sum(report.rejected.values())


def test_an_unknown_reason_is_manual_and_its_text_is_kept(database, tmp_path):
    path = listed(tmp_path, "email,reason\none@example.com,asked us by phone\n")
    assert import_suppressions(database, path, now=NOW).reasons == {"manual": 1}
    with database.transaction() as connection:
        (row,) = connection.execute("SELECT reason, note FROM campaign_suppressions").fetchall()
    assert row == ("manual", "asked us by phone")


def test_the_note_of_a_bounce_contains_no_address(database, tmp_path):
    path = listed(tmp_path, "email,reason\none@example.com,550 5.1.1 <one@example.com> unknown\n")
    import_suppressions(database, path, now=NOW)
    with database.transaction() as connection:
        (row,) = connection.execute("SELECT reason, note FROM campaign_suppressions").fetchall()
    assert row[0] == "bounced"
    assert row[1].startswith("550 5.1.1")
    assert "example.com" not in row[1]


def test_columns_can_be_mapped_and_skipped(database, tmp_path):
    path = listed(tmp_path, "Kunde,Grund,email\none@example.com,complained,other@example.com\n")
    import_suppressions(
        database, path, now=NOW, renames={"Kunde": "email", "Grund": "reason", "email": ""}
    )
    assert [row[:2] for row in on_the_list(database)] == [("one@example.com", "complained")]
    for renames in ({"Kunde": "colour"}, {"nobody": "email"}):
        with pytest.raises(ImportFileError):
            import_suppressions(database, path, now=NOW, renames=renames)


def test_addresses_are_one_in_every_spelling(database, tmp_path):
    path = listed(
        tmp_path,
        "address\nann@müller.example\nAnn@xn--mller-kva.example\n\u200bann@müller.example\n"
        "+49 (0)151 23456780\n+4915123456780\n0049 151 23456780\n",
    )
    report = import_suppressions(database, path, now=NOW)
    assert (report.rows, report.added, report.already) == (6, 2, 4)


def test_numbers_that_cannot_be_read_are_refused_with_the_reason(database, tmp_path):
    path = listed(tmp_path, "phone\n0151 23456780\n4.91512E+12\n+4915123456780 ext. 5\n")
    report = import_suppressions(database, path, now=NOW)
    assert report.rejected == {
        "phone_without_country": 1,
        "invalid_phone": 1,
        "phone_with_extension": 1,
    }
    assert report.took_nothing
    with database.transaction() as connection:
        connection.execute("UPDATE workspaces SET default_region = 'DE'")
    assert import_suppressions(database, path, now=NOW).added == 1
    assert on_the_list(database)[0][0] == "+4915123456780"
