from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.migrate import migrate
from tests.conftest import own_database
from tests.db.schema import existing_databases as found
from tests.db.schema.schema_text import Schema, Table, read_schema
from tests.db.schema.write_schema import SCHEMA_FILE, schema_file

BASE_TABLES = {
    "workspaces", "contacts", "drip_campaigns", "campaign_steps", "campaign_enrollments",
    "campaign_channels",
}  # fmt: skip
SPECIFICATION_TABLES = {
    "campaign_workflow_states", "campaign_ab_test_results", "campaign_events", "campaign_versions",
}  # fmt: skip
# What the fixtures' application keeps for itself on the specification's tables.
KEPT = {
    "campaign_workflow_states.updated_at", "campaign_workflow_states.touch_workflow_states",
    "campaign_events.browser_session", "campaign_events.count_event",
    "campaign_events_default.browser_session", "campaign_events_default.count_event",
}  # fmt: skip
Rows = dict[str, dict[Any, dict[str, Any]]]
Builder = Callable[..., None]

BUILDERS: dict[str, Builder] = {
    "nothing": found.empty_database,
    "base tables": found.legacy_database,
    "the specification's migration": found.specification_database,
}


@dataclass(frozen=True)
class Migrated:
    """A database that was found in some shape and then migrated, and what stood in it before."""

    database: Database
    before: Rows
    schema_before: Schema
    schema: Schema
    on_platform: bool


@pytest.fixture(scope="module")
def migrated(server_url, platform_url) -> Iterator[Callable[[str, bool], Migrated]]:
    """Databases by what was found and whether it stood on the platform, each made once."""
    with ExitStack() as stack:
        made: dict[tuple[str, bool], Migrated] = {}

        def get(name: str, on_platform: bool) -> Migrated:
            if (name, on_platform) not in made:
                url = platform_url if on_platform else server_url
                database = stack.enter_context(own_database(url, "template0"))
                with database.transaction() as connection:
                    BUILDERS[name](connection, is_on_platform=on_platform)
                    schema_before = read_schema(connection)
                    before = all_rows(connection, schema_before)
                migrate(database)
                with database.transaction() as connection:
                    schema = read_schema(connection)
                made[name, on_platform] = Migrated(
                    database, before, schema_before, schema, on_platform
                )
            return made[name, on_platform]

        yield get


@pytest.fixture(params=[False, True], ids=["plain", "platform"])
def on_platform(request) -> bool:
    return bool(request.param)


@pytest.fixture(params=list(BUILDERS))
def shape(request) -> str:
    return str(request.param)


def all_rows(connection: Connection, schema: Schema) -> Rows:
    """Every row of every table as JSON, by its id."""
    return {
        name: {
            row.get("id", position): row
            for position, (row,) in enumerate(
                connection.execute(f"SELECT to_jsonb(t) FROM {name} t ORDER BY to_jsonb(t)")
            )
        }
        for name, table in schema.tables.items()
        if table.partition_of is None
    }


def ask(database: Database, statement: str, *parameters: object) -> Any:
    with database.transaction() as connection:
        row = connection.execute(statement, parameters).fetchone()
        return row[0] if row else None


# --- one schema -----------------------------------------------------------------------------------


Part = tuple[str, str]


def described(name: str, table: Table) -> dict[Part, str]:
    """What a table consists of, by kind and name. Of a base table, what was there before belongs to
    the application: of its columns only the types count, of constraints only what they say.
    """
    parts: dict[Part, str] = {}
    if name in BASE_TABLES:
        parts |= {("column", c): column.type for c, column in table.columns.items()}
        parts |= {("constraint", text): text for text in table.constraints.values()}
    else:
        parts |= {("column", c): str(column) for c, column in table.columns.items()}
        parts |= {("constraint", c): text for c, text in table.constraints.items()}
        parts |= {("policy", c): text for c, text in table.policies.items()}
        parts[("table", "options")] = str(table.options)
        parts[("table", "row security")] = str(table.is_row_secured)
        parts[("table", "partitions")] = f"{table.partition_key} {table.partition_of}"
    parts |= {("index", c): text for c, text in table.indexes.items()}
    parts |= {("trigger", c): text for c, text in table.triggers.items()}
    return {part: text for part, text in parts.items() if f"{name}.{part[1]}" not in KEPT}


