"""Measure the longest stall of a writing application while `drip db migrate` runs in its database.

    python -m benchmarks.migrating                      2,000,000 contacts, about ten minutes
    python -m benchmarks.migrating --contacts 200000

Two databases: an application's own base tables, in which the engine is installed for the first
time, and a database of the engine at migration 0008. The application's processes update, insert and
read contacts and enrollments in transactions of one statement, and measure each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from shutil import copyfile
from typing import Any

import psycopg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.db.queries import SQL_FOLDER

if __package__:
    from benchmarks.server import benchmark_server, fresh_database
else:  # run by its path with an older checkout in PYTHONPATH, to measure that one
    from server import benchmark_server, fresh_database  # type: ignore[import-not-found,no-redef]

BASE_TABLES = (
    "workspaces", "contacts", "drip_campaigns", "campaign_steps", "campaign_enrollments",
    "campaign_channels",
)  # fmt: skip
ENROLLED_EACH = 10
"""One contact of so many has an enrollment."""

FILL = """
INSERT INTO workspaces (name) SELECT 'W ' || n FROM generate_series(1, 50) AS n;
INSERT INTO contacts (workspace_id, name, email, phone, company, tags, ai_score)
SELECT w.id, 'Person ' || n, 'person' || n || '@example.com', '+4915' || lpad(n::text, 9, '0'),
    'Company ' || n % 5000, ARRAY['list' || n % 7], n % 100
FROM generate_series(1, {contacts}) AS n
JOIN (SELECT id, row_number() OVER () AS nth FROM workspaces) w ON w.nth = 1 + n % 50;
INSERT INTO drip_campaigns (workspace_id, name, status) SELECT id, 'C', 'draft' FROM workspaces;
INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email)
SELECT c.id, k.id, k.email
FROM contacts k JOIN drip_campaigns c ON c.workspace_id = k.workspace_id
WHERE right(k.email, 13) LIKE '0@example.com';
ANALYZE;
CHECKPOINT
"""
STATEMENTS = {
    "update contact": "UPDATE contacts SET company = %(text)s, ai_score = 5 WHERE id = %(contact)s",
    "insert contact": "INSERT INTO contacts (workspace_id, email, phone, tags)"
    " VALUES (%(workspace)s, %(text)s || '@example.org', '+4930' || length(%(text)s), '{x}')",
    "read contact": "SELECT k.name FROM contacts k JOIN workspaces w ON w.id = k.workspace_id"
    " WHERE k.id = %(contact)s",
    "enroll": "INSERT INTO campaign_enrollments (campaign_id, contact_id)"
    " VALUES (%(campaign)s, %(contact)s) ON CONFLICT DO NOTHING",
    "update enrollment": "UPDATE campaign_enrollments SET last_email_sent_at = now()"
    " WHERE contact_id = %(contact)s AND campaign_id = %(campaign)s",
    "update campaign": "UPDATE drip_campaigns SET description = %(text)s WHERE id = %(campaign)s",
    "update workspace": "UPDATE workspaces SET name = %(text)s WHERE id = %(workspace)s",
}


@dataclass(frozen=True, slots=True)
class Stall:
    """The longest statement of the application: seconds, and when it began after the start."""

    statement: str
    seconds: float
    began: float


def write(url: str, seed: int, stop: Event, results: multiprocessing.Queue[Any]) -> None:
    """Run the application's statements until `stop`, and put (name, began, seconds) of each that
    took longer than 20 ms, then the number of statements."""
    chance = random.Random(seed)
    count = 0
    with psycopg.connect(url, autocommit=True, application_name="application") as connection:
        found = connection.execute(
            "SELECT k.id, k.workspace_id, c.id FROM contacts k"
            " JOIN drip_campaigns c ON c.workspace_id = k.workspace_id"
            " WHERE k.email LIKE 'person1%' LIMIT 5000"
        ).fetchall()
        while not stop.is_set():
            contact, workspace, campaign = chance.choice(found)
            name = chance.choice(tuple(STATEMENTS))
            values = {"contact": contact, "workspace": workspace, "campaign": campaign}
            began = time.monotonic()
            connection.execute(STATEMENTS[name].encode(), {**values, "text": f"x{chance.random()}"})
            seconds = time.monotonic() - began
            if seconds > 0.02:
                results.put((name, began, seconds))
            count += 1
            time.sleep(0.002)
    results.put(count)


@contextmanager
def application(url: str, processes: int) -> Iterator[list[Stall]]:
    """Run writing processes during the body; afterwards the list has their longest statements, the
    longest first."""
    context = multiprocessing.get_context("spawn")
    stop, results = context.Event(), context.Queue()
    stalls: list[Stall] = []
    writers = [
        context.Process(target=write, args=(url, seed, stop, results), daemon=True)
        for seed in range(processes)
    ]
    for writer in writers:
        writer.start()
    time.sleep(3)
    started = time.monotonic()
    try:
        yield stalls
    finally:
        ended, statements, running = time.monotonic(), 0, processes
        stop.set()
        while running:
            found = results.get(timeout=60)
            if isinstance(found, int):
                running -= 1
                statements += found
            else:
                name, began, seconds = found
                if began + seconds > started and began < ended:
                    stalls.append(Stall(name, seconds, began - started))
        for writer in writers:
            writer.join()
        stalls.sort(key=lambda stall: -stall.seconds)
        print(f"  {statements:,} statements of the application", flush=True)


def as_application(database: Database) -> None:
    """Create the base tables as an application has them."""
    text = (SQL_FOLDER / "migrations" / "0001_create_base_tables.sql").read_text(encoding="utf-8")
    with database.transaction() as connection:
        for table in BASE_TABLES:
            match = re.search(rf"^CREATE TABLE IF NOT EXISTS {table} \(.*?^\);", text, re.M | re.S)
            assert match is not None
            connection.execute(match.group().encode())


def at_baseline(database: Database) -> None:
    """Apply the migrations 0001 to 0008."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("migrations", "functions", "online"):
            (Path(folder) / name).mkdir()
        for path in sorted((SQL_FOLDER / "migrations").glob("000[1-8]_*.sql")):
            copyfile(path, Path(folder) / "migrations" / path.name)
        migrate(database, folder=Path(folder))


def main() -> None:
    """Measure both databases and print the stalls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=2_000_000)
    parser.add_argument("--processes", type=int, default=3, help="of the application")
    chosen = parser.parse_args()
    with benchmark_server() as url:
        for title, prepare in (
            ("an application's own tables", as_application),
            ("the engine at migration 0008", at_baseline),
        ):
            with fresh_database(url, migrated=False) as database:
                prepare(database)
                with psycopg.connect(database.url, autocommit=True) as connection:
                    for statement in FILL.format(contacts=chosen.contacts).split(";\n"):
                        connection.execute(statement.encode())
                print(f"{title}, {chosen.contacts:,} contacts", flush=True)
                with application(database.url, chosen.processes) as stalls:
                    began = time.monotonic()
                    migrate(database)
                    seconds = time.monotonic() - began
                print(f"  migrate took {seconds:.1f} s", flush=True)
                for stall in stalls[:8]:
                    print(
                        f"  {stall.seconds * 1000:8,.0f} ms  {stall.statement}, {stall.began:.1f} s"
                        " after the start",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
