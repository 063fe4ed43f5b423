from __future__ import annotations

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.events.vocabulary import EVENT_TYPES
from drip_pipeline.errors import ConstraintViolated
from tests.conftest import own_database
from tests.db.schema.schema_text import Schema, read_schema

TIME = "timestamp with time zone"
SPECIFICATION: dict[str, dict[str, str]] = {
    "drip_campaigns": {
        "campaign_type": "text", "canvas_data": "jsonb", "ab_test_config": "jsonb",
        "ab_test_winner_id": "uuid", "ab_test_completed_at": TIME, "goal_metric": "text",
        "goal_target": "numeric(5,2)", "version": "integer", "parent_campaign_id": "uuid",
    },
    "campaign_steps": {
        "node_id": "text", "node_type": "text", "node_position": "jsonb", "channel_id": "uuid",
        "channel_config": "jsonb", "variant_group": "text",
        # INTEGER there; weights may be fractional.
        "variant_percentage": "numeric(7,4)",
        "parent_split_id": "uuid", "conditional_branches": "jsonb", "wait_config": "jsonb",
        "action_config": "jsonb",
    },
    "campaign_workflow_states": {
        "id": "uuid", "enrollment_id": "uuid", "campaign_id": "uuid", "contact_id": "uuid",
        "current_node_id": "text", "current_step_id": "uuid", "workflow_status": "text",
        "execution_path": "jsonb", "workflow_variables": "jsonb", "wait_until": TIME,
        "wait_for_event": "text", "retry_count": "integer", "max_retries": "integer",
        "assigned_variant": "text", "variant_assigned_at": TIME, "started_at": TIME,
        "last_executed_at": TIME, "next_execution_at": TIME, "completed_at": TIME,
    },
    "campaign_ab_test_results": {
        "id": "uuid", "campaign_id": "uuid", "variant_group": "text", "variant_step_id": "uuid",
        # INTEGER there; counts are bigint.
        "total_sent": "bigint", "total_delivered": "bigint", "total_opened": "bigint",
        "total_clicked": "bigint", "total_replied": "bigint", "total_converted": "bigint",
        "total_unsubscribed": "bigint", "total_bounced": "bigint",
        "delivery_rate": "numeric(5,2)", "open_rate": "numeric(5,2)", "click_rate": "numeric(5,2)",
        "reply_rate": "numeric(5,2)", "conversion_rate": "numeric(5,2)",
        "engagement_score": "numeric(5,2)", "confidence_level": "numeric(5,2)",
        "p_value": "numeric(10,8)", "is_statistically_significant": "boolean",
        "is_winner": "boolean", "test_started_at": TIME, "test_ended_at": TIME,
        "winner_declared_at": TIME,
    },
    "campaign_events": {
        "id": "uuid", "campaign_id": "uuid", "enrollment_id": "uuid", "contact_id": "uuid",
        "event_type": "text", "event_source": "text", "step_id": "uuid", "node_id": "text",
        "event_data": "jsonb", "user_agent": "text", "ip_address": "inet", "device_type": "text",
        "location_data": "jsonb", "created_at": TIME,
    },
    "campaign_versions": {
        "id": "uuid", "campaign_id": "uuid", "version": "integer", "campaign_snapshot": "jsonb",
        "steps_snapshot": "jsonb", "canvas_snapshot": "jsonb", "change_description": "text",
        "change_type": "text", "created_by": "uuid", "created_at": TIME,
    },
}  # fmt: skip
BASE = {
    "workspaces": {"id": "uuid", "org_id": "uuid", "name": "text"},
    "contacts": {
        "id": "uuid", "workspace_id": "uuid", "name": "text", "email": "text", "company": "text",
        "phone": "text", "job_title": "text", "ai_score": "integer", "status": "text",
        "tags": "text[]", "custom_fields": "jsonb", "last_interaction": TIME, "created_at": TIME,
        "updated_at": TIME,
    },
    "drip_campaigns": {
        "id": "uuid", "workspace_id": "uuid", "name": "text", "description": "text",
        "sequence_type": "text", "goal": "text", "status": "text", "total_steps": "integer",
        "is_template": "boolean", "tags": "text[]", "metrics": "jsonb", "created_at": TIME,
        "updated_at": TIME,
    },
    "campaign_steps": {
        "id": "uuid", "campaign_id": "uuid", "step_number": "integer", "step_name": "text",
        "day_delay": "integer", "subject_line": "text", "preheader_text": "text",
        "email_body": "text", "email_body_html": "text", "cta": "jsonb",
        "conditional_logic": "jsonb", "metrics": "jsonb", "created_at": TIME, "updated_at": TIME,
    },
    "campaign_enrollments": {
        "id": "uuid", "campaign_id": "uuid", "contact_id": "uuid", "contact_email": "text",
        "contact_name": "text", "current_step": "integer", "status": "text", "started_at": TIME,
        "last_email_sent_at": TIME, "next_email_scheduled_at": TIME, "completed_at": TIME,
        "interaction_history": "jsonb", "personalization_data": "jsonb", "created_at": TIME,
        "updated_at": TIME,
    },
    "campaign_channels": {
        "id": "uuid", "workspace_id": "uuid", "channel_slug": "text", "channel_name": "text",
        "channel_category": "text", "platform": "text", "is_active": "boolean", "specs": "jsonb",
    },
}  # fmt: skip
# What this project adds, and which of it holds people's data.
ADDED_WITH_PEOPLE = {
    "campaign_deliveries", "campaign_message_outcomes", "campaign_split_assignments",
    "campaign_ab_decisions", "campaign_daily_metrics", "campaign_suppressions", "contact_events",
    "recorded_messages", "rejected_contacts", "rejected_cells", "rejected_events",
}  # fmt: skip
ADDED = ADDED_WITH_PEOPLE | {"campaign_batches", "ingested_event_keys", "campaign_event_types"}

