"""The configuration of each node type, as immutable pydantic models in one discriminated union.

The rules of a single configuration are here and in actions.py, with units and limits. Rules across
nodes (edges, weights against a test, texts against variables) are in compiler/check_*.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.conditions.event_matcher import EventMatcher
from drip_pipeline.domain.conditions.fields import (
    MAX_WAIT_SECONDS,
    NO_BOOL,
    UNIT_SECONDS,
    Duration,
    EventName,
    Name,
    Names,
    NodeModel,
    Number,
)
from drip_pipeline.domain.conditions.matcher_keys import RequiredCount, check_where
from drip_pipeline.domain.graph.actions import (
    CONTACT_STATUSES,
    INSTANT_ACTIONS,
    UPDATABLE_COLUMNS,
    ActionConfig,
    FieldUpdateAction,
    ScoreAction,
    SmsAction,
    SocialAction,
    TagAction,
    VariableAction,
    WebhookAction,
)
from drip_pipeline.domain.graph.contact_waits import ConditionWait, ContactWait, DateWait
from drip_pipeline.domain.graph.emails import EmailConfig
from drip_pipeline.domain.graph.event_waits import EventWait
from drip_pipeline.domain.graph.re_entry import AfterDays, PerKey, ReEntry
from drip_pipeline.domain.graph.waits import DurationWait, TimedWait, TimeWait

__all__ = [
    "CONTACT_STATUSES",
    "INSTANT_ACTIONS",
    "MAX_WAIT_SECONDS",
    "UNIT_SECONDS",
    "UPDATABLE_COLUMNS",
    "WEIGHT_TOLERANCE",
    "ActionConfig",
    "AfterDays",
    "Branch",
    "ConditionConfig",
    "ConditionWait",
    "ContactWait",
    "DateWait",
    "Duration",
    "DurationWait",
    "EmailConfig",
    "EventWait",
    "ExitConfig",
    "FieldUpdateAction",
    "NodeConfig",
    "NodeModel",
    "PerKey",
    "ReEntry",
    "ScoreAction",
    "SmsAction",
    "SocialAction",
    "SplitConfig",
    "TagAction",
    "TimeWait",
    "TimedWait",
    "TriggerConfig",
    "TriggerKind",
    "VariableAction",
    "Variant",
    "WebhookAction",
    "channel_of",
    "sends_to_person",
]

WEIGHT_TOLERANCE: Final = 0.01


# --- entry ------------------------------------------------------------------------------------


_MATCHER_KEYS: Final = ("where", "count", "within", "url", "machines")
"""The keys of a trigger that narrow its event."""

TriggerKind = Literal["manual", "tag", "score", "webhook", "schedule", "event"]


def _trigger_kind(value: object) -> object:
    return "schedule" if value == "scheduled" else value


class TriggerConfig(NodeModel):
    """The entry trigger: what enrolls contacts, and whether they may enter again.

    `tag` needs a tag, `score` a threshold (`at_least`, above 0, up to 100), `schedule` a cron
    expression of five fields (`where` selects the contacts, `timezone` is that of the expression,
    UTC by default), `event` an event type (`where` compares its properties,
    `count`, `within`, `url` and `machines` narrow it as in a condition). `backfill`: contacts
    that match at publication enter too (a schedule runs once at once). `spread_minutes` spreads the
    starts of contacts that enter together.
    """

    type: Literal["trigger"] = Field(default="trigger", description="Type of the node.")
    trigger: Annotated[TriggerKind, BeforeValidator(_trigger_kind)] = Field(
        default="manual", description="What enrolls contacts."
    )
    tag: Name | None = Field(default=None, description="Tag that enrolls a contact (trigger tag).")
    at_least: Annotated[Number, Field(gt=0, le=100), NO_BOOL] | None = Field(
        default=None, description="Score that enrolls a contact once it is reached (trigger score)."
    )
    cron: Name | None = Field(
        default=None, description="Cron expression of five fields (trigger schedule)."
    )
    where: Condition | None = Field(
        default=None,
        description="Condition on the contacts that a schedule enrolls, or on the properties of the"
        " event that enrolls its contact (`field` is the path of a property).",
    )
    timezone: Name | None = Field(
        default=None, description="IANA time zone of the cron expression, UTC by default."
    )
    event_type: EventName | None = Field(
        default=None, description="Event that enrolls its contact (trigger event)."
    )
    count: RequiredCount | None = Field(
        default=None,
        description="How many such events are needed; one if absent (trigger event).",
    )
    within: Duration | None = Field(
        default=None, description="Only events of this last length of time count (trigger event)."
    )
    url: Annotated[str, Field(min_length=1, max_length=2_000)] | None = Field(
        default=None,
        description="Link that must have been clicked (trigger event, only for email_clicked).",
    )
    machines: Literal[True] | None = Field(
        default=None,
        description="Count events of privacy proxies and link scanners, too (trigger event).",
    )
    backfill: bool = Field(
        default=False,
        description="Also enroll contacts that match at publication; a schedule then runs once.",
    )
    spread_minutes: Annotated[Number, Field(ge=0, le=MAX_WAIT_SECONDS / 60), NO_BOOL] = Field(
        default=0,
        description="Minutes over which the starts of contacts enrolled together are spread.",
    )
    re_entry: ReEntry = Field(
        default="once",
        description="When a contact may enter again: once (never), after_exit, per_key, "
        "{per_key: PATH} of the entry data, or {after_days: N}.",
    )

    @property
    def kind(self) -> TriggerKind:
        """The kind of trigger."""
        return self.trigger

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        fields_of_kind = {
            "tag": ("tag",),
            "score": ("at_least",),
            "schedule": ("cron", "where", "timezone"),
            "event": ("event_type", *_MATCHER_KEYS),
        }
        own = fields_of_kind.get(self.trigger, ())
        if own and getattr(self, own[0]) is None:
            raise PydanticCustomError(
                "trigger_incomplete",
                "a {kind} trigger needs `{field}`",
                {"kind": self.trigger, "field": own[0]},
            )
        for fields in fields_of_kind.values():
            for field in fields:
                if field not in own and getattr(self, field) is not None:
                    raise PydanticCustomError(
                        "trigger_foreign_key",
                        "`{field}` does not belong to a {kind} trigger",
                        {"kind": self.trigger, "field": field},
                    )
        if self.trigger == "event" and self.where is not None:
            check_where(self.where)
        if self.url is not None and self.event_type != "email_clicked":
            raise PydanticCustomError(
                "matcher_url",
                "url belongs to email_clicked; {name} has no link",
                {"name": self.event_type},
            )
        return self

    @property
    def matcher(self) -> EventMatcher | None:
        """What an event trigger asks of events; None for another trigger."""
        if self.trigger != "event" or self.event_type is None:
            return None
        return EventMatcher(
            event_type=self.event_type,
            where=self.where,
            count=self.count,
            within=self.within,
            url=self.url,
            machines=self.machines is True,
        )

    @model_serializer(mode="wrap")
    def _without_absent_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So that campaigns of earlier releases keep their hash.
        data: dict[str, Any] = handler(self)
        absent = {key for key in _MATCHER_KEYS if key != "where" and data.get(key) is None}
        return {key: value for key, value in data.items() if key not in absent}

    @field_validator("cron")
    @classmethod
    def _cron_is_readable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # Imported here: it costs 30 ms, and most campaigns have no schedule.
        from croniter import croniter  # type: ignore[import-untyped]

        from drip_pipeline.domain.conditions.cron import has_occurrences

        if len(value.split()) != 5 or not croniter.is_valid(value) or not has_occurrences(value):
            raise PydanticCustomError(
                "trigger_cron", "{cron} is not a cron expression of five fields", {"cron": value}
            )
        return value


# --- branches and splits ----------------------------------------------------------------------


class Branch(NodeModel):
    """One outgoing port of a condition node; without a condition it is the else branch."""

    id: Name
    label: str | None = None
    condition: Condition | None = None


class ConditionConfig(NodeModel):
    """Branches in the order in which they are evaluated; the else branch is last."""

    type: Literal["condition"] = "condition"
    branches: Annotated[tuple[Branch, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        _refuse_duplicates("branch", [branch.id for branch in self.branches])
        return self


class Variant(NodeModel):
    """One outgoing port of a split. `percentage` (0..100) is its share of the arriving contacts.

    `holdout`: these contacts get no message; without an edge they exit with the reason `holdout`.
    `values`: values of the contact field that assign this variant (with `from_field`); the
    variant's id and name are always included.
    """

    id: Name
    name: str = ""
    percentage: Annotated[Number, Field(ge=0, le=100), NO_BOOL]
    holdout: bool = False
    values: Names = ()


class SplitConfig(NodeModel):
    """Variants of a split, with weights that sum to 100, or assigned from a contact field."""

    type: Literal["split"] = "split"
    variants: Annotated[tuple[Variant, ...], Field(min_length=1, max_length=100)]
    from_field: Name | None = None

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        _refuse_duplicates("variant", [variant.id for variant in self.variants])
        return self

    def variant_by_value(self) -> dict[str, str]:
        """Return the variant id by field value, trimmed and case-folded (for `from_field`)."""
        by_value: dict[str, str] = {}
        for variant in self.variants:
            for text in (variant.id, variant.name, *variant.values):
                if text:
                    by_value.setdefault(text.strip().casefold(), variant.id)
        for variant in self.variants:  # explicit values override another variant's id or name
            for text in variant.values:
                by_value[text.strip().casefold()] = variant.id
        return by_value


def _refuse_duplicates(what: str, ids: list[str]) -> None:
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise PydanticCustomError(
            f"{what}_duplicate",
            "{what} id {names} is used more than once",
            {"what": what, "names": ", ".join(twice)},
        )


class ExitConfig(NodeModel):
    """The end. `exited` carries a reason (`goal`, `exit_condition` or free text)."""

    type: Literal["exit"] = Field(default="exit", description="Type of the node.")
    status: Literal["completed", "exited"] = Field(
        default="completed", description="Final status of the enrollment."
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)] | None = Field(
        default=None, description="Reason of an exit: goal, exit_condition or free text."
    )

    @model_validator(mode="before")
    @classmethod
    def _a_reason_means_exited(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        if data.get("reason") and "status" not in data:
            return {**data, "status": "exited"}
        if data.get("status") == "exited" and not data.get("reason"):
            return {**data, "reason": "exit_condition"}
        return data

    @model_validator(mode="after")
    def _completed_needs_no_reason(self) -> Self:
        if self.status == "completed" and self.reason:
            raise PydanticCustomError(
                "exit_reason", "a completed exit has no reason; use status `exited`"
            )
        return self


WaitConfig = DurationWait | TimeWait | DateWait | EventWait | ConditionWait

NodeConfig = Annotated[
    TriggerConfig
    | EmailConfig
    | DurationWait
    | TimeWait
    | DateWait
    | EventWait
    | ConditionWait
    | ConditionConfig
    | SplitConfig
    | TagAction
    | ScoreAction
    | FieldUpdateAction
    | VariableAction
    | WebhookAction
    | SmsAction
    | SocialAction
    | ExitConfig,
    Field(discriminator="type"),
]


def channel_of(config: NodeConfig) -> str | None:
    """The channel a node needs to be executed (email, sms, social, webhook), or None."""
    if isinstance(config, EmailConfig | SmsAction | SocialAction | WebhookAction):
        return config.type
    return None


def sends_to_person(config: NodeConfig) -> bool:
    """Whether a node sends its contact a message: an email or an SMS."""
    return isinstance(config, EmailConfig | SmsAction)
