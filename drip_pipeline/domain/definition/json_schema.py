"""The JSON Schema of the campaign file, for editors, front ends and reviews.

Stricter than the reader, which forgives `hour` for `hours` and reports rather than refuses. Only
the shape: rules across nodes are `validate`'s. The reader accepts exactly the keys named here.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.definition.ab_test import ABTestConfig, ABTestVariant, Assignment
from drip_pipeline.domain.definition.campaign_file import CampaignType, Metric, SequenceType
from drip_pipeline.domain.graph.actions import (
    FieldUpdateAction,
    ScoreAction,
    SmsAction,
    SocialAction,
    TagAction,
    WebhookAction,
)
from drip_pipeline.domain.graph.fields import NO_BOOL, Duration, GoalEvent, Name, Number
from drip_pipeline.domain.graph.nodes import (
    DurationWait,
    EmailConfig,
    EventWait,
    ExitConfig,
    ReEntry,
    TriggerConfig,
)

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

NodeTypeName = Literal["trigger", "email", "wait", "condition", "split", "action", "exit"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Open(BaseModel):
    """Objects of the canvas: the visual builder keeps what it likes on them."""

    model_config = ConfigDict(extra="allow")


class ChannelConfig(_Strict):
    """What is sent over which channel; one of them."""

    email: EmailConfig | None = None
    sms: SmsAction | None = None
    social: SocialAction | None = None


class FileBranch(_Strict):
    """A way out of a condition; the one without condition is for everybody else."""

    id: Name | None = None
    label: str | None = None
    condition: Condition | None = None
    target_node_id: str | None = None
    target_step_id: str | None = None


class FileVariant(ABTestVariant):
    """A way out of a split, with its share in percent."""

    target_node_id: str | None = None
    target_step_id: str | None = None


class TagStep(_Strict):
    """Add and remove tags."""

    type: Literal["tag"]
    config: TagAction


class ScoreStep(_Strict):
    """Change the contact's score."""

    type: Literal["score"]
    config: ScoreAction


class FieldUpdateStep(_Strict):
    """Write a field of the contact."""

    type: Literal["field_update"]
    config: FieldUpdateAction


class WebhookStep(_Strict):
    """Call a URL."""

    type: Literal["webhook"]
    webhook: WebhookAction


class MessageStep(_Strict):
    """What channel_config says is to be sent."""

    type: Literal["sms", "social"]


class Position(_Open):
    """A place on the canvas."""

    x: float = 0
    y: float = 0


class FileStep(_Strict):
    """One step. Only what belongs to its node_type is to be given."""

    id: Annotated[str | None, Field(description="uuid of the step in a database")] = None
    node_id: Name | None = None
    node_type: NodeTypeName | None = None
    step_name: str | None = None
    channel_id: str | None = None
    channel_config: ChannelConfig | None = None
    wait_config: DurationWait | EventWait | None = None
    conditional_branches: list[FileBranch] | None = None
    action_config: TagStep | ScoreStep | FieldUpdateStep | WebhookStep | MessageStep | None = None
    trigger_config: TriggerConfig | None = None
    exit_config: ExitConfig | None = None
    node_config: Annotated[
        dict[str, Any] | None, Field(description="the database's column for the three above")
    ] = None
    variants: list[FileVariant] | None = None
    assignment: Assignment | None = None
    variant_group: str | None = None
    variant_percentage: Annotated[Number, Field(ge=0, le=100), NO_BOOL] | None = None
    parent_split_id: str | None = None
    node_position: Position | None = None
    subject_line: str | None = None
    preheader_text: str | None = None
    email_body: str | None = None
    email_body_html: str | None = None
    day_delay: Annotated[Number, Field(ge=0, le=3_650), NO_BOOL] | None = None
    cta: Any = None
    conditional_logic: Any = None


class FileNodeData(_Open):
    """What a canvas node shows, and which step it belongs to (by default that of its id)."""

    label: str | None = None
    stepId: str | None = None  # noqa: N815 - React Flow's spelling, as the specification has it
    config: dict[str, Any] | None = None


class FileNode(_Open):
    """A node of the canvas."""

    id: str
    type: NodeTypeName | None = None
    position: Position | None = None
    data: FileNodeData | None = None


class FileEdgeData(_Open):
    """`delay`: how long the way takes."""

    delay: Duration | None = None


class FileEdge(_Open):
    """An edge of the canvas; `sourceHandle` is the branch, the variant, `event` or `timeout`."""

    source: str
    target: str
    id: str | None = None
    sourceHandle: str | None = None  # noqa: N815 - React Flow's spelling
    type: str | None = None
    label: str | None = None
    data: FileEdgeData | None = None


class FileCanvas(_Open):
    """The canvas of the visual builder."""

    nodes: list[FileNode]
    edges: list[FileEdge]
    viewport: dict[str, Any] | None = None


class CampaignFile(_Strict):
    """A campaign: settings, canvas and steps. Steps alone are a plain sequence in order."""

    name: Name
    workspace: str | None = None
    description: str | None = None
    campaign_type: CampaignType = "linear"
    sequence_type: SequenceType = "custom"
    goal: str | None = None
    goal_metric: Metric | None = None
    goal_target: Annotated[Number, Field(ge=0, le=100), NO_BOOL] | None = None
    goal_event: Annotated[
        GoalEvent | None,
        Field(
            description="an event of the contact's that counts as converted, for the last message "
            "before it, within this time (default 7 days)"
        ),
    ] = None
    tags: list[str] | None = None
    re_entry: ReEntry | None = None
    timezone: str | None = None
    resume_spread_minutes: Annotated[Number, Field(ge=0, le=10_080), NO_BOOL] | None = None
    ab_test_config: ABTestConfig | None = None
    canvas_data: FileCanvas | None = None
    steps: list[FileStep] | None = None


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the campaign file."""
    return {"$schema": SCHEMA_DIALECT} | CampaignFile.model_json_schema()