RATES = (
    "TABLE(variant_group text, open_rate numeric, click_rate numeric, conversion_rate numeric,"
    " engagement_score numeric, sample_size bigint)"
)


@pytest.fixture(scope="module")
def migrated(server_url, template):
    with own_database(server_url, template) as database:
        yield database


@pytest.fixture(scope="module")
def schema(migrated) -> Schema:
    with migrated.transaction() as connection:
        return read_schema(connection)


@pytest.mark.parametrize("wanted", [SPECIFICATION, BASE], ids=["specification", "base"])
def test_every_column_is_there_with_its_type(schema, wanted):
    for table, columns in wanted.items():
        there = {name: column.type for name, column in schema.tables[table].columns.items()}
        assert {name: there.get(name) for name in columns} == columns, table


def test_the_tables_that_this_project_adds_are_there(schema):
    assert schema.tables.keys() >= ADDED


def test_every_table_that_holds_people_names_their_workspace(schema):
    people = {name for name, table in schema.tables.items() if "contact_id" in table.columns}
    people.remove("contact_erasure_values")  # so that no platform shows its rows to a workspace
    missing = [
        name
        for name in people | ADDED_WITH_PEOPLE
        if "workspace_id" not in schema.tables[name].columns
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("table", "index", "wanted"),
    [
        (
            "campaign_workflow_states", "idx_workflow_states_next_execution",
            "(campaign_id, next_execution_at)",
        ),
        ("campaign_events", "idx_campaign_events_created", "(created_at)"),
        ("campaign_ab_test_results", "idx_ab_test_results_campaign", "(campaign_id)"),
        ("campaign_steps", "idx_campaign_steps_node_id", "(campaign_id, node_id)"),
    ],
)  # fmt: skip
def test_the_indexes_that_the_specification_names_are_there(schema, table, index, wanted):
    assert wanted in schema.tables[table].indexes[index]


def test_the_due_index_holds_only_states_that_can_become_due(schema):
    index = schema.tables["campaign_workflow_states"].indexes["idx_workflow_states_next_execution"]
    assert "(workflow_status = ANY (ARRAY['running'::text, 'waiting'::text]))" in index
    assert "(next_execution_at IS NOT NULL)" in index


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (
            "calculate_ab_test_metrics",
            "p_campaign_id uuid",
            RATES,
        ),
        ("get_next_workflow_executions", "batch_size integer", "SETOF campaign_workflow_states"),
        (
            "create_campaign_version_snapshot",
            "p_campaign_id uuid, p_description text DEFAULT NULL::text, p_change_type text",
            "uuid",
        ),
        ("create_workflow_state_on_enrollment", "", "trigger"),
    ],
)
def test_the_functions_that_the_specification_names_are_there(schema, function, arguments, result):
    signature = schema.functions[function]
    assert signature.startswith(f"{function}({arguments}")
    assert f" RETURNS {result} " in signature


