"""The campaign file as it is read: every documented key in its place, nothing lost, nothing judged.

Configurations stay the JSON that was written, so that a file with ten mistakes can report all ten.
Completing the definition is complete.py's business, judging it validate.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as PydanticValidationError

from drip_pipeline.domain.definition.problems import Problem, did_you_mean, from_validation, shorten
from drip_pipeline.domain.definition.text_formats import Unreadable, as_json, parse_text
from drip_pipeline.domain.graph.fields import NO_BOOL, GoalEvent, Number
from drip_pipeline.domain.graph.nodes import ReEntry
from drip_pipeline.errors import DefinitionInvalid

CampaignType = Literal["linear", "branching", "ab_test"]
SequenceType = Literal["cold_outreach", "lead_nurture", "onboarding", "re_engagement", "custom"]
Metric = Literal["open_rate", "click_rate", "reply_rate", "conversion_rate", "engagement_score"]
NODE_TYPES: Final = ("trigger", "email", "wait", "condition", "split", "action", "exit")
MAX_STEPS: Final = 5_000

ROW_KEYS: Final = frozenset(
    {"campaign_id", "created_at", "updated_at", "metrics", "workspace_id", "step_number"}
)
"""Columns of a campaign_steps row that say nothing about the definition; they may stand there."""


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _id(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else value


# The limit belongs to the text inside: on the outside it would meet the None of a blank id.
Id = Annotated[Annotated[str, Field(max_length=200)] | None, BeforeValidator(_id)]
Title = Annotated[Annotated[str, Field(max_length=500)] | None, BeforeValidator(_id)]
Text = Annotated[str, BeforeValidator(_stripped)]
Json = dict[str, Any] | None
Model = TypeVar("Model", bound=BaseModel)


class StepDefinition(BaseModel):
    """One step of the file. `id` is the step's uuid where the file came from a database.

    `trigger_config`, `exit_config`, `variants` and `assignment` configure the node types for which
    the specification has no column. `subject_line` … `day_delay` are the flat columns of campaigns
    made before the specification; completing the definition moves them to their places.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id = None
    node_id: Id = None
    node_type: Id = None
    step_name: Title = None
    channel_id: Id = None
    channel_config: Json = None
    wait_config: Json = None
    conditional_branches: list[Any] | None = None
    action_config: Json = None
    trigger_config: Json = None
    exit_config: Json = None
    node_config: Json = None
    variants: list[Any] | None = None
    assignment: Json = None
    variant_group: Id = None
    variant_percentage: Annotated[Number, Field(ge=0, le=100), NO_BOOL] | None = None
    parent_split_id: Id = None
    node_position: Json = None
    subject_line: str | None = None
    preheader_text: str | None = None
    email_body: str | None = None
    email_body_html: str | None = None
    day_delay: Annotated[Number, Field(ge=0, le=3_650), NO_BOOL] | None = None
    cta: Any = None
    conditional_logic: Any = None

    def to_dict(self) -> dict[str, Any]:
        """The step as it stands in a file: what is not set is not there."""
        data: dict[str, Any] = as_json(self.model_dump(mode="json"))[0]
        return {key: value for key, value in data.items() if value is not None}


class CampaignDefinition(BaseModel):
    """A campaign file. `steps` may stand alone (a plain sequence) or be bound to `canvas_data`.

    `re_entry`: once (default), after_exit, per_key, or {after_days: N}. `timezone`: where the
    campaign's clock hangs (IANA name). `resume_spread_minutes`: over how long overdue work is
    spread after a pause (default: the engine's). `goal_event`: what counts as converted, and how
    long after a message. `reading_problems` is what could not be read; it
    is no key of the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text = ""
    workspace: Title = None
    description: str | None = None
    campaign_type: CampaignType = "linear"
    sequence_type: SequenceType = "custom"
    goal: str | None = None
    goal_metric: Metric | None = None
    goal_target: Annotated[Number, Field(ge=0, le=100), NO_BOOL] | None = None
    goal_event: GoalEvent | None = None
    tags: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...] = ()
    re_entry: ReEntry | None = None
    timezone: Id = None
    resume_spread_minutes: Annotated[Number, Field(ge=0, le=10_080), NO_BOOL] | None = None
    ab_test_config: Json = None
    canvas_data: Json = None
    steps: tuple[StepDefinition, ...] = ()
    reading_problems: tuple[Problem, ...] = Field(default=(), exclude=True, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The definition as a campaign file: what is not set is not there."""
        data = as_json(self.model_dump(mode="json", exclude={"steps"}))[0]
        kept = {key: value for key, value in data.items() if value is not None and value != []}
        return kept | {"steps": [step.to_dict() for step in self.steps]}


