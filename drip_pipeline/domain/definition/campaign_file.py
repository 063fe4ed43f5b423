"""The campaign file: the one model of its keys, for reading and for the JSON Schema.

Reading validates only the shape of the file: configurations stay the JSON that was written, so that
a file with ten mistakes reports all ten (`SchemaOf` describes them in the schema). complete.py
completes the definition, compiler/validate.py validates it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints
from pydantic import ValidationError as PydanticValidationError
from pydantic.json_schema import SkipJsonSchema

from drip_pipeline.domain.conditions.event_matcher import GoalEvent
from drip_pipeline.domain.conditions.fields import NO_BOOL, Name, Number
from drip_pipeline.domain.definition.ab_test import ABTestConfig, Assignment
from drip_pipeline.domain.definition.file_parts import (
    ChannelContent,
    FileAction,
    FileBranch,
    FileCanvas,
    FileVariant,
    NodeTypeName,
    Position,
    SchemaOf,
    TemplateForms,
)
from drip_pipeline.domain.definition.problems import (
    Problem,
    Problems,
    did_you_mean,
    from_validation,
    shorten,
)
from drip_pipeline.domain.definition.text_formats import (
    JsonObject,
    UnreadableText,
    as_json,
    parse_text,
)
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.frequency_caps import HIGHEST_PRIORITY, LOWEST_PRIORITY
from drip_pipeline.domain.graph.link_parameters import UtmParameters
from drip_pipeline.domain.graph.nodes import ExitConfig, ReEntry, TriggerConfig, WaitConfig
from drip_pipeline.domain.graph.volume import Count, PauseChoice, PauseWhen
from drip_pipeline.domain.graph.windows import MessageKind, SendWindow
from drip_pipeline.errors import DefinitionInvalid

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
NODE_TYPES: Final[tuple[str, ...]] = get_args(NodeTypeName)
MAX_STEPS: Final = 5_000

CampaignType = Literal["linear", "branching", "ab_test"]
SequenceType = Literal["cold_outreach", "lead_nurture", "onboarding", "re_engagement", "custom"]
GoalMetric = Literal["open_rate", "click_rate", "reply_rate", "conversion_rate", "engagement_score"]

ROW_KEYS: Final = frozenset(
    {"campaign_id", "created_at", "updated_at", "metrics", "workspace_id", "step_number"}
)
"""Columns of a campaign_steps row that are not part of the definition; a step may have them."""


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _id(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else value


# The limit belongs to the inner text: on the outside it would be applied to the None of a blank id.
TOPIC_NAME: Final = "^[a-z0-9][a-z0-9_-]{0,62}$"
Id = Annotated[Annotated[str, Field(max_length=200)] | None, BeforeValidator(_id)]
Title = Annotated[Annotated[str, Field(max_length=500)] | None, BeforeValidator(_id)]
Text = Annotated[str, BeforeValidator(_stripped)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Json = JsonObject | None
JsonList = list[Any] | None
Model = TypeVar("Model", bound=BaseModel)


class StepDefinition(BaseModel):
    """One step of a campaign. Only the configuration of its node_type is allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Step")

    id: Id = Field(default=None, description="Uuid of the step, if the file comes from a database.")
    node_id: Annotated[Id, SchemaOf(Name | None)] = Field(
        default=None, description="Name of the node, unique in the campaign."
    )
    node_type: Annotated[Id, SchemaOf(NodeTypeName | None)] = Field(
        default=None, description="Type of the node."
    )
    step_name: Title = Field(default=None, description="Name of the step in lists and reports.")
    channel_id: Id = Field(
        default=None,
        description="Channel that sends the message; by default the workspace's channel.",
    )
    channel_config: Annotated[Json, SchemaOf(ChannelContent | None)] = Field(
        default=None, description="Message of an email node, or of an action node that sends one."
    )
    wait_config: Annotated[Json, SchemaOf(WaitConfig | None)] = Field(
        default=None, description="Duration, time of day, date, event or condition of a wait node."
    )
    conditional_branches: Annotated[JsonList, SchemaOf(list[FileBranch] | None)] = Field(
        default=None, description="Branches of a condition node, evaluated in order."
    )
    action_config: Annotated[Json, SchemaOf(FileAction | None)] = Field(
        default=None, description="Action of an action node."
    )
    trigger_config: Annotated[Json, SchemaOf(TriggerConfig | None)] = Field(
        default=None, description="Entry trigger of a trigger node."
    )
    exit_config: Annotated[Json, SchemaOf(ExitConfig | None)] = Field(
        default=None, description="Final status of an exit node."
    )
    node_config: Annotated[Json, SchemaOf(dict[str, JsonValue] | None)] = Field(
        default=None,
        description="Database column with the configuration of node types that have no column of "
        "their own (trigger_config, exit_config, variants and assignment).",
    )
    variants: Annotated[JsonList, SchemaOf(list[FileVariant] | None)] = Field(
        default=None, description="Variants of a split node."
    )
    assignment: Annotated[Json, SchemaOf(Assignment | None)] = Field(
        default=None, description="Contact field that assigns the variants of a split node."
    )
    kind: MessageKind | None = Field(
        default=None,
        description="Kind of the step's email or SMS; by default the campaign's. Transactional"
        " messages ignore quiet hours and frequency caps, but no suppression.",
    )
    send_window: Annotated[Json, SchemaOf(SendWindow | None)] = Field(
        default=None,
        description="Times at which the step's email or SMS is sent, instead of the campaign's.",
    )
    variant_group: Id = Field(
        default=None, description="Variant of the A/B test that the step belongs to."
    )
    variant_percentage: Annotated[Number, Field(ge=0, le=100), NO_BOOL] | None = Field(
        default=None, description="Traffic share of the step's variant in percent."
    )
    parent_split_id: Id = Field(
        default=None, description="Split node that the step's variant belongs to."
    )
    node_position: Annotated[Json, SchemaOf(Position | None)] = Field(
        default=None, description="Position of the node on the canvas."
    )
    subject_line: str | None = Field(
        default=None, description="Subject of an email, in campaigns without channel_config."
    )
    preheader_text: str | None = Field(
        default=None, description="Preheader of an email, in campaigns without channel_config."
    )
    email_body: str | None = Field(
        default=None, description="Text body of an email, in campaigns without channel_config."
    )
    email_body_html: str | None = Field(
        default=None, description="HTML body of an email, in campaigns without channel_config."
    )
    day_delay: Annotated[Number, Field(ge=0, le=3_650), NO_BOOL] | None = Field(
        default=None, description="Days to wait before the step, in campaigns without wait nodes."
    )
    cta: Any = Field(default=None, description="Column of earlier campaigns; stored, not used.")
    conditional_logic: Any = Field(
        default=None, description="Column of earlier campaigns; stored, not used."
    )

    def to_dict(self) -> JsonObject:
        """Return the step as a file contains it, without keys that are not set."""
        data: JsonObject = as_json(self.model_dump(mode="json"))[0]
        return {key: value for key, value in data.items() if value is not None}


