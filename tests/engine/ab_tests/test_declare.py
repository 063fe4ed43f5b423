"""A decision: written to all tables at once, effective for later contacts, recorded once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.db.ab_tests import decisions as decisions_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.ab_tests.declare import declare
from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.ab_tests.results import campaign_results
from drip_pipeline.engine.ab_tests.results_json import as_json
from drip_pipeline.errors import NotAllowed
from tests.engine.ab_tests.split_contacts import SplitTest, a_split_test, people, step_of
from tests.engine.factories import NOW, contacts, enrolled, rows_of, run_until_idle

LATER = NOW + timedelta(hours=1)


def a_test_of_people(database: Database, **config: Any) -> SplitTest:
    """Create a test with contacts and no clear difference."""
    with database.transaction() as connection:
        test = a_split_test(connection, {"a": 40, "b": 40, "holdout": 20}, **config)
        people(connection, test, "a", 400, opened=100)
        people(connection, test, "b", 400, opened=104)
        people(connection, test, "holdout", 200)
    return test


def by_hand(database: Database, test: SplitTest, variant: str = "a", **told: Any) -> Any:
    given: dict[str, Any] = {"reason": "it reads better", "decided_by": "Ada", "now": LATER} | told
    return declare(database, test.campaign.campaign_id, variant=variant, **given)


def campaign_row(connection: Connection, test: SplitTest) -> dict[str, Any]:
    found = connection.execute(
        "SELECT to_jsonb(c) FROM drip_campaigns c WHERE c.id = %s", [test.campaign.campaign_id]
    ).fetchone()
    assert found is not None
    row: dict[str, Any] = found[0]
    return row


def variants_of(connection: Connection, enrollment_ids: list[UUID]) -> dict[str, int]:
    found = connection.execute(
        "SELECT variant_group, count(*) FROM campaign_split_assignments "
        "WHERE enrollment_id = ANY(%s) GROUP BY 1 ORDER BY 1",
        [enrollment_ids],
    ).fetchall()
    return dict(found)


def test_a_winner_is_written_to_every_table_that_shows_it(database):
    test = a_test_of_people(database)
    decision = by_hand(database, test, "Variant a")  # by its name
    assert (decision.winner_variant, decision.decided_by, decision.is_by_hand) == ("a", "Ada", True)
    with database.transaction() as connection:
        campaign = campaign_row(connection, test)
        assert campaign["ab_test_winner_id"] == step_of(test.campaign, "mail_a")
        assert campaign["ab_test_completed_at"] is not None
        # The history has an entry more; what newcomers enter is the version as before.
        assert (campaign["version"], campaign["published_version"]) == (2, 1)
        assert connection.execute(
            "SELECT version, change_type, campaign_snapshot ->> 'ab_test_winner_id' "
            "FROM campaign_versions WHERE compiled_graph IS NULL"
        ).fetchall() == [(2, "ab_test_completed", step_of(test.campaign, "mail_a"))]
        assert connection.execute(
            "SELECT status, state, winner_variant, ended_at FROM campaign_ab_tests"
        ).fetchall() == [("decided", "decided_winner", "a", LATER)]
        assert connection.execute(
            "SELECT variant_group, is_winner, winner_declared_at FROM campaign_ab_test_results "
            "ORDER BY 1"
        ).fetchall() == [("a", True, LATER), ("b", False, None), ("holdout", False, None)]
        assert connection.execute(
            "SELECT d.outcome, d.reason, e.id = d.evaluation_id, e.state "
            "FROM campaign_ab_decisions d JOIN campaign_ab_evaluations e ON e.id = d.evaluation_id"
        ).fetchall() == [("decided_winner", "it reads better", True, "collecting")]
        assert connection.execute(
            "SELECT event_source, node_id, variant_group, campaign_version, "
            "event_data ->> 'decided_by', event_data ->> 'evaluation_id' "
            "FROM campaign_events WHERE event_type = 'ab_test_decided'"
        ).fetchall() == [("manual", "s", "a", 1, "Ada", str(decision.evaluation_id))]


def test_later_contacts_are_routed_to_the_winner_and_the_holdout_stays(database):
    with database.transaction() as connection:
        test = a_split_test(connection, {"a": 40, "b": 40, "holdout": 20})
        early = contacts(connection, test.campaign.workspace_id, 200, prefix="early")
        first = enrolled(connection, test.campaign, early)
    run_until_idle(database)
    with database.transaction() as connection:
        before = variants_of(connection, first)
        late = contacts(connection, test.campaign.workspace_id, 300, prefix="late")
        second = enrolled(connection, test.campaign, late, at=LATER)
    by_hand(database, test, "b")
    run_until_idle(database, LATER)
    with database.transaction() as connection:
        assert variants_of(connection, first) == before
        after = variants_of(connection, second)
        routed = connection.execute(
            "SELECT count(*) FROM campaign_split_assignments WHERE NOT is_randomized"
        ).fetchone()
    assert set(after) == {"b", "holdout"}
    assert after["holdout"] > 30
    assert routed == (after["b"],)
    # They are not part of what was compared.
    judge(database, now=LATER + timedelta(hours=1))
    found = as_json(
        campaign_results(database, test.campaign.campaign_id, now=LATER + timedelta(hours=1))
    )
    totals = {v["variant_group"]: v["total_assigned"] for v in found["variants"]}
    assert (totals["a"], totals["b"]) == (before["a"], before["b"])


@pytest.mark.parametrize("comes_again", ["re-entry", "loop"])
def test_after_a_decision_everybody_who_comes_again_gets_the_winner(database, comes_again):
    with database.transaction() as connection:
        test = a_split_test(connection, {"a": 40, "b": 40, "holdout": 20})
        everybody = contacts(connection, test.campaign.workspace_id, 60)
        first = enrolled(connection, test.campaign, everybody)
    run_until_idle(database)
    with database.transaction() as connection:
        before = variants_of(connection, first)
    by_hand(database, test, "b")
    with database.transaction() as connection:
        if comes_again == "re-entry":
            enrolled(connection, test.campaign, everybody, at=LATER, entry_key="again")
        else:
            connection.execute(
                "UPDATE campaign_workflow_states SET workflow_status = 'running',"
                " current_node_id = 's', next_execution_at = %s, exit_reason = NULL,"
                " completed_at = NULL",
                [LATER],
            )
            connection.execute("UPDATE campaign_enrollments SET status = 'active'")
    run_until_idle(database, LATER)
    with database.transaction() as connection:
        later = connection.execute(
            "SELECT node_id, count(*) FROM campaign_message_outcomes"
            " WHERE sent_at >= %s GROUP BY node_id",
            [LATER],
        ).fetchall()
    assert later == [("mail_b", before["a"] + before["b"])]
    # What was compared stays what it was.
    results = as_json(campaign_results(database, test.campaign.campaign_id, now=LATER))
    assert {v["variant_group"]: v["total_assigned"] for v in results["variants"]} == before


def test_a_winner_also_gets_contacts_that_a_field_assigns(database):
    with database.transaction() as connection:
        test = a_split_test(connection, {"a": 40, "b": 40, "holdout": 20})
        connection.execute(
            "UPDATE campaign_versions SET compiled_graph = jsonb_set(compiled_graph,"
            " (SELECT ARRAY['nodes', (n.place - 1)::text, 'config', 'from_field']"
            "  FROM jsonb_array_elements(compiled_graph -> 'nodes')"
            "  WITH ORDINALITY AS n (node, place)"
            "  WHERE n.node ->> 'node_id' = 's'), '\"arm\"') WHERE compiled_graph IS NOT NULL"
        )
        everybody = contacts(connection, test.campaign.workspace_id, 4)
        for contact, arm in zip(everybody, ("a", "b", "holdout", "none"), strict=True):
            connection.execute(
                "UPDATE contacts SET custom_fields = jsonb_build_object('arm', %s::text)"
                " WHERE id = %s",
                [arm, contact],
            )
        enrollments = enrolled(connection, test.campaign, everybody, at=LATER)
    by_hand(database, test, "b")
    run_until_idle(database, LATER)
    with database.transaction() as connection:
        assert variants_of(connection, enrollments) == {"b": 3, "holdout": 1}


def test_the_first_decision_stands_and_the_second_is_refused_with_it(database):
    test = a_test_of_people(database)
    by_hand(database, test, "a")
    with database.transaction() as connection:
        before = [rows_of(connection, table) for table in TOUCHED]
    with pytest.raises(NotAllowed, match=r"decided before: a won, decided by Ada at 2026-03-02T10"):
        by_hand(database, test, "b", decided_by="Bob", now=LATER + timedelta(hours=1))
    judge(database, now=LATER + timedelta(hours=2))
    with database.transaction() as connection:
        assert [rows_of(connection, table) for table in TOUCHED] == before


TOUCHED = (
    "campaign_ab_decisions",
    "campaign_ab_tests",
    "campaign_ab_test_results",
    "drip_campaigns",
    "campaign_versions",
    "campaign_events",
)


def test_one_of_many_concurrent_decisions_is_recorded(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 1_000, opened=200)
        people(connection, test, "b", 1_000, opened=300)

    def act(number: int) -> str:
        try:
            if number % 2:
                by_hand(database, test, "a", decided_by=f"person {number}")
                return "declared"
            return "decided" if judge(database, now=LATER).decisions else "came second"
        except NotAllowed as error:
            return error.message

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(act, range(6)))
    assert outcomes.count("declared") + outcomes.count("decided") == 1
    refused = [told for told in outcomes if told not in ("declared", "decided", "came second")]
    assert all("was decided before" in told for told in refused)
    with database.transaction() as connection:
        assert len(rows_of(connection, "campaign_ab_decisions")) == 1
        assert campaign_row(connection, test)["version"] == 2
        winners = connection.execute(
            "SELECT r.variant_group = t.winner_variant FROM campaign_ab_test_results r "
            "JOIN campaign_ab_tests t ON t.id = r.ab_test_id WHERE r.is_winner"
        ).fetchall()
    assert winners == [(True,)]


def test_a_decision_that_fails_halfway_is_rolled_back(database, monkeypatch):
    test = a_test_of_people(database)
    judge(database, now=LATER)
    with database.transaction() as connection:
        before = [rows_of(connection, table) for table in TOUCHED]

    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(decisions_db, "log_decision", breaks)
        with pytest.raises(RuntimeError, match="the power went"):
            by_hand(database, test)
    with database.transaction() as connection:
        assert [rows_of(connection, table) for table in TOUCHED] == before
    assert by_hand(database, test).winner_variant == "a"


@pytest.mark.parametrize(
    ("variant", "told", "complaint"),
    [
        ("holdout", {}, "is the holdout"),
        ("z", {}, "no running test of campaign 'Welcome' has a variant 'z'"),
        ("a", {"reason": "  "}, "without a reason"),
        ("a", {"split_node_id": "elsewhere"}, "no running A/B test at elsewhere"),
    ],
)
def test_what_cannot_be_declared_is_refused_with_the_reason(database, variant, told, complaint):
    test = a_test_of_people(database)
    with pytest.raises(NotAllowed, match=complaint):
        by_hand(database, test, variant, **told)
    with database.transaction() as connection:
        assert rows_of(connection, "campaign_ab_decisions") == []


def test_an_archived_campaign_cannot_be_decided(database):
    test = a_test_of_people(database)
    with database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET status = 'archived'")
    with pytest.raises(NotAllowed, match="archived"):
        by_hand(database, test)
    assert judge(database, now=LATER).evaluated == []


def test_a_superseded_test_cannot_be_decided(database):
    test = a_test_of_people(database)
    judge(database, now=LATER)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_ab_tests "
            "SET status = 'superseded', state = 'superseded', ended_at = %s",
            [LATER],
        )
    with pytest.raises(NotAllowed, match="has no running A/B test"):
        by_hand(database, test)
    found = as_json(campaign_results(database, test.campaign.campaign_id, now=LATER))
    assert (found["state"], found["reason"], found["winner"]) == ("superseded",) * 2 + (None,)
    assert [v["total_sent"] for v in found["variants"]] == [400, 400, 0]


def test_two_tests_of_one_campaign_are_distinguished_by_their_split(database):
    test = a_test_of_people(database)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_ab_tests (workspace_id, campaign_id, split_node_id, test_number, "
            "config, config_hash, campaign_versions, started_at) SELECT workspace_id, campaign_id, "
            "'other', 1, config, config_hash, campaign_versions, started_at FROM campaign_ab_tests"
        )
    with pytest.raises(NotAllowed, match="several tests") as caught:
        by_hand(database, test)
    assert "other, s" in caught.value.hint or "s, other" in caught.value.hint
    assert by_hand(database, test, split_node_id="s").split_node_id == "s"
    assert by_hand(database, test, split_node_id="other").split_node_id == "other"


def test_a_deleted_step_is_not_written_as_the_winner(database):
    test = a_test_of_people(database)
    with database.transaction() as connection:
        connection.execute(
            "DELETE FROM campaign_steps WHERE id = %s", [step_of(test.campaign, "mail_a")]
        )
    by_hand(database, test)
    with database.transaction() as connection:
        assert campaign_row(connection, test)["ab_test_winner_id"] is None
