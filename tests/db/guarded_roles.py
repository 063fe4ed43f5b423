"""A database with the least-privilege roles, and connections in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from filelock import FileLock
from psycopg import sql

from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.settings import CHECKOUT, Secret
from tests.conftest import own_database
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_workspace,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, node

SCRIPT = CHECKOUT / "deploy" / "postgres" / "roles.sql"
ROLES = ("drip_owner", "drip_engine", "drip_ingest", "drip_trigger", "drip_read")
"""Roles belong to the whole server: tests that make them come one after the other."""


@pytest.fixture(scope="module")
def guarded(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database set up as the script says: roles, migrations as the owner, roles again."""
    lock = FileLock(tmp_path_factory.getbasetemp().parent / "roles.lock")
    with lock, own_database(server_url, "template0") as database:
        run_script(database)
        with as_role(database, "drip_owner") as owner:
            assert migrate(owner).applied
        for _ in range(2):
            run_script(database)
        yield database
        with psycopg.connect(database.url) as connection:
            for role in ROLES:
                name = sql.Identifier(role)
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(name))
                connection.execute(sql.SQL("DROP OWNED BY {}").format(name))


def run_script(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute(SCRIPT.read_text(encoding="utf-8").encode())


def as_role(database: Database, role: str) -> Database:
    """The same database, with every connection in that role."""
    return Database(f"{database.url}?options={quote(f'-c role={role}')}")


def refused(database: Database, role: str, statement: str) -> str:
    """What the server says to this role; the statement must fail for want of rights."""
    with psycopg.connect(database.url) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            connection.execute(statement.encode())
        return str(caught.value)


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(statement.encode()).fetchall()


@pytest.fixture(scope="module")
def message(guarded: Database) -> Any:
    """The id of a sent message, of a campaign with a webhook trigger."""
    door = TriggerConfig.model_validate({"trigger": "webhook"})
    with guarded.transaction() as connection:
        workspace = a_workspace(connection, "Doors")
        made = a_published_campaign(
            connection,
            graph(node("start", "trigger", door, default="m"), email("m", default="end"), end()),
            workspace_id=workspace,
            name="Doors",
        )
        enrolled(connection, made, contacts(connection, workspace, 1, prefix="door"))
    run_until_idle(guarded, now=NOW)
    ((sent,),) = rows(
        guarded,
        "SELECT o.message_id FROM campaign_message_outcomes o"
        " JOIN drip_campaigns c ON c.id = o.campaign_id WHERE c.name = 'Doors'",
    )
    return sent


SETTINGS = {"trigger_tokens": (Secret("a token"),), "metrics_token": Secret("metrics")}
TOKEN = {"Authorization": "Bearer a token"}
BODY = b'{"email": "new@example.com", "fields": {"company": "Example"}}'