def test_the_schema_is_the_same_whatever_was_found(migrated, shape, on_platform):
    from_nothing = migrated("nothing", on_platform).schema
    this = migrated(shape, on_platform).schema
    assert from_nothing.tables.keys() <= this.tables.keys()
    for name, table in from_nothing.tables.items():
        wanted, there = described(name, table), described(name, this.tables[name])
        if name in BASE_TABLES:  # the application's own columns and indexes may be there too
            there = {part: text for part, text in there.items() if part in wanted}
        assert there == wanted, name
    assert from_nothing.functions.items() <= this.functions.items()


def test_nothing_but_the_applications_own_is_left_over(migrated, on_platform):
    this = migrated("the specification's migration", on_platform)
    ours = migrated("nothing", on_platform).schema
    assert this.schema.tables.keys() - ours.tables.keys() == {
        "workspace_members", "sent_mail_log", "event_notes", "event_counters",
    }  # fmt: skip
    assert this.schema.functions.keys() - ours.functions.keys() == {
        "touch_updated_at", "count_event", "events_of",
    }  # fmt: skip


def test_the_platform_adds_only_row_security_and_the_authors_key(migrated):
    plain = migrated("nothing", False).schema
    hosted = migrated("nothing", True).schema
    assert hosted.functions == plain.functions
    for name, table in plain.tables.items():
        there = hosted.tables[name]
        added = there.constraints.keys() - table.constraints.keys()
        assert added == (
            {"campaign_versions_created_by_fkey"} if name == "campaign_versions" else set()
        )
        assert (there.columns, there.indexes, there.triggers) == (
            table.columns, table.indexes, table.triggers,
        )  # fmt: skip
        assert there.is_row_secured, name


def test_migrating_again_changes_nothing(migrated, shape, on_platform):
    this = migrated(shape, on_platform)
    report = migrate(this.database)
    assert (report.applied, report.functions) == ((), ())
    with this.database.transaction() as connection:
        assert read_schema(connection) == this.schema


def test_the_schema_file_is_what_the_migrations_build(migrated):
    """If this fails after a migration was added or changed: `make schema`."""
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_file(
        migrated("nothing", False).database
    )


# --- nothing is lost ------------------------------------------------------------------------------


def test_no_column_of_the_application_is_dropped(migrated, shape, on_platform):
    this = migrated(shape, on_platform)
    for name, table in this.schema_before.tables.items():
        assert table.columns.keys() <= this.schema.tables[name].columns.keys(), name


def test_the_base_tables_keep_every_row_as_it_was(migrated, shape, on_platform):
    this = migrated(shape, on_platform)
    with this.database.transaction() as connection:
        after = all_rows(connection, this.schema)
    for name, rows in this.before.items():
        if name in SPECIFICATION_TABLES:
            continue
        assert after[name].keys() == rows.keys(), name
        for key, row in rows.items():
            kept = {column: after[name][key][column] for column in row}
            assert kept == row, (name, key)


def test_the_specifications_results_and_versions_keep_their_contents(migrated, on_platform):
    this = migrated("the specification's migration", on_platform)
    with this.database.transaction() as connection:
        after = all_rows(connection, this.schema)
    for name in ("campaign_ab_test_results", "campaign_versions"):
        assert after[name].keys() == this.before[name].keys()
        for key, row in this.before[name].items():
            for column, value in row.items():
                if value is not None:
                    assert after[name][key][column] == value, (name, column)
    assert {row["workspace_id"] for row in after["campaign_versions"].values()} == {
        str(found.NORTH)
    }
    assert {row["workspace_id"] for row in after["campaign_ab_test_results"].values()} == {
        str(found.NORTH)
    }


def test_old_events_move_into_the_partitioned_log(migrated, on_platform):
    this = migrated("the specification's migration", on_platform)
    with this.database.transaction() as connection:
        after = all_rows(connection, this.schema)["campaign_events"]
    before = this.before["campaign_events"]
    assert len(before) == 104
    assert after.keys() == before.keys()
    for key, row in before.items():
        filled = {"event_source": "system"} if row["event_source"] is None else {}
        assert {column: after[key][column] for column in row} == row | filled
        assert after[key]["workspace_id"] == str(found.NORTH)
    assert this.schema.tables["campaign_events"].partition_key == "RANGE (created_at)"
    assert "campaign_events_before_partitions" not in this.schema.tables


