"""Jobs that an operator starts: their forms show every field, and refuse a launch in a sentence."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.jobs.campaign_jobs import (
    ArchiveForm,
    EnrollForm,
    PauseForm,
    ResumeForm,
)
from drip_pipeline.orchestration.jobs.delivery_jobs import ResetForm, SettleForm
from drip_pipeline.orchestration.jobs.job_form import InvalidForm, JobForm
from drip_pipeline.orchestration.jobs.person_jobs import ExplainForm
from tests.engine.factories import NOW, a_published_campaign, contacts
from tests.engine.graphs import email, end, graph, trigger
from tests.orchestration.running import due_enrollments, failures, filled_in, run_minute, value

FORMS = sorted(
    job.name
    for job in build_definitions().get_repository_def().get_all_jobs()
    if job.config_mapping is not None
)
FLOW = graph(trigger("mail"), email("mail", default="end"), end())


def launch(instance: dg.DagsterInstance, job: str, config: Any) -> dg.ExecuteInProcessResult:
    definition = build_definitions().resolve_job_def(job)
    run_config = filled_in(config, NOW) if isinstance(config, JobForm) else config
    return definition.execute_in_process(
        run_config=run_config, instance=instance, raise_on_error=False
    )


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    assert result.success, failures(result)
    (output,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    return {key: entry.value for key, entry in output.step_output_data.metadata.items()}


def actions(database: Database) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT action, source, object_name, reason FROM operator_actions ORDER BY occurred_at,"
            " action"
        ).fetchall()


def test_the_jobs_of_an_operator_have_forms():
    assert FORMS == [
        "archive_campaign", "audit_ab_tests", "compare_campaign_versions", "declare_winner",
        "enroll_contacts", "explain_contact", "list_campaign_versions", "migrate_enrollments",
        "pause_campaign", "requeue_failed", "reset_channel", "resume_campaign",
        "roll_back_campaign", "settle_unknown_messages", "snapshot_campaign",
    ]  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_form_shows_every_field_with_a_description_and_changes_nothing_unasked(name):
    job = build_definitions().resolve_job_def(name)
    assert job.config_mapping is not None
    schema: Any = job.config_mapping.config_schema
    fields = schema.as_field().config_type.fields
    for field in fields.values():
        assert field.description
        # The launchpad's first text has the fields that have a default.
        assert field.default_provided
    asked = {"roll_back_campaign", "migrate_enrollments", "enroll_contacts"}
    if name in {*asked, "settle_unknown_messages"}:
        assert fields["dry_run"].default_value is True


@pytest.mark.parametrize("name", FORMS)
def test_an_empty_form_starts_no_run(name, instance):
    with pytest.raises(InvalidForm, match=r"^Not started: ") as refused:
        launch(instance, name, {})
    assert "\n" not in str(refused.value)
    assert instance.get_runs_count() == 0


@pytest.mark.parametrize(
    ("job", "config", "sentence"),
    [
        ("pause_campaign", {"campaign": "  "}, "`campaign` must not be empty"),
        ("requeue_failed", {"batch": "7"}, "`batch` is not an id, such as"),
        ("requeue_failed", {"since": "soon"}, "`since` is not an ISO 8601 time"),
        ("requeue_failed", {"node": "mail"}, "give `campaign`, `batch` or `since`"),
        ("enroll_contacts", {"campaign": "A", "tag": "x", "everybody": True}, "exactly one of"),
        ("enroll_contacts", {"campaign": "A", "where": "{"}, "where is not JSON"),
        ("enroll_contacts", {"campaign": "A", "where": '{"op": "x"}'}, "unknown key where.op"),
        ("enroll_contacts", {"campaign": "A", "tag": "a@example.com"}, "has an email address"),
        ("roll_back_campaign", {"campaign": "A"}, "`version` must be greater than or equal to 1"),
        ("settle_unknown_messages", {}, "give `campaign`, `channel` or both"),
        ("explain_contact", {"contact": "ann@example.com"}, "is not a contact's id"),
        ("pause_campaign", {"campaign": "A", "now": "x"}, "`now` is not an ISO 8601 time"),
    ],
)
def test_a_wrong_value_is_named(job, config, sentence, instance):
    with pytest.raises(InvalidForm) as refused:
        launch(instance, job, config)
    assert sentence in str(refused.value)


def test_a_campaign_is_paused_resumed_and_archived(engine_database, instance):
    due_enrollments(engine_database, 3)
    pause = PauseForm(campaign="Welcome", reason="wrong price")
    assert shown(launch(instance, "pause_campaign", pause))["status"] == "paused"
    again = shown(launch(instance, "pause_campaign", pause))
    assert again["changed"] == "no, it was so before"
    resumed = shown(launch(instance, "resume_campaign", ResumeForm(campaign="Welcome")))
    assert (resumed["status"], resumed["enrollments"]) == ("active", 3)
    other_name = ArchiveForm(campaign="Welcome", confirm_name="welcome")
    refused = launch(instance, "archive_campaign", other_name)
    (sentence, more), *_ = failures(refused).values()
    assert sentence == "archiving failed: `confirm_name` is not the name of campaign 'Welcome'"
    assert more["what_to_do"].endswith("Set confirm_name: Welcome")
    archived = ArchiveForm(campaign="Welcome", confirm_name="Welcome", reason="over")
    assert shown(launch(instance, "archive_campaign", archived))["status"] == "archived"
    assert actions(engine_database) == [
        ("archive", "dagster", "Welcome", "over"),
        ("pause", "dagster", "Welcome", "wrong price"),
        ("resume", "dagster", "Welcome", None),
    ]


def test_contacts_are_counted_first_and_enrolled_when_asked(engine_database, instance):
    with engine_database.transaction() as connection:
        campaign = a_published_campaign(connection, FLOW, name="Tips")
        contacts(connection, campaign.workspace_id, 5)
    where = json.dumps({"type": "field", "field": "email", "operator": "is not empty"})
    counted = shown(launch(instance, "enroll_contacts", EnrollForm(campaign="Tips", where=where)))
    assert counted["would_be_enrolled"] == 5
    assert counted["next"] == "Nobody was enrolled. Set dry_run: false to enroll them."
    enrolled = "SELECT count(*) FROM campaign_enrollments"
    assert value(engine_database, enrolled) == 0
    form = EnrollForm(campaign="Tips", everybody=True, dry_run=False, reason="launch")
    assert shown(launch(instance, "enroll_contacts", form))["enrolled"] == 5
    assert shown(launch(instance, "enroll_contacts", form))["already_enrolled"] == 5
    assert value(engine_database, enrolled) == 5


def test_messages_of_unknown_outcome_are_counted_first_and_settled_when_asked(
    engine_database, instance, monkeypatch
):
    due_enrollments(engine_database, 4)
    monkeypatch.setenv("DRIP_DELIVERY", "send")
    monkeypatch.setenv("DRIP_SMTP_URL", "smtp://127.0.0.1:1")
    run_minute(instance)
    with engine_database.transaction() as connection:
        connection.execute("UPDATE campaign_deliveries SET status = 'unknown', due_at = NULL")
    form = SettleForm(campaign="Welcome")
    assert (
        shown(launch(instance, "settle_unknown_messages", form))["messages_of_unknown_outcome"] == 4
    )
    unknown = "SELECT count(*) FROM campaign_deliveries WHERE status = 'unknown'"
    assert value(engine_database, unknown) == 4
    form = SettleForm(channel="email", outcome="not-sent", dry_run=False, reason="not in the log")
    assert shown(launch(instance, "settle_unknown_messages", form))["messages"] == 4
    assert value(engine_database, unknown) == 0


def test_a_transport_is_reset_by_name(engine_database, instance):
    refused = launch(instance, "reset_channel", ResetForm(transport="email:nothing"))
    (sentence, more), *_ = failures(refused).values()
    assert sentence == "resetting a transport failed: no transport 'email:nothing'"
    assert more["what_to_do"] == "`drip channels list` lists them."
    with engine_database.transaction() as connection:
        connection.execute(
            "INSERT INTO channel_flow (transport, channel, refilled_at, open_until, updated_at)"
            " VALUES ('email:smtp', 'email', %s, %s, %s)",
            [NOW, NOW, NOW],
        )
    form = ResetForm(transport="email:smtp", reason="the relay is back")
    assert shown(launch(instance, "reset_channel", form))["state"] == "enabled"
    assert actions(engine_database) == [
        ("reset_transport", "dagster", "email:smtp", "the relay is back")
    ]


def test_a_contact_is_explained_without_its_personal_data(engine_database, instance):
    due_enrollments(engine_database, 2)
    canary = {"plan": "canary-in-a-custom-field"}
    contact_id = value(engine_database, "SELECT min(id::text) FROM contacts")
    email = value(engine_database, f"SELECT email FROM contacts WHERE id = '{contact_id}'")
    with engine_database.transaction() as connection:
        connection.execute(
            "UPDATE contacts SET custom_fields = %s, name = 'Zenobia' WHERE id = %s",
            [canary, contact_id],
        )
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, contact_id, address, reason,"
            " created_at) SELECT workspace_id, id, email, 'bounced', %s FROM contacts"
            " WHERE id = %s",
            [NOW, contact_id],
        )
    result = launch(instance, "explain_contact", ExplainForm(contact=contact_id.upper()))
    metadata = shown(result)
    assert metadata["answer"].startswith("Is due in 'Welcome' at 'start' since ")
    assert metadata["contact"] == contact_id
    assert "plan (masked)" in metadata["fields"]
    logged = " ".join(
        str(entry.event_log_entry.to_json()) if hasattr(entry, "event_log_entry") else str(entry)
        for entry in instance.all_logs(result.run_id)
    )
    assert contact_id in logged
    for secret in (email, "Zenobia", "canary-in-a-custom-field"):
        assert secret not in logged
