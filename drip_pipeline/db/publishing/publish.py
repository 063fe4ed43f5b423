"""Campaigns, steps, versions and A/B tests, as publishing reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.conditions.event_matcher import GoalEvent


class WorkspaceName(NamedTuple):
    """A workspace."""

    id: UUID
    name: str


class LockedForPublishing(NamedTuple):
    """A campaign with its row locked."""

    id: UUID
    status: str


class PublishedHash(NamedTuple):
    """The published version of a campaign, the hash of its definition, and whether its goal ends
    runs: in versions of earlier releases it does not."""

    definition_hash: str | None
    version: int
    goal_ends_runs: bool


class StoredCampaign(NamedTuple):
    """The columns of drip_campaigns that a campaign file is read from; objects are parsed JSON."""

    id: UUID
    workspace_id: UUID
    status: str
    name: str
    description: str | None
    campaign_type: str | None
    sequence_type: str
    goal: str | None
    goal_metric: str | None
    goal_target: Decimal | None
    tags: list[str] | None
    ab_test_config: object
    canvas_data: object
    drip_settings: object


class StoredStep(NamedTuple):
    """The columns of campaign_steps that a campaign file is read from; objects are parsed JSON."""

    id: UUID
    step_number: int | None
    step_name: str | None
    day_delay: int | None
    subject_line: str | None
    preheader_text: str | None
    email_body: str | None
    email_body_html: str | None
    cta: object
    conditional_logic: object
    node_id: str | None
    node_type: str | None
    node_position: object
    channel_id: UUID | None
    channel_config: object
    variant_group: str | None
    variant_percentage: Decimal | None
    parent_split_id: UUID | None
    conditional_branches: object
    wait_config: object
    action_config: object
    node_config: object


class WrittenStep(NamedTuple):
    """A step that was inserted or updated."""

    id: UUID
    node_id: str


class CampaignTestRow(NamedTuple):
    """An A/B test of a campaign."""

    id: UUID
    split_node_id: str
    status: str
    config_hash: str


class DatesInField(NamedTuple):
    """How many values a custom field has, how many are dates, and the JSON types of the others."""

    name: str
    filled: int
    dates: int
    types: Sequence[str]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be published; `graph` and `definition` are JSON objects."""

    graph: Mapping[str, object]
    definition: Mapping[str, object]
    definition_hash: str
    graph_hash: str
    waits_for: Sequence[str]
    goal_event: GoalEvent | None
    goal_ends_runs: bool = False
    reads_event: bool = False
    topic: str | None = None
    exit_events: Sequence[str] = ()
    exits_follow_contacts: bool = False


def workspaces(connection: Connection, name: str | None) -> list[WorkspaceName]:
    """Return the workspaces of this name; without a name, all but those of the demo."""
    return queries.records(connection, "workspaces_named", WorkspaceName, name=name)


def insert_workspace(connection: Connection, name: str) -> UUID:
    """Insert a workspace and return its id."""
    workspace_id: UUID = queries.scalar(connection, "insert_workspace", name=name)
    return workspace_id


def lock_campaigns(
    connection: Connection, workspace_id: UUID, *, name: str, campaign_id: UUID | None
) -> list[LockedForPublishing]:
    """Lock a campaign name, then the campaigns of that name (or the one of this id)."""
    queries.run(connection, "lock_campaign_name", workspace_id=str(workspace_id), name=name)
    return queries.records(
        connection,
        "lock_campaign",
        LockedForPublishing,
        workspace_id=workspace_id,
        name=name,
        campaign_id=campaign_id,
    )


def insert_campaign(
    connection: Connection, workspace_id: UUID, *, name: str, sequence_type: str, now: datetime
) -> UUID:
    """Insert a campaign with the status `draft` and without steps; return its id."""
    campaign_id: UUID = queries.scalar(
        connection,
        "insert_campaign",
        workspace_id=workspace_id,
        name=name,
        sequence_type=sequence_type,
        now=now,
    )
    return campaign_id


def custom_field_names(connection: Connection, workspace_id: UUID) -> frozenset[str]:
    """Return the names of custom fields among 20,000 contacts of the workspace."""
    return frozenset(queries.column(connection, "custom_field_names", workspace_id=workspace_id))


def dates_in_fields(
    connection: Connection, workspace_id: UUID, names: Sequence[str]
) -> list[DatesInField]:
    """Count the values and the dates of these custom fields among 20,000 contacts; fields without
    a value are missing."""
    return queries.records(
        connection, "dates_in_fields", DatesInField, workspace_id=workspace_id, names=list(names)
    )


def published_hash(connection: Connection, campaign_id: UUID) -> PublishedHash | None:
    """Return the published version and its hash, or None when nothing is published."""
    return queries.record(connection, "published_hash", PublishedHash, campaign_id=campaign_id)


def steps(connection: Connection, campaign_id: UUID) -> list[StoredStep]:
    """Return the steps of a campaign, by step number."""
    return queries.records(connection, "steps_of_campaign", StoredStep, campaign_id=campaign_id)


def campaign_row(connection: Connection, campaign_id: UUID) -> StoredCampaign | None:
    """Return a campaign's row, or None when there is no such campaign."""
    return queries.record(connection, "campaign_row", StoredCampaign, campaign_id=campaign_id)


