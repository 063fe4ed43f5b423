"""Fields of one contact are set as an import of one row would read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.db.connection import Database
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.db.contacts.suppressions import Suppression
from drip_pipeline.engine.contacts.set_fields import FieldsSet, set_fields
from drip_pipeline.errors import DripError, ImportFileError, NotAllowed
from tests.conftest import own_database
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
    the_workspace,
)
from tests.engine.graphs import email, end, graph, trigger

ADA = "person1@example.com"


@pytest.fixture
def ada(database: Database) -> UUID:
    with database.transaction() as connection:
        ids = contacts(connection, the_workspace(connection), 2)
        connection.execute("UPDATE workspaces SET default_region = 'DE'")
    return ids[0]


@pytest.fixture(scope="module")
def shared(server_url: str, template: str) -> Iterator[Database]:
    with own_database(server_url, template) as database:
        with database.transaction() as connection:
            contacts(connection, the_workspace(connection), 2)
            contacts(connection, the_workspace(connection), 1, prefix="any")
        yield database


def contact_of(database: Database, address: str) -> UUID:
    with database.transaction() as connection:
        found = connection.execute("SELECT id FROM contacts WHERE email = %s", [address]).fetchone()
    assert found is not None
    contact_id: UUID = found[0]
    return contact_id


def row(database: Database, contact_id: UUID, *columns: str) -> tuple[Any, ...]:
    with database.transaction() as connection:
        found = connection.execute(
            f"SELECT {', '.join(columns)} FROM contacts WHERE id = %s", [contact_id]
        ).fetchone()
    assert found is not None
    return found


def put(database: Database, who: str = ADA, /, **fields: str) -> FieldsSet:
    return set_fields(database, who, fields, now=NOW + timedelta(days=1), reason="asked by phone")


def test_columns_and_custom_fields_are_read_as_in_an_import(database: Database, ada: UUID) -> None:
    result = put(
        database,
        company=" Acorn ",
        Phone="0170 1234567",
        lead_score="55",
        Status="Customer",
        Tags="vip; news,vip",
        last_interaction="2026-02-01",
        plan="pro",
        seats="5",
        code="007",
        is_admin="true",
        timezone="europe/berlin",
    )
    assert row(
        database, ada, "company", "phone", "ai_score", "status", "tags", "last_interaction",
        "custom_fields", "email", "name", "updated_at",
    ) == (
        "Acorn", "+491701234567", 55, "customer", ["vip", "news"], datetime(2026, 2, 1, tzinfo=UTC),
        {"plan": "pro", "seats": 5, "code": "007", "is_admin": True, "timezone": "Europe/Berlin"},
        ADA, "Person 1", NOW + timedelta(days=1),
    )  # fmt: skip
    assert set(result.changed) == {
        "company", "phone", "ai_score", "status", "tags", "last_interaction", "plan", "seats",
        "code", "is_admin", "timezone",
    }  # fmt: skip


def test_a_repetition_writes_and_records_nothing(database: Database, ada: UUID) -> None:
    first = put(database, company="Acorn", seats="5")
    written_at = row(database, ada, "xmin::text")
    again = put(database, str(ada), company="Acorn", seats="5")
    assert (first.changed, again.changed) == (["company", "seats"], [])
    assert set(again.unchanged) == {"company", "seats"}
    assert row(database, ada, "xmin::text") == written_at
    with database.transaction() as connection:
        recorded = connection.execute(
            "SELECT action, object_kind, object_id, actor, reason, details FROM operator_actions"
        ).fetchall()
    assert recorded == [
        ("set_fields", "contact", ada, "library", "asked by phone", {"fields": first.changed})
    ]


def test_an_empty_value_removes_the_value(database: Database, ada: UUID) -> None:
    put(database, company="Acorn", tags="a,b", plan="pro", seats="5", last_interaction="2026-01-01")
    result = put(database, company="", tags="", plan=" ", last_interaction="")
    assert set(result.changed) == {"company", "tags", "plan", "last_interaction"}
    assert row(database, ada, "company", "tags", "custom_fields", "last_interaction") == (
        None,
        [],
        {"seats": 5},
        None,
    )


def test_a_name_part_leaves_the_name(database: Database, ada: UUID) -> None:
    put(database, first_name="Ada")
    assert row(database, ada, "name", "custom_fields") == ("Person 1", {"first_name": "Ada"})


def test_types_are_chosen_as_in_an_import(database: Database, ada: UUID) -> None:
    set_fields(
        database,
        ADA,
        {"born": "12.03.1990", "zip": "10115"},
        now=NOW,
        types={"born": "date:dmy", "zip": "text"},
    )
    assert row(database, ada, "custom_fields") == ({"born": "1990-03-12", "zip": "10115"},)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"ai_score": "101"}, "ai_score cannot be set: invalid ai score"),
        ({"ai_score": "high"}, "ai_score cannot be set"),
        ({"status": "vip"}, "status cannot be set: invalid status"),
        ({"status": ""}, "status cannot be empty"),
        ({"email": ""}, "email cannot be empty"),
        ({"email": "ada@"}, "email cannot be set"),
        ({"phone": "12"}, "phone cannot be set"),
        ({"timezone": "Berlin/Mitte"}, "timezone cannot be set: unknown timezone"),
        ({"last_interaction": "soon"}, "last_interaction cannot be set"),
        ({"custom_fields": "[1]"}, "custom_fields cannot be set"),
        ({"plan": "a\0b"}, "plan cannot be set: not utf8"),
        ({"unsubscribed": "yes"}, "unsubscribed says who must not get messages"),
        ({"status": "unsubscribed"}, "status says who must not get messages"),
        ({"email_opt_in": "no"}, "email_opt_in says who must not get messages"),
        ({"email": "person2@example.com"}, "another contact of the workspace has this address"),
        ({"email": "PERSON2@Example.com"}, "another contact of the workspace has this address"),
        ({}, "no field is given"),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    shared: Database, fields: dict[str, str], sentence: str
) -> None:
    ada = contact_of(shared, ADA)
    before = row(shared, ada, "*")
    with pytest.raises(NotAllowed) as refused:
        put(shared, ADA, **({"company": "Acorn"} | fields if fields else {}))
    assert sentence in str(refused.value)
    assert row(shared, ada, "*") == before


def test_two_names_of_one_field_are_refused(database: Database, ada: UUID) -> None:
    with pytest.raises(ImportFileError, match="'lead_score' and 'ai_score' are both ai_score"):
        put(database, lead_score="1", ai_score="2")


def test_the_contact_must_exist(database: Database, ada: UUID) -> None:
    with pytest.raises(NotAllowed, match="no contact of the database has this address"):
        put(database, "nobody@example.com", company="Acorn")


@pytest.mark.parametrize(
    ("reason", "is_free"), [("bounced", True), ("manual", True), ("unsubscribed", False)]
)
def test_a_suppression_stays_with_its_address(
    database: Database, ada: UUID, reason: str, is_free: bool
) -> None:
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        suppressions_db.insert(
            connection, workspace, [Suppression(ADA, reason, None, None)], now=NOW
        )
        connection.execute("UPDATE campaign_suppressions SET contact_id = %s", [ada])
        campaign = a_published_campaign(
            connection, graph(trigger("mail"), email("mail", default="end"), end())
        )
    result = put(database, email="Ada@Example.com")
    assert result.changed == ["email"]
    assert result.left_behind == int(is_free)
    assert list(result.suppressed_by) == ([] if is_free else [reason])
    with database.transaction() as connection:
        # The old address is not free for the contact that gets it next.
        (other,) = contacts(connection, workspace, 1)
        enrolled(connection, campaign, [ada, other])
    run_until_idle(database, NOW + timedelta(days=2))
    with database.transaction() as connection:
        sent = connection.execute("SELECT recipient FROM recorded_messages").fetchall()
    assert sent == ([("ada@example.com",)] if is_free else [])


def test_a_trigger_notices_the_change(database: Database, ada: UUID) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_entry_triggers (campaign_id, workspace_id, kind, tag,"
            " listens_to, since, has_backfill) SELECT %s, %s, 'tag', 'vip', '{}', %s, false",
            [a_published_campaign(connection, graph(trigger("end"), end())).campaign_id,
             the_workspace(connection), NOW],
        )  # fmt: skip
    put(database, tags="vip")
    with database.transaction() as connection:
        queued = connection.execute("SELECT contact_id FROM campaign_entry_queue").fetchall()
    assert queued == [(ada,)]


@given(
    st.dictionaries(
        st.sampled_from(["name", "company", "tags", "ai_score", "plan", "phone", "email", "custom"])
        | st.text(min_size=1, max_size=8),
        st.text(max_size=20),
        min_size=1,
        max_size=4,
    )
)
def test_any_fields_are_set_or_refused_by_name(shared: Database, fields: dict[str, str]) -> None:
    with shared.transaction() as connection:
        (contact_id,) = connection.execute(
            "SELECT id FROM contacts WHERE email NOT IN (%s, 'person2@example.com')", [ADA]
        ).fetchone() or (None,)
    try:
        result = set_fields(shared, str(contact_id), fields, now=NOW)
    except DripError:
        return
    again = set_fields(shared, str(contact_id), fields, now=NOW)
    assert again.changed == []
    assert set(result.changed) <= {*again.unchanged}
    assert json.dumps(list(result.changed))