def test_everybody_stays_where_they_were(migrated, on_platform):
    this = migrated("the specification's migration", on_platform)
    with this.database.transaction() as connection:
        after = all_rows(connection, this.schema)["campaign_workflow_states"]
    before = this.before["campaign_workflow_states"].values()
    assert len(after) == len(before) == 40
    for row in before:
        state = after[row["enrollment_id"]]
        unchanged = row.keys() - {"id", "wait_for_event", "next_execution_at", "completed_at"}
        assert {column: state[column] for column in unchanged} == {
            column: row[column] for column in unchanged
        }
        for column in ("next_execution_at", "completed_at"):
            assert row[column] in (None, state[column])


def test_people_inside_a_wait_leave_it_and_do_not_begin_it_anew(migrated, on_platform):
    database = migrated("the specification's migration", on_platform).database
    with database.transaction() as connection:
        waits = connection.execute(
            "SELECT current_node_id, workflow_status, wait_for_event, resume_port, "
            "next_execution_at::text, count(*) FROM campaign_workflow_states "
            "WHERE current_node_id IN ('pause', 'listen') GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2"
        ).fetchall()
    assert waits == [
        # An event wait without an end gets the seven days that waits have by default.
        ("listen", "waiting", "email_opened", "timeout", "2026-02-18 09:05:00+00", 6),
        ("pause", "paused", None, "default", "2026-02-13 09:05:00+00", 4),
        ("pause", "waiting", None, "default", "2026-02-13 09:05:00+00", 8),
    ]


def test_several_states_of_one_enrollment_become_one_that_keeps_the_others(empty_database):
    with empty_database.transaction() as connection:
        found.specification_database(connection)
        connection.execute(
            "ALTER TABLE campaign_workflow_states DROP CONSTRAINT "
            "campaign_workflow_states_enrollment_id_key"
        )
        connection.execute(
            "INSERT INTO campaign_workflow_states (enrollment_id, campaign_id, contact_id, "
            "current_node_id, workflow_variables, started_at, last_executed_at) "
            "SELECT enrollment_id, campaign_id, contact_id, 'hello', '{\"second\": true}', "
            "started_at, last_executed_at + interval '1 day' FROM campaign_workflow_states "
            "WHERE enrollment_id = %s",
            [found.named("visual-enrollment-12")],
        )
    migrate(empty_database)
    with empty_database.transaction() as connection:
        (states,) = connection.execute(
            "SELECT count(*) FROM campaign_workflow_states"
        ).fetchone() or (0,)
        kept = connection.execute(
            "SELECT current_node_id, workflow_variables FROM campaign_workflow_states "
            "WHERE id = %s",
            [found.named("visual-enrollment-12")],
        ).fetchone()
    assert kept is not None
    node, variables = kept
    assert (states, node, variables["second"]) == (40, "hello", True)
    (earlier,) = variables["earlier_states"]
    assert (earlier["current_node_id"], earlier["workflow_variables"]) == ("pause", {"number": 12})


def test_a_version_number_that_stands_twice_moves_to_the_end(empty_database):
    with empty_database.transaction() as connection:
        found.specification_database(connection)
        connection.execute("ALTER TABLE campaign_versions DROP CONSTRAINT a_version_once")
        connection.execute(
            "INSERT INTO campaign_versions (campaign_id, version, campaign_snapshot, "
            "change_description, created_at) "
            "SELECT campaign_id, version, campaign_snapshot, 'again ' || version, "
            "created_at + interval '1 hour' FROM campaign_versions"
        )
    migrate(empty_database)
    with empty_database.transaction() as connection:
        versions = connection.execute(
            "SELECT version, change_description FROM campaign_versions ORDER BY version"
        ).fetchall()
    assert versions == [(1, "first draft"), (2, "published"), (3, "again 1"), (4, "again 2")]