def _require_name(schema: JsonObject) -> None:
    # A missing name is a problem that validation reports with the others, so that reading has a
    # default for it; the schema has none.
    schema["required"] = ["name"]
    del schema["properties"]["name"]["default"]


class CampaignDefinition(BaseModel):
    """A campaign: settings, canvas and steps. Steps without a canvas are a sequence in order."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, title="Campaign", json_schema_extra=_require_name
    )

    name: Annotated[Text, SchemaOf(Name)] = Field(
        default="", description="Name of the campaign, unique in its workspace."
    )
    workspace: Title = Field(
        default=None, description="Name of the workspace that owns the campaign."
    )
    description: str | None = Field(default=None, description="What the campaign is for.")
    campaign_type: CampaignType = Field(default="linear", description="Kind of campaign.")
    sequence_type: SequenceType = Field(default="custom", description="Purpose of the sequence.")
    goal: str | None = Field(default=None, description="Goal of the campaign in words.")
    goal_metric: GoalMetric | None = Field(
        default=None, description="Metric that measures the goal."
    )
    goal_target: Annotated[Number, Field(ge=0, le=100), NO_BOOL] | None = Field(
        default=None, description="Target value of goal_metric in percent."
    )
    goal_event: GoalEvent | None = Field(
        default=None,
        description="Event of the contact that counts as a conversion of the last message before "
        "it, if it happens within this time (default 7 days). It ends the run, with the "
        "reason goal.",
    )
    exit_on_goal: bool | None = Field(
        default=None,
        description="Whether goal_event ends the run (the default); false counts conversions only.",
    )
    exits: Annotated[JsonList, SchemaOf(list[ExitRule] | None)] = Field(
        default=None,
        description="Rules that end a run wherever it is: each has an id, when (a condition or an"
        " event) and a reason. The first that holds counts.",
    )
    tags: Annotated[tuple[Tag, ...], SchemaOf(list[str] | None)] = Field(
        default=(), description="Tags of the campaign."
    )
    re_entry: ReEntry | None = Field(
        default=None,
        description="When a contact may enter again: once (never, the default), after_exit, "
        "per_key, or {after_days: N}.",
    )
    timezone: Id = Field(
        default=None,
        description="Time zone of the campaign's schedules and time conditions (IANA name).",
    )
    kind: MessageKind | None = Field(
        default=None,
        description="Kind of the campaign's messages: marketing (the default) or transactional."
        " Transactional messages ignore the workspace's quiet hours and frequency caps, but no"
        " suppression.",
    )
    send_window: Annotated[Json, SchemaOf(SendWindow | None)] = Field(
        default=None,
        description="Times at which the campaign's emails and SMS are sent; a step may have its"
        " own. By default at any time.",
    )
    topic: Annotated[str, Field(pattern=TOPIC_NAME)] | None = Field(
        default=None,
        description="Name of the workspace's topic that the messages belong to (`drip topics`)."
        " People leave a topic by itself; without one, unsubscribing leaves everything.",
    )
    priority: Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY), NO_BOOL] | None = (
        Field(
            default=None,
            description="Of the messages that are due for a contact, the workspace's frequency"
            " caps let those of campaigns with a higher priority go first; 0 by default.",
        )
    )
    cap_exempt: bool | None = Field(
        default=None,
        description="Whether the workspace's frequency caps (`drip workspace caps`) neither limit"
        " nor count the campaign's messages, as those of the kind transactional.",
    )
    utm: UtmParameters | None = Field(
        default=None,
        description="UTM parameters of the links in emails: source, medium, campaign, content and"
        " term; `auto` is the campaign's name.",
    )
    templates: Annotated[Json, SchemaOf(dict[str, str | TemplateForms] | None)] = Field(
        default=None,
        description="Texts that messages share, by name: `{% render 'name' %}` writes one, and"
        " `layout` is put around HTML. A folder `templates` beside the file has them, too.",
    )
    per_day: Count | None = Field(
        default=None,
        description="Enrollments on one day of the workspace, at most; further contacts of an entry"
        " trigger wait for the next day.",
    )
    max_people: Count | None = Field(
        default=None,
        description="Contacts that may ever enter the campaign, at most; further ones are refused.",
    )
    pause_when: PauseChoice | None = Field(
        default=None,
        description="Rates above which the campaign is paused: complaints (default 0.3 %),"
        " permanent_bounces (8 %) and failures (25 %); false switches them off.",
    )
    resume_spread_minutes: Annotated[Number, Field(ge=0, le=10_080), NO_BOOL] | None = Field(
        default=None,
        description="Minutes over which overdue work is spread after a pause; by default the "
        "engine's.",
    )
    ab_test_config: Annotated[Json, SchemaOf(ABTestConfig | None)] = Field(
        default=None, description="Configuration of the A/B test."
    )
    canvas_data: Annotated[Json, SchemaOf(FileCanvas | None)] = Field(
        default=None, description="Canvas of the visual builder: nodes and edges."
    )
    steps: Annotated[tuple[StepDefinition, ...], SchemaOf(list[StepDefinition] | None)] = Field(
        default=(), description="Steps of the campaign."
    )
    # Contents of attachments by their hash, until they are published; no key of the file.
    attachment_contents: SkipJsonSchema[Mapping[str, bytes]] = Field(
        default_factory=dict, exclude=True, repr=False
    )
    # What could not be read; no key of the file.
    reading_problems: SkipJsonSchema[tuple[Problem, ...]] = Field(
        default=(), exclude=True, repr=False
    )

    def to_dict(self) -> JsonObject:
        """Return the definition as a campaign file, without keys that are not set."""
        data = as_json(self.model_dump(mode="json", exclude={"steps"}))[0]
        present = {key: value for key, value in data.items() if value is not None and value != []}
        return present | {"steps": [step.to_dict() for step in self.steps]}


def json_schema() -> JsonObject:
    """Return the JSON Schema (draft 2020-12) of the campaign file."""
    return {"$schema": SCHEMA_DIALECT} | CampaignDefinition.model_json_schema()


CAMPAIGN_KEYS: Final = frozenset(CampaignDefinition.model_fields) - {
    "attachment_contents",
    "reading_problems",
}
STEP_KEYS: Final = frozenset(StepDefinition.model_fields)


def load_definition(source: str | Mapping[str, object]) -> CampaignDefinition:
    """Read a campaign file from text (JSON or YAML) or from a parsed value.

    Invalid parts are left out and listed in `reading_problems`, which `validate` reports with the
    other problems. Raises DefinitionInvalid only if the file is not an object.
    """
    try:
        parsed = parse_text(source) if isinstance(source, str) else source
        data, faults = as_json(parsed)
    except UnreadableText as error:
        raise DefinitionInvalid([Problem(None, "file_unreadable", str(error))]) from None
    if not isinstance(data, dict):
        what = "empty" if data is None else f"a {type(data).__name__}"
        raise DefinitionInvalid(
            [Problem(None, "file_unreadable", f"a campaign file is one object; this is {what}")]
        )
    problems = Problems(Problem(None, "value_invalid", fault) for fault in faults)
    steps = _steps(data.pop("steps", None), problems)
    fields = _allowed_fields(data, CAMPAIGN_KEYS, None, "", frozenset(), problems)
    definition = _valid_part(CampaignDefinition, fields, None, "", problems)
    return definition.model_copy(update={"steps": steps, "reading_problems": tuple(problems)})


def _steps(entries: object, problems: Problems) -> tuple[StepDefinition, ...]:
    if entries is None:
        return ()
    if not isinstance(entries, list):
        problems.add(None, "steps_shape", f"steps must be a list, not {shorten(entries)}")
        return ()
    if len(entries) > MAX_STEPS:
        problems.add(
            None, "too_large", f"a campaign may have {MAX_STEPS} steps, not {len(entries)}"
        )
        return ()
    steps = []
    for index, entry in enumerate(entries):
        where = f"steps[{index}]"
        if not isinstance(entry, dict):
            problems.add(None, "steps_shape", f"{where} must be an object")
            continue
        named = entry.get("node_id")
        node_id = named.strip() or None if isinstance(named, str) else None
        prefix = "" if node_id else where
        fields = _allowed_fields(entry, STEP_KEYS, node_id, prefix, ROW_KEYS, problems)
        steps.append(_valid_part(StepDefinition, fields, node_id, prefix, problems))
    return tuple(steps)


def _allowed_fields(
    data: Mapping[str, object],
    allowed: frozenset[str],
    node_id: str | None,
    where: str,
    ignored: frozenset[str],
    problems: Problems,
) -> JsonObject:
    fields = {}
    for key, value in data.items():
        if key in allowed:
            if value is not None:  # null means not set, as in a row of the database
                fields[key] = value
        elif key not in ignored:
            path = f"{where}.{key}" if where else key
            message = f"unknown key {path}{did_you_mean(key, allowed)}"
            problems.add(node_id, "unknown_key", message)
    return fields


def _valid_part(
    model: type[Model],
    fields: JsonObject,
    node_id: str | None,
    where: str,
    problems: Problems,
) -> Model:
    """Return the model of the valid fields; the other fields become problems."""
    try:
        return model.model_validate(fields)
    except PydanticValidationError as error:
        bad = {item["loc"][0] for item in error.errors(include_url=False)}
        if "pause_when" in bad:  # a union, as re_entry
            problems += _pause_problems(fields["pause_when"])
            rest = {key: value for key, value in fields.items() if key != "pause_when"}
            return _valid_part(model, rest, node_id, where, problems)
        if "re_entry" in bad:  # a union: pydantic reports an error per member
            problems.add(
                None,
                "re_entry_invalid",
                "re_entry must be once, after_exit, per_key, {per_key: PATH} or {after_days: N},"
                " not " + shorten(fields["re_entry"]),
            )
            rest = {key: value for key, value in fields.items() if key != "re_entry"}
            return _valid_part(model, rest, node_id, where, problems)
        problems += from_validation(error, node_id=node_id, where=where, model=model)
        return model.model_validate({k: v for k, v in fields.items() if k not in bad})


def _pause_problems(value: object) -> list[Problem]:
    if isinstance(value, dict):
        try:
            PauseWhen.model_validate(value)
        except PydanticValidationError as error:
            return list(from_validation(error, node_id=None, where="pause_when", model=PauseWhen))
    message = "pause_when must be false, or an object such as {complaints: 0.3}, not "
    return [Problem(None, "pause_when_invalid", message + shorten(value))]
