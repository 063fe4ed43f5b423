"""The format of a scenario file, and its reader: problems with lines instead of exceptions.

Names of nodes are checked against the campaign in scenario_checks.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import EventName, Name, NodeModel
from drip_pipeline.domain.conditions.time_zones import find_zone
from drip_pipeline.domain.definition.problems import Problems, did_you_mean, from_validation
from drip_pipeline.domain.definition.text_formats import (
    UnreadableText,
    as_json,
    line_at,
    parse_text,
)
from drip_pipeline.domain.graph.frequency_caps import FrequencyCap
from drip_pipeline.domain.graph.windows import QuietHours
from drip_pipeline.domain.run_variables import data_problem
from drip_pipeline.domain.scenarios.lengths import Length
from drip_pipeline.iso_times import read_time

MAX_PEOPLE: Final = 10_000
DEFAULT_START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
_STATUSES = Literal["refused", "waiting", "running", "completed", "exited", "failed"]
Path = tuple[str | int, ...]
"""Keys and positions that lead to a value of the file."""


def _time(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str):
        try:
            value = read_time(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise PydanticCustomError(
            "time_invalid", "is not a time such as 2026-03-02T09:00, of the years 1970 to 2999"
        )
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2999
Time = Annotated[
    datetime,
    BeforeValidator(_time),
    WithJsonSchema({"type": "string"}),
]
Texts = Annotated[tuple[Annotated[str, StringConstraints(max_length=500)], ...], Field()]


def _data(value: object) -> object:
    if isinstance(value, Mapping) and (problem := data_problem(value)) is not None:
        raise PydanticCustomError("data_invalid", "cannot be stored: {why}", {"why": problem})
    return value


Data = Annotated[dict[str, Any], BeforeValidator(_data)]


class ScenarioEvent(NodeModel):
    """Something that happens to a person."""

    event_type: EventName = Field(description="Type of the event, such as email_opened.")
    after: Length | None = Field(
        default=None,
        description="When it happens: with `of` this long after that message was sent, otherwise "
        "after the person entered.",
    )
    at: Time | None = Field(default=None, description="When it happens, instead of `after`.")
    of: Name | None = Field(
        default=None,
        description="Node whose message the event is about. Without it, an event of a message is "
        "about the message that was sent last.",
    )
    data: Data = Field(default_factory=dict, description="Properties of the event.")
    url: Annotated[str, Field(max_length=2_000)] | None = Field(
        default=None, description="Link that was clicked."
    )
    machine: bool = Field(default=False, description="Whether a privacy proxy or scanner did it.")

    @model_validator(mode="after")
    def _has_one_time(self) -> Self:
        if (self.after is None) is (self.at is None):
            raise PydanticCustomError("event_time", "needs `after` or `at`, and not both")
        return self


class ScenarioChange(NodeModel):
    """A change of the contact by an application."""

    fields: dict[str, Any] = Field(
        description="New values of fields, as in `contact`; tags replace all tags."
    )
    after: Length | None = Field(
        default=None, description="When it happens, after the person entered."
    )
    at: Time | None = Field(default=None, description="When it happens, instead of `after`.")

    @model_validator(mode="after")
    def _has_one_time(self) -> Self:
        if (self.after is None) is (self.at is None):
            raise PydanticCustomError("event_time", "needs `after` or `at`, and not both")
        return self


class ExpectedMessage(NodeModel):
    """A message that must be sent."""

    node: Name = Field(description="Node that sends it.")
    at: Time | None = Field(
        default=None, description="Time of sending, to the minute; without an offset in UTC."
    )
    within: Annotated[tuple[Length, ...], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="Earliest and latest time of sending after the person entered."
    )
    subject: str | None = Field(default=None, description="Subject of the email, as sent.")
    contains: str | None = Field(default=None, description="Text that the message must contain.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.within is not None and self.within[0] > self.within[1]:
            raise PydanticCustomError("within_order", "`within` ends before it begins")
        return self


class SkippedMessage(NodeModel):
    """A message that must not be sent, with the reason."""

    node: Name = Field(description="Node that would send it.")
    reason: Name | None = Field(
        default=None, description="Why it is not sent, such as no_consent or unsubscribed."
    )


class Expectation(NodeModel):
    """What must come out. Keys that are left out are not compared."""

    path: tuple[Name, ...] | None = Field(
        default=None, description="All nodes that the person enters, in this order."
    )
    messages: tuple[ExpectedMessage, ...] | None = Field(
        default=None, description="All messages that are sent, in this order; [] for none."
    )
    skipped: tuple[SkippedMessage, ...] | None = Field(
        default=None, description="All messages that are skipped, in this order; [] for none."
    )
    status: _STATUSES | None = Field(
        default=None, description="Status of the run at the end; refused: it never began."
    )
    reason: Name | None = Field(default=None, description="Reason of the exit.")
    node: Name | None = Field(default=None, description="Node where the run is at the end.")
    tags: Texts | None = Field(default=None, description="All tags of the contact at the end.")
    fields: dict[str, Any] | None = Field(
        default=None, description="Fields of the contact at the end, by name."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(getattr(self, name) is not None for name in type(self).model_fields):
            raise PydanticCustomError("expect_empty", "expects nothing; name path or status")
        return self


class ScenarioPerson(NodeModel):
    """A person: the contact, how it enters, what happens to it, and what must come out."""

    name: Name = Field(description="Name of the scenario.")
    contact: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of the contact; names that are no columns are custom fields.",
    )
    entry: Data = Field(default_factory=dict, description="Entry data of the run.")
    enters: Length | None = Field(
        default=None, description="How long after `start` the person enters; at once by default."
    )
    variants: dict[str, Name] = Field(
        default_factory=dict, description="Variants by split node; without it, by chance."
    )
    events: tuple[ScenarioEvent, ...] = Field(default=(), description="What happens.")
    changes: tuple[ScenarioChange, ...] = Field(
        default=(), description="Changes of the contact by applications."
    )
    until: Length | None = Field(
        default=None,
        description="How long the run is followed; by default until nothing more is due, at most "
        "ten years.",
    )
    expect: Expectation = Field(description="What must come out.")


class ScenarioWorkspace(NodeModel):
    """Rules of the workspace."""

    timezone: Name = Field(default="UTC", description="Time zone of the workspace.")
    quiet_hours: QuietHours | None = Field(
        default=None, description="When no marketing messages are sent."
    )
    caps: Annotated[tuple[FrequencyCap, ...], Field(max_length=20)] = Field(
        default=(), description="How many marketing messages a contact gets in a period."
    )

    @model_validator(mode="after")
    def _is_a_zone(self) -> Self:
        if find_zone(self.timezone) is None:
            raise PydanticCustomError("zone_unknown", "timezone is not a time zone")
        return self


class ScenarioFile(NodeModel):
    """Scenarios of one campaign."""

    # By alias: `people` is no name of the code.
    model_config = ConfigDict(populate_by_name=False)

    campaign: Name = Field(description="Campaign file, relative to this file.")
    description: str = Field(default="", description="What these scenarios are about.")
    start: Time = Field(default=DEFAULT_START, description="Time at which the people enter.")
    workspace: ScenarioWorkspace = Field(
        default_factory=ScenarioWorkspace, description="Rules of the workspace."
    )
    persons: Annotated[tuple[ScenarioPerson, ...], Field(min_length=1, max_length=MAX_PEOPLE)] = (
        Field(alias="people", description="The scenarios, one person each.")
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        seen: set[str] = set()
        for person in self.persons:
            if person.name in seen:
                raise PydanticCustomError(
                    "person_duplicate", 'two people are named "{name}"', {"name": person.name}
                )
            seen.add(person.name)
        return self


class ScenarioProblem(NamedTuple):
    """A fault of a scenario file: its line (None if unknown), where, and what to do."""

    line: int | None
    where: str
    message: str

    def text(self) -> str:
        """Return the fault in one line."""
        line = "" if self.line is None else f"line {self.line}: "
        return f"{line}{self.where}: {self.message}" if self.where else f"{line}{self.message}"


class ReadScenarios(NamedTuple):
    """A scenario file as read: the scenarios (None with problems), the problems, and the text."""

    file: ScenarioFile | None
    problems: Sequence[ScenarioProblem]
    text: str = ""


def is_scenario_file(content: object) -> bool:
    """Return whether a parsed file is meant to be a scenario file and not a campaign file."""
    if not isinstance(content, Mapping) or "steps" in content:
        return False
    return "people" in content or isinstance(content.get("campaign"), str)


def read_scenarios(text: str) -> ReadScenarios:
    """Read the text of a scenario file. It never raises."""
    try:
        content, faults = as_json(parse_text(text))
    except UnreadableText as error:
        return ReadScenarios(None, [ScenarioProblem(None, "", str(error))], text)
    problems = [ScenarioProblem(None, "", fault) for fault in faults]
    if not isinstance(content, Mapping):
        message = "is not a scenario file: it needs the keys campaign and people"
        return ReadScenarios(None, [ScenarioProblem(None, "", message)], text)
    try:
        file = ScenarioFile.model_validate(content)
    except ValidationError as error:
        invalid = [
            _problem(text, content, item)
            for item in error.errors(include_url=False)
            # Invalid people are left out when the people are counted.
            if item["loc"] != ("people",) or item["type"] != "too_short" or not content["people"]
        ]
        return ReadScenarios(None, [*problems, *dict.fromkeys(invalid)], text)
    return ReadScenarios(None if problems else file, problems, text)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files."""
    schema = TypeAdapter(ScenarioFile).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