def test_a_node_id_that_copied_steps_share_stays_with_the_first(empty_database):
    with empty_database.transaction() as connection:
        found.specification_database(connection)
        connection.execute("UPDATE campaign_steps SET node_id = 'hello' WHERE node_id = 'long'")
    migrate(empty_database)
    with empty_database.transaction() as connection:
        nodes = connection.execute(
            "SELECT step_number, node_id FROM campaign_steps "
            "WHERE campaign_id = %s AND node_id LIKE 'hello%%' ORDER BY 1",
            [found.VISUAL_CAMPAIGN],
        ).fetchall()
    assert nodes == [(2, "hello"), (6, f"hello_{found.named('visual-long')}")]


# --- what leans on the tables ---------------------------------------------------------------------


def test_views_functions_and_triggers_of_the_application_go_on(migrated, on_platform):
    database = migrated("the specification's migration", on_platform).database
    assert ask(database, "SELECT count(*) FROM people_in_campaigns") == 240
    assert ask(database, "SELECT sum(opens) FROM opened_mail_by_campaign") == 30
    assert ask(database, "SELECT sum(events) FROM events_by_day") == 104
    assert ask(database, "SELECT max(total_sent) FROM test_board") == 10
    assert ask(database, "SELECT count(*) FROM campaign_outline") == 12
    assert (
        ask(database, "SELECT obj_description('test_board'::regclass)")
        == "what the test page shows"
    )
    assert ask(database, "SELECT reloptions FROM pg_class WHERE oid = 'test_board'::regclass") == [
        "security_barrier=true"
    ]
    assert ask(database, "SELECT count(*) FROM events_of(%s)", found.named("contact-12")) == 5
    assert (
        ask(database, "SELECT count(*) FROM pg_indexes WHERE indexname = 'events_by_day_key'") == 1
    )


def test_the_log_keeps_its_trigger_and_the_counters_do_not_count_the_move(migrated):
    database = migrated("the specification's migration", False).database
    counted = "SELECT sum(events) FROM event_counters"
    with database.transaction() as connection:
        (before,) = connection.execute(counted).fetchone() or (0,)
        connection.execute(
            "INSERT INTO campaign_events (campaign_id, event_type) VALUES (%s, 'email_opened')",
            [found.VISUAL_CAMPAIGN],
        )
        (after,) = connection.execute(counted).fetchone() or (0,)
        connection.rollback()
    assert (before, after) == (104, 105)


def test_triggers_that_were_off_stay_off_and_others_on(migrated, on_platform):
    database = migrated("base tables", on_platform).database
    with database.transaction() as connection:
        states = dict(
            connection.execute(
                "SELECT tgname, tgenabled::text FROM pg_trigger "
                "WHERE tgrelid = 'campaign_enrollments'::regclass AND NOT tgisinternal"
            ).fetchall()
        )
    assert states == {
        "create_workflow_state_on_enrollment": "O",
        "fill_enrollment_workspace": "O",
        "touch_campaign_enrollments": "O",
        "touch_campaign_enrollments_again": "D",
    }


def test_grants_on_what_was_replaced_are_given_again(platform_url):
    with own_database(platform_url, "template0") as database:
        with database.transaction() as connection:
            found.specification_database(connection, is_on_platform=True)
            connection.execute("REVOKE ALL ON test_board, opened_mail FROM anon, authenticated")
            connection.execute("GRANT SELECT ON opened_mail TO authenticated")
        migrate(database)
        reader = "SELECT has_table_privilege(%s, %s, %s)"
        assert ask(database, reader, "authenticated", "opened_mail", "SELECT")
        assert not ask(database, reader, "anon", "opened_mail", "SELECT")
        assert not ask(database, reader, "authenticated", "test_board", "SELECT")
        assert ask(database, reader, "service_role", "campaign_events", "INSERT")


def test_the_author_of_a_version_is_an_account_where_accounts_are(migrated, shape):
    platform = migrated(shape, True).schema.tables["campaign_versions"].constraints
    plain = migrated(shape, False).schema.tables["campaign_versions"].constraints
    assert "auth.users" in platform["campaign_versions_created_by_fkey"]
    assert "campaign_versions_created_by_fkey" not in plain