@pytest.mark.parametrize(
    ("statement", "is_taken"),
    [
        ("UPDATE drip_campaigns SET campaign_type = 'branching'", True),
        ("UPDATE drip_campaigns SET campaign_type = 'cyclic'", False),
        ("UPDATE drip_campaigns SET goal_metric = 'reply_rate'", True),
        ("UPDATE drip_campaigns SET goal_metric = 'fun_rate'", False),
        ("UPDATE campaign_steps SET node_type = 'split'", True),
        ("UPDATE campaign_steps SET node_type = 'teleport'", False),
        ("UPDATE campaign_steps SET variant_percentage = 33.3333", True),
        ("UPDATE campaign_steps SET variant_percentage = 100.5", False),
        ("UPDATE campaign_steps SET subject_line = NULL, email_body = NULL", True),
        ("UPDATE campaign_workflow_states SET workflow_status = 'paused'", True),
        ("UPDATE campaign_workflow_states SET workflow_status = 'asleep'", False),
        ("UPDATE campaign_workflow_states SET workflow_status = 'completed'", False),
        (
            "UPDATE campaign_workflow_states SET completed_at = now(), workflow_status = 'failed'",
            True,
        ),
        (
            "UPDATE campaign_workflow_states SET workflow_status = 'exited', completed_at = now()",
            False,
        ),
        ("UPDATE campaign_workflow_states SET next_execution_at = NULL", False),
        ("UPDATE campaign_channels SET channel_category = 'sms'", True),
        ("UPDATE campaign_channels SET channel_category = 'webhook'", True),
        ("UPDATE campaign_channels SET channel_category = 'pigeon'", False),
        ("UPDATE campaign_versions SET change_type = 'rollback'", True),
        ("UPDATE campaign_versions SET change_type = 'undone'", False),
        ("INSERT INTO campaign_events (event_type) VALUES ('not_in_any_vocabulary')", True),
    ],
)  # fmt: skip
def test_illegal_states_are_refused_and_legal_ones_taken(migrated: Database, statement, is_taken):
    class Undo(Exception):
        pass

    try:
        with migrated.transaction() as connection:
            connection.execute(
                """
                INSERT INTO workspaces (id, name) VALUES (md5('w')::uuid, 'W');
                INSERT INTO contacts (id, workspace_id) VALUES (md5('k')::uuid, md5('w')::uuid);
                INSERT INTO drip_campaigns (id, workspace_id, name)
                VALUES (md5('c')::uuid, md5('w')::uuid, 'C');
                INSERT INTO campaign_steps (campaign_id, step_number) VALUES (md5('c')::uuid, 1);
                INSERT INTO campaign_enrollments (id, campaign_id, contact_id)
                VALUES (md5('e')::uuid, md5('c')::uuid, md5('k')::uuid);
                INSERT INTO campaign_workflow_states (enrollment_id, campaign_id, contact_id)
                VALUES (md5('e')::uuid, md5('c')::uuid, md5('k')::uuid);
                INSERT INTO campaign_channels (workspace_id, channel_slug, channel_name,
                    channel_category)
                VALUES (md5('w')::uuid, 'mail', 'Mail', 'email');
                SELECT create_campaign_version_snapshot(md5('c')::uuid, 'first', 'published');
                """
            )
            connection.execute(statement)
            raise Undo
    except Undo:
        assert is_taken
    except ConstraintViolated:
        assert not is_taken


def test_event_types_stand_in_a_table_and_not_in_a_check(migrated, schema):
    log = schema.tables["campaign_events"]
    assert not [text for text in log.constraints.values() if "event_type" in text]
    with migrated.transaction() as connection:
        stored = connection.execute("SELECT event_type FROM campaign_event_types").fetchall()
    assert {name for (name,) in stored} == EVENT_TYPES.keys()


def test_the_log_and_the_states_have_no_foreign_key_that_a_step_would_check_again(schema):
    def keys(table: str) -> list[str]:
        texts = schema.tables[table].constraints.values()
        return [text for text in texts if text.startswith("FOREIGN KEY")]

    assert keys("campaign_events") == []
    assert keys("campaign_workflow_states") == [
        "FOREIGN KEY (id) REFERENCES campaign_enrollments(id) ON DELETE CASCADE"
    ]