_KEYS: Final = frozenset(
    field.alias or name
    for model in (
        ScenarioFile,
        ScenarioPerson,
        ScenarioEvent,
        ScenarioChange,
        Expectation,
        ExpectedMessage,
        SkippedMessage,
        ScenarioWorkspace,
    )
    for name, field in model.model_fields.items()
)


def problem_at(text: str, content: object, path: Path, message: str) -> ScenarioProblem:
    """Return a fault of the value at a path of the file."""
    return ScenarioProblem(line_at(text, path), _where(content, path), message)


def _problem(text: str, content: object, item: Any) -> ScenarioProblem:
    loc: Path = tuple(part for part in item["loc"] if not str(part).startswith("function-"))
    if item["type"] == "extra_forbidden":
        message = f"unknown key {loc[-1]}{did_you_mean(loc[-1], _KEYS)}"
        return problem_at(text, content, loc, message)
    if item["type"] == "missing":
        return problem_at(text, content, loc[:-1], f"{loc[-1]} is missing")
    if item["type"] == "too_short":
        message = "needs two lengths of time" if loc[-1] == "within" else "is empty; name one"
        return problem_at(text, content, loc, message)
    error = ValidationError.from_exception_data("file", [_bare(item)])
    problems: Problems = from_validation(error, node_id=None, where="", model=ScenarioFile)
    return problem_at(text, content, loc, problems[0].message)


