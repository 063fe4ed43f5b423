"""Ingestion: recipients are resolved, and each event counts once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from itertools import count
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.domain.identity import event_key
from drip_pipeline.engine.events.ingest import IngestReport
from drip_pipeline.errors import NotAllowed, NotFound
from tests.engine.events.incoming import LATER, ingest, mailed, minutes, rejects, rows, value
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_running_test,
    a_workspace,
    an_event,
    contacts,
    enrolled,
    people_inside,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, split, trigger, wait_hours

HELD_OUT = graph(
    trigger("split"),
    split("split", {"holdout": 100}, holdout="end"),
    end(),
)


def test_an_event_of_a_message_is_logged_with_its_node(database):
    campaign, [sent] = mailed(database)
    event = an_event(
        1,
        "email_clicked",
        message_id=sent.message_id,
        user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148",
        ip_address="203.0.113.9",
        url="https://example.com/offer",
        data={"location": {"city": "Turin"}, "button": "top"},
    )
    report = ingest(database, [event], provider="postal")
    assert (report.lines, report.accepted) == (1, 1)
    [row] = rows(
        database,
        "SELECT id, campaign_id, enrollment_id, contact_id, event_type, event_source, node_id, "
        "message_id, device_type, host(ip_address), event_data, location_data, created_at, "
        "campaign_version, step_id, workspace_id "
        "FROM campaign_events WHERE event_type = 'email_clicked'",
    )
    assert row == (
        event_key("postal", "e-1"),
        campaign.campaign_id,
        sent.enrollment_id,
        sent.contact_id,
        "email_clicked",
        "email_provider",
        "mail",
        sent.message_id,
        "mobile",
        "203.0.113.9",
        {"button": "top", "url": "https://example.com/offer"},
        {"city": "Turin"},
        NOW + timedelta(minutes=5),
        1,
        UUID(str(campaign.graph.nodes["mail"].step_id)),
        campaign.workspace_id,
    )


@pytest.mark.parametrize("form", ["{}", "<{}@mail.example.com>", "<{}>", "{}@example.com"])
def test_a_message_id_is_accepted_as_a_message_id_header(database, form):
    _, [sent] = mailed(database)
    event = an_event(1, "email_opened", message_id=form.format(str(sent.message_id).upper()))
    assert ingest(database, [event]).accepted == 1


def test_a_provider_may_name_a_message_by_its_own_id(database):
    mailed(database)
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_deliveries SET provider_message_id = '0100abc-000000'")
    report = ingest(
        database,
        [
            an_event(1, "email_opened", message_id="<0100abc-000000>"),
            an_event(2, "email_opened", message_id="0100abc-999999"),
        ],
    )
    assert (report.accepted, report.rejected) == (1, {"no such message": 1})
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 1


def test_an_address_and_a_campaign_name_the_latest_message_at_that_time(database):
    two = graph(
        trigger("first"),
        email("first", default="pause"),
        wait_hours("pause", 24, default="second"),
        email("second", default="end"),
        end(),
    )
    campaign, _ = people_inside(database, two, 1)
    run_until_idle(database, NOW + timedelta(hours=24))
    recipient = {"email": "PERSON1@example.com", "campaign": "Welcome"}
    by_id = recipient | {"campaign": str(campaign.campaign_id).upper()}
    report = ingest(
        database,
        [
            an_event(1, "email_opened", occurred_at=minutes(60), **recipient),
            an_event(2, "email_clicked", occurred_at=minutes(25 * 60), **by_id),
            an_event(3, "email_replied", occurred_at=minutes(-600), **recipient),
        ],
        now=NOW + timedelta(days=2),
    )
    assert report.accepted == 3
    assert rows(
        database,
        "SELECT node_id, first_opened_at, first_clicked_at, first_replied_at "
        "FROM campaign_message_outcomes ORDER BY sent_at",
    ) == [
        ("first", NOW + timedelta(hours=1), None, None),
        # Before there was any message: the latest there is.
        ("second", None, NOW + timedelta(hours=25), NOW - timedelta(hours=10)),
    ]


def test_a_contact_in_the_holdout_converts_without_a_message(database):
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, HELD_OUT)
        a_running_test(connection, campaign, "split")
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 2))
    run_until_idle(database)
    events = [
        an_event(n, "converted", email="person1@example.com", campaign="Welcome", data={"value": v})
        for n, v in enumerate((20, "22.50", 0))
    ]
    assert ingest(database, events).accepted == 3
    assert rows(
        database,
        "SELECT k.email, a.first_converted_at, a.conversion_value "
        "FROM campaign_split_assignments a JOIN contacts k ON k.id = a.contact_id ORDER BY 1",
    ) == [
        ("person1@example.com", NOW + timedelta(minutes=5), Decimal("42.50")),
        ("person2@example.com", None, Decimal("0")),
    ]
    assert rows(
        database,
        "SELECT DISTINCT message_id, variant_group FROM campaign_events "
        "WHERE event_type = 'converted'",
    ) == [(None, "holdout")]


def test_an_address_alone_is_an_event_of_the_contact(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        [contact] = contacts(connection, workspace, 1)
    data = {"value": 19.9, "currency": "eur", "order": 7}
    report = ingest(database, [an_event(1, "order", email="person1@example.com", data=data)])
    assert report.accepted == 1
    assert rows(
        database,
        "SELECT id, workspace_id, contact_id, event_type, value, currency, event_data, "
        "occurred_at, recorded_at FROM contact_events",
    ) == [
        (
            event_key("generic", "e-1"),
            workspace,
            contact,
            "purchase",
            Decimal("19.90"),
            "EUR",
            data,
            NOW + timedelta(minutes=5),
            LATER,
        )
    ]


def test_with_several_workspaces_an_address_alone_needs_a_workspace(database):
    with database.transaction() as connection:
        for name in ("Acme", "Other"):
            contacts(connection, a_workspace(connection, name), 1)
    event = an_event(1, "purchase", email="person1@example.com")
    report = ingest(database, [event])
    assert report.rejected == {"there are several workspaces, and none is named": 1}
    assert ingest(database, [event], workspace="Other").accepted == 1
    assert value(
        database,
        "SELECT w.name FROM contact_events x JOIN workspaces w ON w.id = x.workspace_id",
    ) == "Other"  # fmt: skip
    with pytest.raises(NotFound, match="Nowhere"):
        ingest(database, [event], workspace="Nowhere")
    with database.transaction() as connection:
        a_workspace(connection, "Other")
    with pytest.raises(NotAllowed, match="several"):
        ingest(database, [event], workspace="Other")


def test_a_workspace_ingests_no_events_of_another(database):
    _, [sent] = mailed(database)
    with database.transaction() as connection:
        a_workspace(connection, "Other")
    events = [
        an_event(1, "email_opened", message_id=sent.message_id),
        an_event(2, "email_opened", email=sent.email, campaign="Welcome"),
    ]
    report = ingest(database, events, workspace="Other")
    assert report.rejected == {"no such message": 1, "no such campaign": 1}
    assert ingest(database, events, workspace="Acme").accepted == 2


# --- once --------


def test_the_same_event_counts_once_in_one_file_and_in_two(database):
    _, [sent] = mailed(database)
    event = an_event(1, "email_opened", message_id=sent.message_id)
    bad = an_event(2, "email_opened", message_id=uuid4())
    first = ingest(database, [event, event, bad])
    again = ingest(database, [event, event, bad])
    assert (first.lines, first.accepted, first.duplicates) == (3, 1, 1)
    assert (again.lines, again.accepted, again.duplicates) == (3, 0, 2)
    assert first.rejected == again.rejected == {"no such message": 1}
    assert len(rejects(database)) == 1
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 1


def test_two_providers_may_use_the_same_event_id(database):
    _, [sent] = mailed(database)
    event = an_event(1, "email_opened", message_id=sent.message_id)
    assert ingest(database, [event], provider="a").accepted == 1
    assert ingest(database, [event], provider="b").accepted == 1
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 2


def test_a_rejected_event_is_accepted_once_its_message_is_known(database):
    campaign, _ = mailed(database)
    event = an_event(1, "converted", email="late@example.com", campaign="Welcome")
    assert ingest(database, [event]).rejected == {"no such contact": 1}
    with database.transaction() as connection:
        [late] = contacts(connection, campaign.workspace_id, 1, prefix="late")
        connection.execute("UPDATE contacts SET email = 'late@example.com' WHERE id = %s", [late])
    assert ingest(database, [event]).rejected == {"the contact is not enrolled in this campaign": 1}
    with database.transaction() as connection:
        enrolled(connection, campaign, [late])
    assert ingest(database, [event]).accepted == 1


def test_one_event_under_two_names_in_two_partitions_at_once_counts_once(database, monkeypatch):
    _, [sent] = mailed(database)
    by_message = an_event(1, "email_opened", message_id=sent.message_id)
    by_address = an_event(1, "email_opened", email=sent.email, campaign="Welcome")
    # Both have looked for the key, and found none, before either writes it.
    both_looked = Barrier(2, timeout=30)
    insert_keys = events_db.insert_keys
    calls = count()

    def insert_after_both_looked(connection, now):
        if next(calls) < 2:
            both_looked.wait()
        return insert_keys(connection, now)

    monkeypatch.setattr(events_db, "insert_keys", insert_after_both_looked)
    # Small chunks lock all partitions; these two lock one each, like the parts of large chunks.
    partitions = iter(((0,), (1,)))
    lock = events_db.lock
    monkeypatch.setattr(
        events_db, "lock", lambda connection, _: lock(connection, next(partitions, (0, 1)))
    )
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda line: ingest(database, [line]), (by_message, by_address)))
    assert sorted((r.accepted, r.duplicates) for r in reports) == [(0, 1), (1, 0)]
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 1


def test_four_ingesters_at_once_count_every_event_once(database):
    _, sent = mailed(database, 40)
    events = [
        an_event(f"{s.email}-{n}", "email_opened", message_id=s.message_id)
        for s in sent
        for n in range(5)
    ]

    def load(worker: int) -> IngestReport:
        turned = events[worker * 50 :] + events[: worker * 50]
        return ingest(database, turned, chunk_size=30)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(load, range(4)))
    assert sum(report.accepted for report in reports) == len(events)
    assert sum(report.duplicates for report in reports) == 3 * len(events)
    assert rows(database, "SELECT DISTINCT open_count FROM campaign_message_outcomes") == [(5,)]
    assert value(
        database, "SELECT count(*) FROM campaign_events WHERE event_type = 'email_opened'"
    ) == len(events)