def write_steps(
    connection: Connection,
    campaign_id: UUID,
    rows: Sequence[Mapping[str, object]],
    *,
    split_of_node: Mapping[str, str | None],
    now: datetime,
) -> dict[str, UUID]:
    """Replace the steps of a campaign; return the step ids by node id.

    A step keeps its id as long as its node id stays the same.
    """
    node_ids = [str(row["node_id"]) for row in rows]
    queries.run(connection, "clear_step_numbers", campaign_id=campaign_id)
    written = queries.records(
        connection,
        "upsert_steps",
        WrittenStep,
        campaign_id=campaign_id,
        steps=dump_json(rows).decode(),
        now=now,
    )
    queries.run(connection, "delete_other_steps", campaign_id=campaign_id, node_ids=node_ids)
    queries.run(
        connection,
        "link_parent_splits",
        campaign_id=campaign_id,
        node_ids=node_ids,
        split_node_ids=[split_of_node.get(node_id) for node_id in node_ids],
    )
    return {step.node_id: step.id for step in written}


def update_campaign(
    connection: Connection,
    campaign_id: UUID,
    definition: CampaignDefinition,
    *,
    canvas_data: Mapping[str, object],
    settings: Mapping[str, object],
    total_steps: int,
    now: datetime,
) -> None:
    """Write a definition to the campaign's row. `settings` are keys without an own column."""
    ab_test_config = definition.ab_test_config
    queries.run(
        connection,
        "update_campaign",
        campaign_id=campaign_id,
        name=definition.name,
        description=definition.description,
        campaign_type=definition.campaign_type,
        sequence_type=definition.sequence_type,
        goal=definition.goal,
        goal_metric=definition.goal_metric,
        goal_target=definition.goal_target,
        tags=list(definition.tags),
        ab_test_config=None if ab_test_config is None else dump_json(ab_test_config).decode(),
        canvas_data=dump_json(canvas_data).decode(),
        settings=dump_json(settings).decode(),
        total_steps=total_steps,
        now=now,
    )


def snapshot(
    connection: Connection,
    campaign_id: UUID,
    *,
    description: str | None,
    change_type: str,
    now: datetime,
) -> UUID:
    """Insert a snapshot of the campaign under its next version number; return its id."""
    version_id: UUID = queries.scalar(
        connection,
        "snapshot_version",
        campaign_id=campaign_id,
        description=description,
        change_type=change_type,
        now=now,
    )
    return version_id


def publish_version(connection: Connection, version_id: UUID, compiled: NewVersion) -> int:
    """Store the compiled graph with its snapshot and publish it; return the version number."""
    goal = compiled.goal_event
    number: int = queries.scalar(
        connection,
        "publish_version",
        version_id=version_id,
        graph=dump_json(compiled.graph).decode(),
        definition=dump_json(compiled.definition).decode(),
        definition_hash=compiled.definition_hash,
        graph_hash=compiled.graph_hash,
        waits_for=list(compiled.waits_for),
        reads_event=compiled.reads_event,
        topic=compiled.topic,
        exit_events=list(compiled.exit_events),
        exits_follow_contacts=compiled.exits_follow_contacts,
        goal_event_type=goal.event_type if goal else None,
        goal_is_narrowed=goal is not None and goal.is_narrowed,
        goal_is_per_run=goal is not None and goal.is_per_run,
        goal_within=timedelta(seconds=goal.seconds) if goal else None,
        goal_ends_runs=compiled.goal_ends_runs,
    )
    return number


def activate(connection: Connection, campaign_id: UUID, now: datetime) -> bool:
    """Set the status of a draft to `active`; return whether it was a draft."""
    return queries.run(connection, "activate_campaign", campaign_id=campaign_id, now=now) > 0


def admit_waiting_enrollments(connection: Connection, campaign_id: UUID) -> int:
    """Create states for enrollments made before the first publication; return their number."""
    return int(
        queries.scalar(connection, "admit_waiting_enrollments", campaign_id=campaign_id) or 0
    )


def tests(connection: Connection, campaign_id: UUID) -> list[CampaignTestRow]:
    """Return the A/B tests of a campaign, newest first per split."""
    return queries.records(
        connection, "tests_of_campaign", CampaignTestRow, campaign_id=campaign_id
    )


def continue_test(connection: Connection, test_id: UUID, version: int) -> None:
    """Add a version to the versions that a test runs in."""
    queries.run(connection, "continue_test", test_id=test_id, version=version)


def supersede_test(connection: Connection, test_id: UUID, now: datetime) -> None:
    """End a running test without a decision."""
    queries.run(connection, "supersede_test", test_id=test_id, now=now)


def start_test(
    connection: Connection,
    campaign_id: UUID,
    *,
    split_node_id: str,
    config: Mapping[str, object],
    config_hash: str,
    version: int,
    now: datetime,
) -> UUID:
    """Insert a test of a split; return its id."""
    test_id: UUID = queries.scalar(
        connection,
        "start_test",
        campaign_id=campaign_id,
        split_node_id=split_node_id,
        config=dump_json(config).decode(),
        config_hash=config_hash,
        version=version,
        now=now,
    )
    return test_id