def _bare(item: Any) -> Any:
    if item["type"] in _BUILT_IN:
        return {"type": item["type"], "loc": (), "input": None, "ctx": item.get("ctx", {})}
    return {
        "type": PydanticCustomError("scenario", "{text}", {"text": item["msg"]}),
        "loc": (),
        "input": None,
    }


_BUILT_IN: Final = frozenset(
    {"dict_type", "list_type", "tuple_type", "string_type", "bool_type", "bool_parsing",
     "model_type", "model_attributes_type"}
)  # fmt: skip


def _where(content: object, path: Path) -> str:
    """Return the path as text, with the name of the person: `people[2] "late": events[0].after`."""
    parts: list[str] = []
    named = ""
    value = content
    for number, part in enumerate(path):
        if isinstance(part, int):
            parts[-1:] = [f"{parts[-1] if parts else ''}[{part}]"]
        else:
            parts.append(part)
        value = _child(value, part)
        if number == 1 and path[0] == "people" and isinstance(value, Mapping):
            name = value.get("name")
            named = f"{parts[-1]} {str(name)[:80]!r}" if isinstance(name, str) else parts[-1]
            parts = []
    return ": ".join(part for part in (named, ".".join(parts)) if part)


def _child(value: object, part: str | int) -> object:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, (list, tuple)) and isinstance(part, int) and 0 <= part < len(value):
        return value[part]
    return None