CAMPAIGN_KEYS: Final = frozenset(CampaignDefinition.model_fields) - {"reading_problems"}
STEP_KEYS: Final = frozenset(StepDefinition.model_fields)


def load_definition(source: str | Mapping[str, Any]) -> CampaignDefinition:
    """Read a campaign file given as text (JSON or YAML) or as parsed value.

    Whatever can be read is read; what cannot is among `reading_problems`, which `validate` reports
    with everything else. Raises DefinitionInvalid only when there is no object to read.
    """
    try:
        parsed = parse_text(source) if isinstance(source, str) else source
        data, faults = as_json(parsed)
    except Unreadable as error:
        raise DefinitionInvalid([Problem(None, "file_unreadable", str(error))]) from None
    if not isinstance(data, dict):
        what = "empty" if data is None else f"a {type(data).__name__}"
        raise DefinitionInvalid(
            [Problem(None, "file_unreadable", f"a campaign file is one object; this is {what}")]
        )
    problems = [Problem(None, "value_invalid", fault) for fault in faults]
    steps = _steps(data.pop("steps", None), problems)
    fields = _known(data, CAMPAIGN_KEYS, None, "", frozenset(), problems)
    definition = _valid_part(CampaignDefinition, fields, None, "", problems)
    return definition.model_copy(update={"steps": steps, "reading_problems": tuple(problems)})


def _steps(entries: Any, problems: list[Problem]) -> tuple[StepDefinition, ...]:
    if entries is None:
        return ()
    if not isinstance(entries, list):
        problems.append(
            Problem(None, "steps_shape", f"steps must be a list, not {shorten(entries)}")
        )
        return ()
    if len(entries) > MAX_STEPS:
        problems.append(
            Problem(None, "too_large", f"a campaign may have {MAX_STEPS} steps, not {len(entries)}")
        )
        return ()
    steps = []
    for index, entry in enumerate(entries):
        where = f"steps[{index}]"
        if not isinstance(entry, dict):
            problems.append(Problem(None, "steps_shape", f"{where} must be an object"))
            continue
        named = entry.get("node_id")
        node_id = named.strip() or None if isinstance(named, str) else None
        prefix = "" if node_id else where
        fields = _known(entry, STEP_KEYS, node_id, prefix, ROW_KEYS, problems)
        steps.append(_valid_part(StepDefinition, fields, node_id, prefix, problems))
    return tuple(steps)


def _known(
    data: Mapping[str, Any],
    known: frozenset[str],
    node_id: str | None,
    where: str,
    ignored: frozenset[str],
    problems: list[Problem],
) -> dict[str, Any]:
    kept = {}
    for key, value in data.items():
        if key in known:
            if value is not None:  # null is the same as not given, as in a row of the database
                kept[key] = value
        elif key not in ignored:
            path = f"{where}.{key}" if where else key
            message = f"{path} is not a known key{did_you_mean(key, known)}"
            problems.append(Problem(node_id, "unknown_key", message))
    return kept


def _valid_part(
    model: type[Model],
    fields: dict[str, Any],
    node_id: str | None,
    where: str,
    problems: list[Problem],
) -> Model:
    """The model from those fields that are valid; the others become problems."""
    try:
        return model.model_validate(fields)
    except PydanticValidationError as error:
        bad = {item["loc"][0] for item in error.errors(include_url=False)}
        if "re_entry" in bad:  # a union: pydantic would complain once per member
            problems.append(
                Problem(
                    None,
                    "re_entry_invalid",
                    "re_entry must be once, after_exit, per_key or {after_days: N}, not "
                    + shorten(fields["re_entry"]),
                )
            )
            rest = {key: value for key, value in fields.items() if key != "re_entry"}
            return _valid_part(model, rest, node_id, where, problems)
        problems += from_validation(error, node_id=node_id, where=where, model=model)
        return model.model_validate({k: v for k, v in fields.items() if k not in bad})
