"""Databases as `drip db migrate` finds them: with an application's base tables and people, with the
specification's own migration on top, and with a hosted platform's accounts and roles around them.
The rows' ids are hashes of names (`named`), so that tests can speak of single rows.
"""

from __future__ import annotations

from hashlib import md5
from pathlib import Path
from uuid import UUID

from drip_pipeline.db.connection import Connection

FIXTURES = Path(__file__).parent / "fixtures"
PLATFORM_ROLES = ("anon", "authenticated", "service_role")


def named(name: str) -> UUID:
    """The id of the row that the fixtures call this."""
    return UUID(hex=md5(name.encode(), usedforsecurity=False).hexdigest())


LEGACY_CAMPAIGN = named("campaign-legacy")
VISUAL_CAMPAIGN = named("campaign-visual")
SOUTHERN_CAMPAIGN = named("campaign-south")
NORTH = named("workspace-1")
SOUTH = named("workspace-2")
NORTHERN_USER = named("user-north")
SOUTHERN_USER = named("user-south")


def legacy_database(connection: Connection, *, is_on_platform: bool = False) -> None:
    """The base tables with 230 people, and an active linear campaign with three mails (`day_delay`
    0, 3, 7) and 200 enrollments: 150 active (60 before the first mail, 60 after it, 30 after the
    second), 15 paused, 20 completed, 10 unsubscribed, 5 bounced.
    """
    if is_on_platform:
        run_fixture(connection, "platform")
    run_fixture(connection, "base_tables")
    run_fixture(connection, "base_people")
    if is_on_platform:
        run_fixture(connection, "platform_rules")


def specification_database(connection: Connection, *, is_on_platform: bool = False) -> None:
    """The legacy database with the specification's own migration applied, and a second campaign
    that has used it: 40 people in every workflow state, 104 events, two results, two versions.
    """
    legacy_database(connection, is_on_platform=is_on_platform)
    run_fixture(connection, "specification")
    run_fixture(connection, "specification_data")
    if is_on_platform:
        run_fixture(connection, "specification_rules")


def empty_database(connection: Connection, *, is_on_platform: bool = False) -> None:
    """Nothing, or nothing but the platform."""
    if is_on_platform:
        run_fixture(connection, "platform")


def run_fixture(connection: Connection, name: str) -> None:
    """Run one of the files in fixtures/."""
    connection.execute((FIXTURES / f"{name}.sql").read_text(encoding="utf-8"), prepare=False)
