"""After an erasure nothing is left of a person, anywhere, and no figure has changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.privacy import erasures as erasures_db
from drip_pipeline.db.privacy import searched_texts as texts_db
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.events.landing_folder import look, not_loaded
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days, days_between
from drip_pipeline.engine.operations.ab_test_invariants import check_ab_test_invariants
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.operations.retention import apply_retention
from drip_pipeline.engine.privacy import archives, landed_copies, rewrite
from drip_pipeline.engine.privacy import erase as erase_module
from drip_pipeline.engine.privacy.request import erase
from drip_pipeline.errors import NotAllowed
from drip_pipeline.settings.kinds import Retention
from tests.conftest import own_database
from tests.engine.factories import NOW
from tests.engine.privacy.person import (
    AT_LAST,
    CANARIES,
    EMAIL,
    JANE,
    NAME,
    OTHER,
    Traces,
    leave_traces,
    lines_of,
)

LEAST_FOUND = 25
"""Tables and files that name the person before; fewer would not test much."""


@pytest.fixture
def traces(database: Database, server_url: str, tmp_path: Path) -> Iterator[Traces]:
    with own_database(server_url, "template0") as dagster:
        yield leave_traces(database, dagster, tmp_path / "home")


def naming(traces: Traces, *texts: str) -> dict[str, list[str]]:
    """The tables and files that have one of these texts."""
    found = {}
    for place, content in traces.dumped().items():
        lower = content.lower()
        hits = [text for text in texts if text.lower() in lower]
        if hits:
            found[place] = hits
    return found


def holds(traces: Traces) -> None:
    for result in (
        *check_invariants(traces.database, now=AT_LAST),
        *check_ab_test_invariants(traces.database),
    ):
        assert result.holds, result


@pytest.mark.parametrize("is_by_sql", [False, True])
def test_nothing_is_left_of_the_person_and_figures_are_the_same(traces: Traces, is_by_sql: bool):
    identifying = (*CANARIES, str(traces.contact_id))
    assert len(naming(traces, *identifying)) >= LEAST_FOUND
    others = set(naming(traces, OTHER, "kept-", str(traces.other_id)))
    before = traces.figures()
    if is_by_sql:
        with traces.database.transaction() as connection:
            connection.execute("DELETE FROM contacts WHERE id = %s", [traces.contact_id])
        holds(traces)
        assert traces.figures() == before
        assert traces.tick().erased == 1
    else:
        result = erase(
            traces.database,
            EMAIL.upper(),
            traces.scope,
            now=AT_LAST,
            reason=f"{NAME} ({EMAIL}) wrote",
            actor=JANE,
        )
        assert (result.contacts, result.is_complete, result.reasons) == (1, True, ())
    assert naming(traces, *identifying) == {}
    assert set(naming(traces, OTHER, "kept-", str(traces.other_id))) == others
    assert traces.figures() == before
    with traces.database.transaction() as connection:
        connection.execute("DELETE FROM campaign_daily_metrics")
    aggregate_days(traces.database, days_between(NOW.date(), NOW.date()))
    assert traces.figures() == before
    holds(traces)
    traces.tick()
    holds(traces)


@pytest.mark.parametrize("is_continued_by_tick", [False, True])
def test_an_erasure_that_is_killed_at_any_moment_is_finished(
    traces: Traces, monkeypatch: pytest.MonkeyPatch, is_continued_by_tick: bool
):
    """Each attempt ends before another step; the last one gets through."""
    before = traces.figures()
    steps = [
        (rewrite, "end_runs"),
        (erasures_db, "rewrite_rows"),
        (erasures_db, "finish_rewriting"),
        (erase_module, "search_tables"),
        (texts_db, "replace"),
        (erase_module, "rewrite_archives"),
        (archives, "write_archive"),
        (erase_module, "rewrite_landed"),
        (landed_copies, "_record"),
        (erasures_db, "complete"),
    ]
    for owner, name in steps:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killed)
            with pytest.raises(Killed):
                erase(traces.database, EMAIL, traces.scope, now=AT_LAST, actor=JANE)
    if is_continued_by_tick:
        assert traces.tick().erased == 1
    else:
        assert erase(traces.database, EMAIL, traces.scope, now=AT_LAST).is_complete
    assert naming(traces, *CANARIES, str(traces.contact_id)) == {}
    assert traces.figures() == before
    holds(traces)
    with traces.database.transaction() as connection:
        actions = connection.execute(
            "SELECT actor, object_id FROM operator_actions WHERE action = 'erase'"
        ).fetchall()
        erasures = connection.execute("SELECT id FROM contact_erasures").fetchall()
    assert [("Jane", *row) for row in erasures] == actions


class Killed(BaseException):
    """The process ends here."""


def killed(*_arguments: object, **_options: object) -> None:
    raise Killed


def test_events_that_come_later_count_without_naming_anyone(traces: Traces):
    late = [
        {**line, "event_id": f"late-{line['event_id']}"}
        for line in lines_of(traces, 300)
        if "message_id" in line
    ]
    assert erase(traces.database, EMAIL, traces.scope, now=AT_LAST).is_complete
    report = ingest_events(traces.database, late, source="late", now=AT_LAST)
    assert report.accepted == 4
    assert naming(traces, *CANARIES) == {}
    assert naming(traces, "kept-property")
    holds(traces)


def test_a_loaded_file_is_not_loaded_again_and_others_are_left_alone(traces: Traces):
    landing = traces.settings.landing_folder()
    (landing / "later.ndjson").write_text('{"email": "zoe.quark@example.org"}\n{"a": 1}\n')
    (landing / "others.ndjson").write_text('{"email": "yan@example.org"}\n')
    untouched = (landing / "others.ndjson").stat().st_mtime_ns
    result = erase(traces.database, EMAIL, traces.scope, now=AT_LAST)
    assert sorted(result.files) == sorted(
        ["campaign_events-1.parquet", "contact_events-1.parquet", "engine.log", "events.ndjson",
         "later.ndjson", "packed.ndjson.gz", "table.parquet"]
    )  # fmt: skip
    waiting = [file.path for file in not_loaded(traces.database, look(landing))]
    assert waiting == ["later.ndjson", "others.ndjson"]
    assert (landing / "later.ndjson").read_text() == '{"a": 1}\n'
    assert (landing / "others.ndjson").stat().st_mtime_ns == untouched
    assert not list(landing.glob(".*"))


def test_an_erasure_waits_for_archive_files_that_are_elsewhere(traces: Traces, tmp_path: Path):
    archive = traces.settings.archive_folder()
    moved = tmp_path / "moved"
    archive.rename(moved)
    result = erase(traces.database, EMAIL, traces.scope, now=AT_LAST)
    assert not result.is_complete
    assert result.reasons == (
        "2 archive files are not in archive, for example campaign_events-1.parquet",
    )
    assert set(naming(traces, *CANARIES)) == {"contact_erasure_values"}
    assert traces.tick().erased == 0  # not tried again at once
    moved.rename(archive)
    assert traces.tick(AT_LAST + timedelta(minutes=11)).erased == 1
    assert naming(traces, *CANARIES) == {}


def test_archive_files_that_are_gone_need_not_be_waited_for(traces: Traces):
    shutil.rmtree(traces.settings.archive_folder())
    assert not erase(traces.database, EMAIL, traces.scope, now=AT_LAST).is_complete
    again = erase(traces.database, EMAIL, traces.scope, now=AT_LAST, accepts_missing=True)
    assert again.is_complete
    assert naming(traces, *CANARIES) == {}


def test_retention_erases_contacts_without_activity(traces: Traces, tmp_path: Path):
    old = AT_LAST - timedelta(days=900)
    with traces.database.transaction() as connection:
        connection.execute(
            "INSERT INTO contacts (workspace_id, email, created_at, updated_at)"
            " VALUES (%s, 'old@example.org', %s, %s)",
            [traces.test.workspace_id, old, old],
        )
    by_age = Retention(contacts=365, deliveries=0, traces=0)
    folder = traces.settings.archive_folder()
    dry = apply_retention(traces.database, by_age, folder, now=AT_LAST, dry_run=True)
    assert dry.deleted["contacts"] == 1
    assert (
        "contacts"
        not in apply_retention(
            traces.database, Retention(), folder, now=AT_LAST, dry_run=True
        ).deleted
    )
    assert apply_retention(traces.database, by_age, folder, now=AT_LAST).deleted["contacts"] == 1
    assert traces.tick().erased == 1
    assert set(naming(traces, "old@example.org")) == set()
    # Both have open runs now, and everybody is inactive long after these have ended.
    much_later = AT_LAST + timedelta(days=500)
    traces.tick(AT_LAST + timedelta(days=40))
    report = apply_retention(traces.database, by_age, folder, now=much_later)
    assert report.deleted["contacts"] == 10
    assert traces.tick(much_later).erased == 10
    assert naming(traces, *CANARIES, OTHER) == {}
    holds(traces)


def test_what_cannot_be_erased_is_refused_by_name(traces: Traces):
    for who, why in (
        (str(uuid4()), "no contact of this workspace has this id"),
        ("not an address", "neither an id, nor an email address, nor a phone number"),
    ):
        with pytest.raises(NotAllowed, match=why):
            erase(traces.database, who, traces.scope, now=AT_LAST)
    with traces.database.transaction() as connection:
        connection.execute("UPDATE contacts SET phone = '+14155550123'")
    with pytest.raises(NotAllowed, match="10 contacts have this phone number"):
        erase(traces.database, "+1 415 555 0123", traces.scope, now=AT_LAST)


def test_an_address_without_a_contact_is_erased_from_lists_and_payloads(traces: Traces):
    with traces.database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at)"
            " VALUES (%s, 'list@example.org', 'manual', %s)",
            [traces.test.workspace_id, NOW],
        )
        connection.execute(
            "INSERT INTO rejected_events (source, reason, raw) VALUES ('x', 'y', %s)",
            ['{"email": "LIST@example.org"}'],
        )
    for _ in range(2):
        result = erase(traces.database, "list@example.org", traces.scope, now=AT_LAST)
        assert (result.contacts, result.is_complete) == (0, True)
        assert naming(traces, "list@example.org") == {}
    holds(traces)
