"""An address that was suppressed when it was erased is suppressed again, however it comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from drip_pipeline.engine.contacts.resubscribe import resubscribe
from drip_pipeline.engine.enrollment.webhook_trigger import enroll_by_webhook
from drip_pipeline.engine.erased_addresses import ErasureKeys
from drip_pipeline.engine.operations.operator_consents import suppress
from drip_pipeline.engine.privacy.erase import ErasureScope
from drip_pipeline.engine.privacy.request import erase
from drip_pipeline.engine.runner.tick import Engine, tick
from drip_pipeline.settings import Secret
from tests.engine.factories import MESSAGES, NOW, a_published_campaign, enrolled, the_workspace
from tests.engine.graphs import email, end, graph, node, trigger

ANN, BOB, PHONE = "ann@example.com", "bob@example.com", "+14155550100"
KEYS = ErasureKeys(MESSAGES.secret_key)
MAIL = graph(trigger("hello"), email("hello", default="end"), end())


@pytest.fixture
def scope(tmp_path: Path) -> ErasureScope:
    return ErasureScope(KEYS, tmp_path / "archive", tmp_path / "landing")


def add(connection: Connection, address: str, phone: str | None = None) -> Any:
    contact_id = uuid4()
    connection.execute(
        "INSERT INTO contacts (id, workspace_id, email, phone) VALUES (%s, %s, %s, %s)",
        [contact_id, the_workspace(connection), address, phone],
    )
    return contact_id


def suppressions(database: Database) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT address, channel, reason, source FROM campaign_suppressions ORDER BY 1, 2"
        ).fetchall()


def recipients(database: Database) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute("SELECT recipient FROM recorded_messages ORDER BY 1").fetchall()


def hashes(database: Database) -> int:
    with database.transaction() as connection:
        row = connection.execute("SELECT count(*) FROM erased_suppressions").fetchone()
    assert row is not None
    return int(row[0])


def erased(database: Database, scope: ErasureScope, *, phone: str | None = None) -> None:
    """Ann, who is suppressed, and Bob; both are erased."""
    with database.transaction() as connection:
        add(connection, ANN, phone)
        add(connection, BOB)
    suppress(database, ANN, reason="x", now=NOW)
    for address in (ANN, BOB):
        assert erase(database, address, scope, now=NOW).is_complete
    assert suppressions(database) == []


def by_file(database: Database, folder: Path, keys: ErasureKeys | None = KEYS) -> None:
    path = folder / "people.csv"
    path.write_text(f"email\n{ANN.title()}\n{BOB}\n", encoding="utf-8")
    import_contacts(database, path, now=NOW, keys=keys)


def test_an_import_suppresses_it_again(database: Database, scope: ErasureScope, tmp_path: Path):
    erased(database, scope)
    assert hashes(database) == 1
    by_file(database, tmp_path)
    assert suppressions(database) == [(ANN, None, "manual", "erasure")]
    assert hashes(database) == 0
    resubscribe(database, ANN, reason="she asked", now=NOW, keys=KEYS)
    by_file(database, tmp_path)
    assert suppressions(database) == []


def test_a_number_and_a_topic_are_remembered(database: Database, scope: ErasureScope):
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        connection.execute(
            "INSERT INTO workspace_topics (workspace_id, name, title, created_at, updated_at)"
            " VALUES (%s, 'tips', 'Tips', now(), now())",
            [workspace],
        )
        connection.execute("UPDATE workspaces SET default_region = 'US'")
        add(connection, ANN, "415 555 0100")
    suppress(database, ANN, reason="x", now=NOW, channel="sms")
    suppress(database, ANN, reason="x", now=NOW, topic="tips")
    erase(database, ANN, scope, now=NOW)
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, MAIL)
        contact_id = add(connection, ANN, "(415) 555-0100")
        enrolled(connection, campaign, [contact_id])
    channels = {"email": RecorderChannel("email")}
    tick(Engine(database, channels, MESSAGES, erasure=scope), now=NOW)
    assert suppressions(database) == [(PHONE, "sms", "manual", "erasure")]
    with database.transaction() as connection:
        topics = connection.execute("SELECT topic, address, status FROM topic_consents").fetchall()
    assert ("tips", ANN, "unsubscribed") in topics


def test_a_contact_of_a_webhook_gets_no_message(database: Database, scope: ErasureScope):
    erased(database, scope)
    made = node("start", "trigger", TriggerConfig(trigger="webhook"), default="hello")
    with database.transaction() as connection:
        a_published_campaign(connection, graph(made, email("hello", default="end"), end()))
    body = f'{{"people": [{{"email": "{ANN}"}}, {{"email": "{BOB}"}}]}}'.encode()
    assert enroll_by_webhook(database, "Welcome", body, now=NOW).enrolled == 2
    channels = {"email": RecorderChannel("email")}
    tick(Engine(database, channels, MESSAGES, erasure=scope), now=NOW, until_idle=True)
    assert recipients(database) == [(BOB,)]
    assert suppressions(database) == [(ANN, None, "manual", "erasure")]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_contact_that_an_application_inserts_gets_no_message(
    database: Database, scope: ErasureScope, is_known: bool
):
    erased(database, scope)
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, MAIL)
        enrolled(connection, campaign, [add(connection, ANN), add(connection, BOB)])
    settings = MESSAGES
    if is_known:  # the key has changed since, and the former one is configured
        settings = replace(MESSAGES, secret_key=Secret("new"), former_keys=(MESSAGES.secret_key,))
    else:
        settings = replace(MESSAGES, secret_key=Secret("new"))
    engine = Engine(database, {"email": RecorderChannel("email")}, settings, erasure=scope)
    tick(engine, now=NOW, until_idle=True)
    assert recipients(database) == ([(BOB,)] if is_known else [(ANN,), (BOB,)])
    assert len(suppressions(database)) == int(is_known)


def test_an_operator_frees_an_erased_address(
    database: Database, scope: ErasureScope, tmp_path: Path
):
    erased(database, scope)
    result = resubscribe(database, ANN, reason="she asked", now=NOW, keys=KEYS)
    assert (result.contacts, result.lifted) == (0, 1)
    by_file(database, tmp_path)
    assert suppressions(database) == []


def test_an_address_of_another_contact_stays_suppressed(database: Database, scope: ErasureScope):
    with database.transaction() as connection:
        first = add(connection, ANN)
        connection.execute("ALTER TABLE contacts DROP CONSTRAINT contacts_workspace_id_email_key")
        add(connection, "ANN@example.com")
    suppress(database, ANN, reason="x", now=NOW)
    assert erase(database, str(first), scope, now=NOW).is_complete
    assert suppressions(database) == [(ANN, None, "manual", "operator")]
    assert hashes(database) == 0


def test_the_hash_depends_on_key_workspace_and_address():
    ids = uuid4(), uuid4()
    other = ErasureKeys(Secret("other"), (MESSAGES.secret_key,))
    assert KEYS.hash(ids[0], ANN) == KEYS.hash(ids[0], ANN)
    different = {KEYS.hash(ids[0], ANN), KEYS.hash(ids[1], ANN), KEYS.hash(ids[0], BOB)}
    assert len({*different, other.hash(ids[0], ANN)}) == 4
    assert KEYS.hash(ids[0], ANN) in other.hashes(ids[0], ANN)
    assert KEYS.key_id != other.key_id
