"""The parts of a campaign file that are read as plain JSON: their shape for the JSON Schema.

Reading keeps a configuration as the JSON that was written, so that a file with ten mistakes reports
all ten. `SchemaOf` describes such a value in the schema by one of these models. The models describe
the full form of a part; the reader also accepts short forms such as `hour` for `hours`. Rules
across nodes are validated in compiler/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    TypeAdapter,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.conditions.fields import Duration, Name
from drip_pipeline.domain.definition.ab_test import ABTestVariant
from drip_pipeline.domain.graph.actions import (
    FieldUpdateAction,
    ScoreAction,
    SmsAction,
    SocialAction,
    TagAction,
    VariableAction,
    WebhookAction,
)
from drip_pipeline.domain.graph.nodes import EmailConfig

NodeTypeName = Literal["trigger", "email", "wait", "condition", "split", "action", "exit"]


@dataclass(frozen=True, slots=True)
class SchemaOf:
    """Annotation: the JSON Schema describes the value as `described_as`; reading ignores it."""

    described_as: Any

    def __get_pydantic_json_schema__(
        self, _core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(TypeAdapter(self.described_as).core_schema)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Open(BaseModel):
    """An object of the canvas: the visual builder stores additional keys in it."""

    model_config = ConfigDict(extra="allow")


class ChannelContent(_Strict):
    """The message of a step: exactly one of the channels."""

    email: EmailConfig | None = Field(default=None, description="Email of an email node.")
    sms: SmsAction | None = Field(default=None, description="SMS of an action node.")
    social: SocialAction | None = Field(default=None, description="Social post of an action node.")


class TemplateForms(_Strict):
    """A shared text in its forms for HTML and for plain texts."""

    html: str | None = Field(default=None, description="Form for HTML.")
    text: str | None = Field(default=None, description="Form for plain texts.")


class FileBranch(_Strict):
    """A branch of a condition. The branch without a condition is the else-branch."""

    id: Name | None = Field(
        default=None, description="Identifier of the branch and of its outgoing port."
    )
    label: str | None = Field(default=None, description="Name that the canvas shows.")
    condition: Condition | None = Field(
        default=None, description="Condition that selects the branch; absent in the else-branch."
    )
    target_node_id: str | None = Field(default=None, description="Node that the branch leads to.")
    target_step_id: str | None = Field(
        default=None, description="Step that the branch leads to, by its uuid in a database."
    )


class FileVariant(ABTestVariant):
    """A variant of a split, with its traffic share in percent."""

    target_node_id: str | None = Field(default=None, description="Node that the variant leads to.")
    target_step_id: str | None = Field(
        default=None, description="Step that the variant leads to, by its uuid in a database."
    )


class TagStep(_Strict):
    """Add and remove tags."""

    type: Literal["tag"] = Field(description="Kind of action.")
    config: TagAction = Field(description="Tags to add and to remove.")


class ScoreStep(_Strict):
    """Change the contact's score."""

    type: Literal["score"] = Field(description="Kind of action.")
    config: ScoreAction = Field(description="Change of the score.")


class FieldUpdateStep(_Strict):
    """Write a field of the contact."""

    type: Literal["field_update"] = Field(description="Kind of action.")
    config: FieldUpdateAction = Field(description="Field and value to write.")


class VariableStep(_Strict):
    """Set variables of the run."""

    type: Literal["variable"] = Field(description="Kind of action.")
    config: VariableAction = Field(description="Variables to set.")


class WebhookStep(_Strict):
    """Call a URL."""

    type: Literal["webhook"] = Field(description="Kind of action.")
    webhook: WebhookAction = Field(description="The HTTP request.")


class MessageStep(_Strict):
    """Send the message in channel_config."""

    type: Literal["sms", "social"] = Field(description="Channel of the message.")


class Position(_Open):
    """A position on the canvas."""

    x: float = Field(default=0, description="Distance from the left, in pixels.")
    y: float = Field(default=0, description="Distance from the top, in pixels.")


class FileNodeData(_Open):
    """What a node of the canvas shows, and the step it belongs to."""

    label: str | None = Field(default=None, description="Name that the canvas shows.")
    stepId: str | None = Field(  # noqa: N815 - React Flow's spelling, as the specification has it
        None, description="Step of the node; by default the step with the node's id."
    )
    config: dict[str, JsonValue] | None = Field(
        default=None, description="Configuration of a node without a step."
    )


class FileNode(_Open):
    """A node of the canvas."""

    id: str = Field(description="Identifier of the node.")
    type: NodeTypeName | None = Field(default=None, description="Type of the node.")
    position: Position | None = Field(default=None, description="Position on the canvas.")
    data: FileNodeData | None = Field(default=None, description="Label and step of the node.")


class FileEdgeData(_Open):
    """Additional data of an edge."""

    delay: Duration | None = Field(
        default=None, description="Time between leaving the source and reaching the target."
    )


class FileEdge(_Open):
    """An edge of the canvas."""

    source: str = Field(description="Node that the edge leaves.")
    target: str = Field(description="Node that the edge leads to.")
    id: str | None = Field(default=None, description="Identifier of the edge.")
    sourceHandle: str | None = Field(  # noqa: N815 - React Flow's spelling
        None,
        description="Outgoing port: id of a branch, variant or event of a wait; `event`,"
        " `met` or `timeout`; `default`, `past` or `missing` of a wait until a date.",
    )
    type: str | None = Field(default=None, description="Kind of drawing of the visual builder.")
    label: str | None = Field(default=None, description="Name that the canvas shows.")
    data: FileEdgeData | None = Field(default=None, description="Delay of the edge.")


class FileCanvas(_Open):
    """The canvas of the visual builder."""

    nodes: list[FileNode] = Field(description="Nodes of the canvas.")
    edges: list[FileEdge] = Field(description="Edges of the canvas.")
    viewport: dict[str, JsonValue] | None = Field(
        default=None, description="Section and zoom of the canvas that the builder shows."
    )


FileAction = TagStep | ScoreStep | FieldUpdateStep | VariableStep | WebhookStep | MessageStep
