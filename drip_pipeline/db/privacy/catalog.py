"""What each table holds of persons, column by column, and what an erasure does with it.

A test compares this list with the schema: a new table, or a new column that could hold personal
data (text, JSON, binary, addresses of the network, ids of contacts), must be listed here, and so be
erased and exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Link = Literal["contact", "enrollment", "message", "address", "object", "erasure"]
"""By what the rows of a person are found: the id of its contact, enrollments or messages, its
addresses, or its contact as the object of an operation."""

Fate = Literal["deleted", "stripped", "searched", "kept"]
"""Of the rows of a person: deleted; rewritten, with a random id in place of the contact's; searched
for what identifies the person. `kept`: the table holds nothing of persons."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a table holds of persons.

    `links`: columns by which the rows of a person are found, by kind. `personal`: columns that are
    emptied, or replaced. `searched`: columns whose text is searched; `key` identifies their rows.
    `other`: columns that hold no personal data: names, states and codes of campaigns and the
    engine. `is_exported` is False for what is stored twice, or only while it is being processed.
    """

    fate: Fate
    links: Mapping[str, Link]
    personal: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    is_exported: bool = True


def _table(
    fate: Fate,
    *,
    links: Mapping[str, Link] | None = None,
    personal: str = "",
    searched: str = "",
    other: str = "",
    is_exported: bool = True,
) -> Table:
    return Table(
        fate,
        links or {},
        tuple(personal.split()),
        tuple(searched.split()),
        tuple(other.split()),
        is_exported,
    )


def _kept(other: str = "") -> Table:
    return _table("kept", other=other, is_exported=False)


TABLES: Final[Mapping[str, Table]] = {
    "campaign_ab_decisions": _kept("split_node_id outcome winner_variant decided_by reason"),
    "campaign_ab_evaluations": _kept(
        "state reason leader counts verdict counts_hash config_hash engine_version run_id"
    ),
    "campaign_ab_test_changes": _kept(),
    "campaign_ab_test_results": _kept("variant_group split_node_id"),
    "campaign_ab_tests": _kept(
        "split_node_id config config_hash status state winner_variant srm_cleared_by"
        " srm_cleared_reason inner_nodes"
    ),
    "campaign_archived_entries": _kept(),
    "campaign_archives": _kept("kind table_name file"),
    # Files of campaigns, sent to all.
    "campaign_attachments": _kept("digest content"),
    "campaign_batches": _table(
        "searched",
        searched="error",
        other="kind outcome sizes campaigns run_id step_key",
        is_exported=False,
    ),
    "campaign_broadcasts": _table(
        "searched",
        searched="details last_error",
        other="node_id status certainty transport provider_message_id error_code",
        is_exported=False,
    ),
    "campaign_channels": _kept("channel_slug channel_name channel_category platform specs"),
    "campaign_claim_watermarks": _kept(),
    "campaign_daily_metrics": _kept("node_id channel variant_group skipped"),
    "campaign_data_faults": _table(
        "deleted", links={"contact_id": "contact"}, personal="contact_id reason", other="node_id"
    ),
    "campaign_deleted_enrollments": _table(
        "stripped", links={"contact_id": "contact"}, personal="contact_id"
    ),
    "campaign_deliveries": _table(
        "stripped",
        links={"contact_id": "contact"},
        personal="contact_id last_error provider_message_id",
        other="node_id channel split_node_id variant_group status error_code transport held_by",
    ),
    "campaign_edits": _kept("content_hash kind problems changes"),
    "campaign_enrollments": _table(
        "stripped",
        links={"contact_id": "contact"},
        personal="contact_id contact_email contact_name interaction_history personalization_data"
        " entry_key",
        other="status",
    ),
    "campaign_entry_queue": _table(
        "deleted", links={"contact_id": "contact"}, personal="contact_id"
    ),
    "campaign_entry_triggers": _kept("kind tag event_type listens_to opens_after"),
    "campaign_event_types": _kept("event_type channel description"),
    "campaign_events": _table(
        "stripped",
        links={"enrollment_id": "enrollment"},
        personal="contact_id event_data user_agent ip_address device_type location_data",
        other="event_type event_source node_id variant_group",
    ),
    "campaign_guards": _kept("waits_for paused_by"),
    "campaign_incident_notices": _table(
        "searched", searched="last_error", other="route reports", is_exported=False
    ),
    "campaign_incidents": _table(
        "searched",
        searched="incident_key sentence what_to_do details",
        other="kind",
        is_exported=False,
    ),
    "campaign_message_outcomes": _table(
        "stripped",
        links={"enrollment_id": "enrollment"},
        personal="contact_id",
        other="node_id channel split_node_id variant_group certainty",
    ),
    "campaign_retention_watermarks": _kept("kind"),
    "campaign_split_assignments": _table(
        "stripped",
        links={"enrollment_id": "enrollment"},
        personal="contact_id",
        other="split_node_id variant_group",
    ),
    "campaign_steps": _kept(
        "step_name subject_line preheader_text email_body email_body_html cta conditional_logic"
        " metrics node_id node_type node_position channel_config variant_group"
        " conditional_branches wait_config action_config node_config"
    ),
    "campaign_suppressions": _table(
        "deleted",
        links={"contact_id": "contact", "address": "address"},
        personal="contact_id address note",
        other="channel reason source",
    ),
    "campaign_versions": _kept(
        "exit_events campaign_snapshot steps_snapshot canvas_snapshot change_description"
        " change_type"
        " compiled_graph definition_hash graph_hash definition waits_for goal_event_type"
        " content_hash topic"
    ),
    "campaign_wait_listeners": _kept("kind name opens_after"),
    "campaign_wait_queue": _table(
        "deleted", links={"contact_id": "contact"}, personal="contact_id"
    ),
    "campaign_workflow_states": _table(
        "stripped",
        links={"enrollment_id": "enrollment"},
        personal="contact_id workflow_variables last_error",
        # The path has ids of nodes only.
        other="current_node_id workflow_status execution_path wait_for_event assigned_variant"
        " resume_port exit_reason",
    ),
    "channel_flow": _table(
        "searched",
        searched="last_error",
        other="transport channel on_unknown",
        is_exported=False,
    ),
    "contact_cap_locks": _table(
        "deleted", links={"contact_id": "contact"}, personal="contact_id", is_exported=False
    ),
    "contact_erasure_values": _table(
        "deleted",
        links={"contact_id": "contact"},
        personal="contact_id email phone name identifiers",
        is_exported=False,
    ),
    "contact_erasures": _kept(),
    "contact_events": _table(
        "stripped",
        links={"contact_id": "contact"},
        personal="contact_id event_data",
        other="event_type currency",
    ),
    "contact_sends": _table(
        "deleted", links={"contact_id": "contact"}, personal="contact_id", other="channel"
    ),
    "contacts": _table(
        "deleted",
        links={"id": "contact"},
        personal="name email company phone job_title status tags custom_fields",
    ),
    "demo_workspaces": _kept(),
    "drip_campaigns": _kept(
        "name description sequence_type goal status tags metrics campaign_type canvas_data"
        " ab_test_config goal_metric drip_settings"
    ),
    "drip_schema_functions": _kept("name checksum"),
    "drip_schema_migrations": _kept("name checksum"),
    "drip_schema_objects": _kept("kind name"),
    "erased_suppressions": _kept("key_id address_hash channel topic reason"),
    "event_inbox": _table("searched", searched="payload context", other="provider status reason"),
    # Names and types of properties, no values.
    "event_names": _kept("event_type properties"),
    "ingested_event_keys": _kept(),
    "landed_files": _table(
        "searched",
        searched="error",
        other="path provider outcome rejected run_id",
        is_exported=False,
    ),
    "operator_actions": _table(
        "stripped",
        links={"object_id": "object"},
        personal="object_id",
        searched="reason details object_name",
        other="actor source action object_kind",
    ),
    "receiver_counts": _kept("endpoint outcome"),
    "recorded_messages": _table(
        "deleted",
        links={"enrollment_id": "enrollment"},
        personal="recipient subject preheader body body_html payload",
        other="node_id channel",
    ),
    "rejected_cells": _table(
        "deleted",
        links={"address": "address"},
        personal="address",
        searched="cell",
        other="source column_name reason",
    ),
    "rejected_contacts": _kept("source reason"),
    "rejected_events": _table("searched", searched="raw reason", other="source provider"),
    "stale_metric_days": _kept(),
    "topic_consents": _table(
        "deleted",
        links={"contact_id": "contact", "address": "address"},
        personal="address contact_id",
        other="topic status decided_by",
    ),
    "trigger_calls": _table(
        "searched", searched="call_key answer", other="body_hash", is_exported=False
    ),
    "workspace_rules": _kept("kind name config"),
    "workspace_topics": _kept("name title description"),
    "workspaces": _kept("name time_zone default_region"),
}
"""Every table of the engine."""

DELETED_IF_FOUND: Final = ("rejected_events", "rejected_cells")
"""Tables whose rows are deleted if their text names an erased person: each is about one person."""
PAYLOADS: Final = "event_inbox"
"""The table whose rows may be about several persons."""
