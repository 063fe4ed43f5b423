from __future__ import annotations

from datetime import timedelta

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from tests.cli.conftest import Drip, answered
from tests.engine.events.incoming import LATER, mailed, value
from tests.engine.events.test_drain_inbox import came_in, opened

AT = ("--now", LATER.isoformat())


def test_the_inbox_is_drained_and_rejected_payloads_are_retried(drip: Drip, database: Database):
    _, (sent,) = mailed(database)
    came_in(database, opened(1, sent), b"{not json")
    report = answered(drip("inbox", "drain", *AT, "--json"))
    assert (report["rows"], report["done"], report["rejected"], report["accepted"]) == (2, 1, 1, 1)
    with database.transaction() as connection:
        inbox_db.add_request_counts(connection, {("events/ses", "forged"): 3}, day=LATER.date())
    shown = answered(drip("inbox", "status", *AT, "--json"))
    assert [row["reason"] for row in shown["rejected"]] == ["the payload is not JSON"]
    assert shown["requests"] == [{"endpoint": "events/ses", "outcome": "forged", "requests": 3}]
    assert "payload" not in shown["rejected"][0]
    assert answered(drip("inbox", "retry", *AT, "--json")) == {"rows": 1}
    assert "1 × the payload is not JSON" in drip("inbox", "drain", *AT).stdout
    assert answered(drip("inbox", "retry", "999", *AT, "--json")) == {"rows": 0}


def test_running_the_engine_drains_the_inbox_first(drip: Drip, database: Database):
    _, (sent,) = mailed(database)
    came_in(database, opened(1, sent))
    report = answered(drip("run", *AT, "--json"))
    assert (report["inbox"]["accepted"], report["is_idle"]) == (1, True)
    assert "1 payloads imported" not in drip("run", *AT).stdout


def test_old_imported_payloads_are_pruned(drip: Drip, database: Database):
    _, (sent,) = mailed(database)
    came_in(database, opened(1, sent))
    drip("inbox", "drain", *AT)
    came_in(database, b"{")
    drip("inbox", "drain", *AT)
    later = (LATER + timedelta(days=91)).isoformat()
    assert answered(drip("inbox", "prune", "--now", later, "--json")) == {"rows": 1}
    assert value(database, "SELECT count(*) FROM event_inbox") == 1  # the rejected payload is kept
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DRIP_SENDGRID_KEYS", "c2VjcmV0", "an invalid public key"),
        ("DRIP_EVENTS_SECRETS", "hunter2", "DRIP_EVENTS_SECRETS"),
        ("DRIP_POSTMARK_LOGINS", "hunter2", "without a colon"),
    ],
)
def test_the_doctor_reports_invalid_keys_without_printing_them(
    drip: Drip, monkeypatch: pytest.MonkeyPatch, name, value, message
):
    monkeypatch.setenv(name, value)
    result = drip("doctor")
    assert result.exit_code == 1
    assert message in " ".join(result.stdout.split())
    assert "hunter2" not in result.stdout


def test_the_doctor_reports_an_inbox_that_is_not_drained(drip: Drip, database: Database):
    came_in(database, b"{", at=LATER)
    assert "1 payloads are pending" in drip("doctor").stdout


def test_a_payload_is_given_up_by_its_id(drip: Drip, database: Database):
    mailed(database)
    came_in(database, b"{not json", b"{", b"[]")
    drip("inbox", "drain", *AT)
    first, second, done = (
        value(database, f"SELECT id FROM event_inbox ORDER BY id OFFSET {n} LIMIT 1")
        for n in range(3)
    )
    assert answered(drip("inbox", "discard", str(first), *AT, "--json")) == {"rows": 1}
    shown = answered(drip("inbox", "status", *AT, "--json"))
    assert [row["id"] for row in shown["rejected"]] == [second]
    assert value(database, "SELECT reason FROM event_inbox ORDER BY id LIMIT 1") == (
        "discarded: the payload is not JSON"
    )
    refused = drip("inbox", "discard", str(done), str(second), *AT)
    assert refused.exit_code == 1
    assert f"no pending or rejected payload '{done}'" in refused.stderr
    assert answered(drip("inbox", "status", *AT, "--json"))["rejected"] == []
