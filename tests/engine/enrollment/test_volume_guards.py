"""Guards of volume: the agreed size, the limits of a campaign, and triggers that wait."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.domain.definition.campaign_file import load_definition
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.holdout import Holdout, threshold
from drip_pipeline.domain.graph.volume import VolumeGuards
from drip_pipeline.engine.campaigns.campaign import show_campaign
from drip_pipeline.engine.campaigns.holdout import set_holdout
from drip_pipeline.engine.campaigns.volume_guards import (
    confirm_entries,
    set_workspace_guard,
    workspace_guard,
)
from drip_pipeline.engine.enrollment.audience import Contacts, Everybody
from drip_pipeline.engine.enrollment.enroll import EntryOptions, enroll
from drip_pipeline.engine.enrollment.entry_triggers import pending_entries
from drip_pipeline.engine.operations import incidents
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import NotAllowed
from drip_pipeline.settings import Settings
from tests.engine.enrollment.arrivals import BY_TAG, change, entered_by, inside, look, set_up, tag
from tests.engine.factories import NOW, a_workspace, contacts
from tests.engine.graphs import email, end, graph, trigger

LETTER = graph(trigger("hello"), email("hello", default="end"), end())
DAY = timedelta(days=1)
GUARDED = EntryOptions(is_guarded=True)


def limited(flow: CampaignGraph, **limits: Any) -> CampaignGraph:
    return replace(flow, guards=VolumeGuards(**limits))


def open_incidents(database, now=NOW):
    found = incidents.current(database, now=now, backlog_minutes=60)
    return [incident for incident in found if incident.kind == "entries_need_confirmation"]


# --- the agreed size ------------------------------------------------------------------------------


def test_an_audience_above_the_agreed_size_enrolls_nobody_and_says_how_to_confirm(database):
    campaign, people = set_up(database, LETTER, 12)
    assert workspace_guard(database, None).confirm_above == 10_000
    set_workspace_guard(database, None, 8, now=NOW)
    with pytest.raises(NotAllowed, match="would enroll 12 contacts") as refused:
        enroll(database, "Welcome", Everybody(), now=NOW, options=GUARDED, chunk_size=5)
    assert "--confirm 12" in (refused.value.hint or "")
    assert inside(database, campaign) == []
    # A size below the right one does not confirm it either.
    for size in (8, 11):
        options = replace(GUARDED, confirm=size)
        with pytest.raises(NotAllowed, match="would enroll 12"):
            enroll(database, "Welcome", Everybody(), now=NOW, options=options, chunk_size=5)
    assert inside(database, campaign) == []
    options = replace(GUARDED, confirm=12)
    report = enroll(database, "Welcome", Everybody(), now=NOW, options=options, chunk_size=5)
    assert report.enrolled == len(people)
    # All are in: a repetition enrolls nobody, and needs no confirmation.
    again = enroll(database, "Welcome", Everybody(), now=NOW, options=GUARDED, chunk_size=5)
    assert (again.enrolled, again.already_in) == (0, 12)


def test_the_agreed_size_itself_needs_no_confirmation(database):
    set_up(database, LETTER, 8)
    set_workspace_guard(database, None, 8, now=NOW)
    assert enroll(database, "Welcome", Everybody(), now=NOW, options=GUARDED).enrolled == 8


def test_without_an_agreed_size_nothing_is_confirmed(database):
    set_up(database, LETTER, 12)
    set_workspace_guard(database, None, 8, now=NOW)
    assert set_workspace_guard(database, None, None, now=NOW).is_changed
    assert not set_workspace_guard(database, None, None, now=NOW).is_changed
    assert enroll(database, "Welcome", Everybody(), now=NOW, options=GUARDED).enrolled == 12


def test_an_agreed_size_of_nothing_is_refused(database):
    set_up(database, LETTER, 1)
    with pytest.raises(NotAllowed, match="at least 1"):
        set_workspace_guard(database, None, 0, now=NOW)


@pytest.mark.parametrize("limits", [{}, {"max_people": 7}, {"per_day": 5}, {"max_people": 4}])
def test_a_dry_run_tells_the_numbers_of_the_run_that_follows(database, limits):
    campaign, people = set_up(database, limited(LETTER, **limits), 12)
    change(database, "UPDATE contacts SET email = NULL WHERE id = ANY(%s)", people[:2])
    enroll(database, "Welcome", Contacts(people[2:4]), now=NOW)
    counting = EntryOptions(is_dry_run=True)
    planned = enroll(database, "Welcome", Everybody(), now=NOW, options=counting, chunk_size=5)
    assert planned.is_dry_run
    assert sorted(inside(database, campaign)) == sorted(people[2:4])
    done = enroll(database, "Welcome", Everybody(), now=NOW, chunk_size=5)
    assert (done.enrolled, done.already_in, done.refused) == (
        planned.enrolled,
        planned.already_in,
        planned.refused,
    )
    assert planned.refused["no_email"] == 2


# --- the limits of a campaign ---------------------------------------------------------------------


def test_max_people_is_never_exceeded_and_the_others_are_refused_with_the_reason(database):
    campaign, people = set_up(database, limited(LETTER, max_people=7), 12)
    report = enroll(database, "Welcome", Everybody(), now=NOW, chunk_size=5)
    assert (report.enrolled, report.refused) == (7, {"over_max_people": 5})
    again = enroll(database, "Welcome", Everybody(), now=NOW + DAY, chunk_size=5)
    assert (again.enrolled, again.already_in, again.refused) == (0, 7, {"over_max_people": 5})
    assert len(inside(database, campaign)) == 7
    assert len(people) == 12


def test_a_person_who_enters_again_takes_no_place_of_another(database):
    flow = entered_by(limited(LETTER, max_people=3), trigger="manual", re_entry="per_key")
    campaign, people = set_up(database, flow, 5)
    first = EntryOptions(entry_key="a")
    enroll(database, "Welcome", Contacts(people[:2]), now=NOW, options=first)
    second = EntryOptions(entry_key="b")
    report = enroll(database, "Welcome", Contacts(people), now=NOW, options=second)
    assert (report.enrolled, report.refused) == (3, {"over_max_people": 2})
    assert sorted(Counter(inside(database, campaign)).values()) == [1, 2, 2]


def test_per_day_counts_days_of_the_workspace_and_refuses_until_tomorrow(database):
    set_up(database, limited(LETTER, per_day=5), 12)
    change(database, "UPDATE workspaces SET time_zone = 'Asia/Kathmandu'")
    report = enroll(database, "Welcome", Everybody(), now=NOW, chunk_size=4)
    assert (report.enrolled, report.refused) == (5, {"over_per_day": 7})
    assert enroll(database, "Welcome", Everybody(), now=NOW).enrolled == 0
    # 18:15 UTC is midnight in Kathmandu.
    midnight = NOW.replace(hour=18, minute=15, second=0)
    before, after = midnight - timedelta(seconds=1), midnight
    if before >= NOW:
        assert enroll(database, "Welcome", Everybody(), now=before).enrolled == 0
    assert enroll(database, "Welcome", Everybody(), now=after).enrolled == 5
    assert enroll(database, "Welcome", Everybody(), now=after + DAY).enrolled == 2


def published(database, **settings: Any) -> None:
    file: dict[str, Any] = {
        "name": "Welcome",
        "steps": [
            {"node_id": "hello", "node_type": "email", "subject_line": "Hi", "email_body": "Hi"}
        ],
        **settings,
    }
    publish(database, file, PublishOptions(now=NOW, settings=Settings()))


def test_limits_come_from_the_file_and_count_the_day_before_them(database):
    with database.transaction() as connection:
        people = contacts(connection, a_workspace(connection), 6)
    published(database)
    enroll(database, "Welcome", Contacts(people[:3]), now=NOW)
    published(database, per_day=4, max_people=5, pause_when={"complaints": 0.5})
    assert enroll(database, "Welcome", Everybody(), now=NOW).enrolled == 1
    assert enroll(database, "Welcome", Everybody(), now=NOW + DAY).enrolled == 1
    exported = export_file(database, "Welcome", None).file
    assert (exported["per_day"], exported["max_people"]) == (4, 5)
    assert exported["pause_when"]["complaints"] == 0.5
    published(database, per_day=9, max_people=5, pause_when=False)
    assert export_file(database, "Welcome", None).file["pause_when"] is False
    changed = load_definition(exported | {"per_day": 9})
    diff = compare_definitions(load_definition(exported), changed)
    assert [change.sentence for change in diff.changes] == ["per day: 4 → 9"]


def test_limits_are_exact_with_several_processes(database):
    campaign, people = set_up(database, limited(LETTER, per_day=40, max_people=50), 120)
    parts = [people[first::6] for first in range(6)]

    def enter(part):
        return enroll(database, "Welcome", Contacts(part), now=NOW, chunk_size=7).enrolled

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(enter, parts)) == 40
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda part: enroll(
            database, "Welcome", Contacts(part), now=NOW + DAY, chunk_size=7
        ).enrolled, parts)) == 10  # fmt: skip
    assert len(inside(database, campaign)) == 50


# --- entry triggers -------------------------------------------------------------------------------


def test_a_trigger_stops_before_the_agreed_size_and_goes_on_when_it_is_confirmed(database):
    campaign, people = set_up(database, BY_TAG, 12)
    set_workspace_guard(database, None, 8, now=NOW)
    tag(database, people)
    assert look(database) == {}
    assert inside(database, campaign) == []
    (incident,) = open_incidents(database)
    assert "12 contacts wait" in incident.sentence
    assert "--size 12" in incident.what_to_do
    # It waits without work for the sensor; the queue stays.
    assert pending_entries(database, NOW).campaigns == []
    guard = show_campaign(database, "Welcome", now=NOW).guard
    assert guard is not None
    assert (guard.waiting, guard.waits_until is not None) == (12, True)
    assert confirm_entries(database, "Welcome", 12, now=NOW).is_changed
    assert not confirm_entries(database, "Welcome", 12, now=NOW).is_changed
    assert open_incidents(database) == []
    assert look(database) == {"enrolled": 12}
    assert inside(database, campaign) == sorted(people)


def test_a_trigger_stops_when_the_day_reaches_the_agreed_size(database):
    campaign, people = set_up(database, BY_TAG, 12)
    set_workspace_guard(database, None, 8, now=NOW)
    tag(database, people[:5])
    assert look(database) == {"enrolled": 5}
    tag(database, people[5:9])
    assert look(database) == {}
    assert len(open_incidents(database)) == 1
    # The next day has its own size.
    assert look(database, NOW + DAY) == {"enrolled": 4}
    assert len(inside(database, campaign)) == 9


def test_contacts_that_are_in_already_do_not_stop_a_trigger(database):
    campaign, people = set_up(database, BY_TAG, 12)
    enroll(database, "Welcome", Contacts(people[:9]), now=NOW)
    set_workspace_guard(database, None, 8, now=NOW)
    tag(database, people)
    assert look(database) == {"enrolled": 3, "already_in": 9}
    assert len(inside(database, campaign)) == 12


def test_a_larger_agreed_size_lets_a_trigger_go_on(database):
    _, people = set_up(database, BY_TAG, 12)
    set_workspace_guard(database, None, 8, now=NOW)
    tag(database, people)
    assert look(database) == {}
    assert set_workspace_guard(database, None, 20, now=NOW).continued == 1
    assert look(database) == {"enrolled": 12}


def test_the_queue_of_a_trigger_waits_for_the_next_day_in_its_order(database):
    campaign, people = set_up(database, limited(BY_TAG, per_day=5), 12)
    for person in people:  # one statement each: the queue has their order
        tag(database, [person])
    assert look(database, chunk_size=3) == {"enrolled": 5}
    assert inside(database, campaign) == sorted(people[:5])
    assert look(database) == {}
    assert pending_entries(database, NOW).campaigns == []
    assert open_incidents(database) == []
    assert look(database, NOW + DAY) == {"enrolled": 5}
    assert look(database, NOW + 2 * DAY) == {"enrolled": 2}
    assert inside(database, campaign) == sorted(people)


def test_a_schedule_goes_on_where_the_limit_of_the_day_stopped_it(database):
    flow = entered_by(LETTER, trigger="schedule", cron="0 12 1 * *", timezone="UTC")
    campaign, people = set_up(database, limited(flow, per_day=5), 12)
    noon = (NOW + timedelta(days=32)).replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    assert look(database, noon)["enrolled"] == 5
    assert look(database, noon) == {}
    assert look(database, noon + DAY)["enrolled"] == 5
    assert look(database, noon + 2 * DAY)["enrolled"] == 2
    assert inside(database, campaign) == sorted(people)


def test_a_trigger_leaves_out_what_is_over_max_people(database):
    _, people = set_up(database, limited(BY_TAG, max_people=7), 12)
    tag(database, people)
    assert look(database) == {"enrolled": 7, "over_max_people": 5}
    assert pending_entries(database, NOW).campaigns == []


def test_more_contacts_of_other_workspaces_count_for_nothing(database):
    campaign, people = set_up(database, limited(LETTER, max_people=2), 3)
    with database.transaction() as connection:
        contacts(connection, campaign.workspace_id, 1, prefix="other")
    assert enroll(database, "Welcome", Contacts(people), now=NOW).enrolled == 2


def test_a_schedule_stops_at_the_agreed_size_and_goes_on_where_it_stopped(database):
    flow = entered_by(LETTER, trigger="schedule", cron="0 12 1 * *", timezone="UTC")
    campaign, people = set_up(database, flow, 12)
    set_workspace_guard(database, None, 8, now=NOW)
    noon = (NOW + timedelta(days=32)).replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    assert look(database, noon, chunk_size=5) == {"enrolled": 5}
    assert len(open_incidents(database, noon)) == 1
    assert pending_entries(database, noon).campaigns == []
    confirm_entries(database, "Welcome", 12, now=noon)
    assert look(database, noon, chunk_size=5) == {"enrolled": 7}
    assert inside(database, campaign) == sorted(people)


def test_a_trigger_leaves_out_the_holdout(database):
    campaign, people = set_up(database, BY_TAG, 60)
    set_holdout(database, None, 50, now=NOW)
    tag(database, people)
    out = [each for each in people if Holdout("holdout", threshold(50)).has(each)]
    assert look(database) == {"enrolled": 60 - len(out), "holdout": len(out)}
    assert inside(database, campaign) == sorted(set(people) - set(out))
