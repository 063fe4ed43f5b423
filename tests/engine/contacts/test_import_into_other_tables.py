"""Imports into an application's `contacts`: other unique keys than the specification's, partitions,
and triggers that drop rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from drip_pipeline.engine.contacts import import_contacts as module
from drip_pipeline.errors import ConstraintViolated, DatabaseError
from tests.engine.contacts.import_files import contacts as stored
from tests.engine.contacts.import_files import imported, rejected_lines, suppressed
from tests.engine.contacts.import_files import written as csv

DROPPING = """
CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER dropping BEFORE {event} ON contacts
    FOR EACH ROW WHEN (NEW.email LIKE 'spam%') EXECUTE FUNCTION drop_row()
"""
TWO = "email,name\nspam@example.com,Spam\ngood@example.com,Good\n"


def changed(database, *statements):
    with database.transaction() as connection:
        for statement in statements:
            connection.execute(statement)


def without_key(database, *statements):
    changed(
        database,
        "ALTER TABLE contacts DROP CONSTRAINT contacts_workspace_id_email_key",
        *statements,
    )


@pytest.mark.parametrize(
    "key",
    [
        "CREATE UNIQUE INDEX ON contacts (workspace_id, lower(email))",
        "CREATE UNIQUE INDEX ON contacts (lower(email))",
        "CREATE UNIQUE INDEX ON contacts (workspace_id, email) WHERE email IS NOT NULL",
        "CREATE UNIQUE INDEX ON contacts (email, workspace_id) INCLUDE (name)",
        "SELECT 'no unique key'",
    ],
)
def test_any_key_of_the_addresses_will_do(database, tmp_path, key):
    without_key(database, key)
    assert imported(database, csv(tmp_path, TWO)).inserted == 2
    again = imported(database, csv(tmp_path, TWO.replace("Good", "Better")))
    assert (again.inserted, again.updated, again.unchanged) == (0, 1, 1)
    assert sorted(stored(database, "name")) == ["Better", "Spam"]


def test_imports_at_once_add_nobody_twice_without_a_key(database, tmp_path):
    imported(database, csv(tmp_path, "email\nfirst@example.com\n"))
    without_key(database)
    path = csv(tmp_path, "email\n" + "".join(f"p{n}@example.com\n" for n in range(2_000)))
    with ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(lambda _: imported(database, path), range(3)))
    assert sum(report.inserted for report in reports) == 2_000
    people = stored(database)
    assert (len(people), len(set(people))) == (2_001, 2_001)


def test_a_row_that_a_trigger_drops_is_rejected_and_the_others_are_imported(database, tmp_path):
    changed(database, DROPPING.format(event="INSERT"))
    report = imported(database, csv(tmp_path, TWO))
    assert (report.rows, report.inserted, report.unchanged) == (2, 1, 0)
    assert report.rejected == {"refused_by_database": 1}
    assert report.first_rejected == ((2, "refused_by_database"),)
    assert rejected_lines(database) == [(2, "refused_by_database")]
    changed(database, "DROP TRIGGER dropping ON contacts")
    assert imported(database, csv(tmp_path, TWO)).inserted == 1
    assert rejected_lines(database) == []


def test_a_change_that_a_trigger_drops_is_rejected(database, tmp_path):
    imported(database, csv(tmp_path, TWO))
    changed(database, DROPPING.format(event="UPDATE"))
    path = csv(tmp_path, "email,name\nspam@example.com,A\ngood@example.com,B\n")
    report = imported(database, path)
    assert (report.updated, report.unchanged) == (1, 0)
    assert report.rejected == {"refused_by_database": 1}
    assert rejected_lines(database) == [(2, "refused_by_database")]


def test_a_row_that_another_key_keeps_out_is_rejected(database, tmp_path):
    changed(database, "CREATE UNIQUE INDEX ON contacts (workspace_id, phone)")
    report = imported(
        database,
        csv(tmp_path, "email,phone\na@example.com,+14155550100\nb@example.com,+14155550100\n"),
    )
    assert (report.inserted, report.rejected) == (1, {"refused_by_database": 1})


def test_the_refusal_of_a_dropped_row_counts(database, tmp_path):
    changed(database, DROPPING.format(event="INSERT"))
    report = imported(database, csv(tmp_path, "email,unsubscribed\nspam@example.com,yes\n"))
    assert report.unsubscribed == 1
    assert len(suppressed(database)) == 1


RAISING = """
CREATE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'not %', NEW.email; END$$;
CREATE TRIGGER refusing BEFORE INSERT OR UPDATE ON contacts
    FOR EACH ROW WHEN (NEW.email LIKE 'spam%') EXECUTE FUNCTION refuse_row()
"""
CHECKING = "ALTER TABLE contacts ADD CHECK (email NOT LIKE 'spam%')"


@pytest.mark.parametrize("rule", [RAISING, CHECKING])
def test_rows_that_the_table_refuses_with_an_error_are_rejected_alone(database, tmp_path, rule):
    changed(database, rule)
    people = [f"p{n}@example.com,no" for n in range(50)]
    people[7] = "spam1@example.com,yes"
    people[31] = "spam2@example.com,no"
    report = imported(database, csv(tmp_path, "email,unsubscribed\n" + "\n".join(people)))
    assert (report.rows, report.inserted) == (50, 48)
    assert report.rejected == {"refused_by_database": 2}
    assert rejected_lines(database) == [(n, "refused_by_database") for n in (9, 33)]
    assert report.unsubscribed == len(suppressed(database)) == 1


def test_a_rule_that_refuses_every_row_stops_the_import_with_its_error(
    database, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "_MOST_FAILED_ROWS", 3)
    changed(database, "ALTER TABLE contacts ADD COLUMN account integer NOT NULL")
    path = csv(tmp_path, "email\n" + "".join(f"p{n}@example.com\n" for n in range(20)))
    with pytest.raises(ConstraintViolated, match="account"):
        imported(database, path)
    assert stored(database) == []


def test_the_error_of_a_trigger_does_not_name_the_person(database, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_FAILED_ROWS", 0)
    changed(database, RAISING)
    with pytest.raises(DatabaseError) as caught:
        imported(database, csv(tmp_path, TWO))
    assert str(caught.value) == "not <address>"
