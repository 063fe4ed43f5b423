"""The configuration of an A/B test (`ab_test_config`): the specification's keys and the keys of the
statistics, with their defaults and limits.

The only model of this configuration: publishing validates it and experiments/ evaluates by it. The
statistical methods belong to experiments/, rules across keys and nodes to compiler/.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import NO_BOOL, Name, Names, Number
from drip_pipeline.domain.definition.problems import Problem, did_you_mean, from_validation

HOLDOUT_VARIANT_ID: Final = "holdout"


class Metric(StrEnum):
    """The metrics that a winner can be decided by."""

    OPEN_RATE = "open_rate"
    CLICK_RATE = "click_rate"
    REPLY_RATE = "reply_rate"
    CONVERSION_RATE = "conversion_rate"
    ENGAGEMENT_SCORE = "engagement_score"

    @property
    def is_score(self) -> bool:
        """True for the metric that averages a score per contact instead of counting contacts."""
        return self is Metric.ENGAGEMENT_SCORE


class Guardrail(StrEnum):
    """The rates that the winner must not make worse."""

    UNSUBSCRIBES = "unsubscribes"
    BOUNCES = "bounces"
    COMPLAINTS = "complaints"


class DecisionMethod(StrEnum):
    """How evidence becomes a decision. `always_valid` allows any number of looks at any time and
    needs no planned sample.
    """

    ALWAYS_VALID = "always_valid"
    PLANNED = "planned"
    FIXED_HORIZON = "fixed_horizon"


GUARDRAILS: Final = tuple(Guardrail)
_METRIC_ALIASES: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "open": Metric.OPEN_RATE,
        "click": Metric.CLICK_RATE,
        "reply": Metric.REPLY_RATE,
        "replie": Metric.REPLY_RATE,
        "conversion": Metric.CONVERSION_RATE,
        "engagement": Metric.ENGAGEMENT_SCORE,
        "engagement_score": Metric.ENGAGEMENT_SCORE,
    }
)
_GUARDRAIL_ALIASES: Final[Mapping[str, Guardrail]] = MappingProxyType(
    {
        alias: guardrail
        for guardrail, stem, past in (
            (Guardrail.UNSUBSCRIBES, "unsubscribe", "unsubscribed"),
            (Guardrail.BOUNCES, "bounce", "bounced"),
            (Guardrail.COMPLAINTS, "complaint", "complained"),
        )
        for alias in (guardrail.value, stem, f"{stem}_rate", past, f"total_{past}")
    }
)
# At least a day, so that no hour of the day is missing, and windows long enough for slow reactions
# (a variant that merely gets its opens faster would otherwise win).
_RECOMMENDED: Final[Mapping[str, object]] = MappingProxyType(
    {
        "minimum_runtime_hours": 24,
        "attribution_window_hours": {
            Metric.OPEN_RATE: 24,
            Metric.CLICK_RATE: 24,
            Metric.REPLY_RATE: 72,
            Metric.CONVERSION_RATE: 168,
        },
    }
)


def _metric(value: object) -> object:
    """Read `opens`, `open` and `open_rate` as one metric."""
    if not isinstance(value, str):
        return value
    name = value.strip().lower()
    alias = name.removesuffix("_rate").removesuffix("s")
    return _METRIC_ALIASES.get(alias) or _member(Metric, name)


def _guardrail(value: object) -> object:
    return _member(Guardrail, value)


def _method(value: object) -> object:
    return _member(DecisionMethod, value)


def _member(kind: type[StrEnum], value: object) -> object:
    """Return the member of an enumeration by its text, also where pydantic reads strictly."""
    if not isinstance(value, str):
        return value
    members = {member.value: member for member in kind}
    if value in members:
        return members[value]
    *most, last = [f"'{name}'" for name in members]
    expected = f"{', '.join(most)} or {last}"
    raise PydanticCustomError("enum", "Input should be {expected}", {"expected": expected})


def _guardrails(value: object) -> object:
    """Read a list of names, true for all guardrails, false for none, or {name: is enabled}."""
    if isinstance(value, bool):
        return GUARDRAILS if value else ()
    if isinstance(value, Mapping):
        value = [name for name, is_enabled in value.items() if is_enabled is not False]
    if isinstance(value, list | tuple):
        names = [_GUARDRAIL_ALIASES.get(n, n) if isinstance(n, str) else n for n in value]
        return tuple(dict.fromkeys(names)) if all(isinstance(n, str) for n in names) else (*names,)
    return value


def _two_places(value: float) -> float:
    # The column confidence_level has two places and is compared with the threshold; with more
    # places the comparison could not be reproduced from the column.
    if Decimal(repr(value)) != round(Decimal(repr(value)), 2):
        raise PydanticCustomError("two_places", "must have at most two decimal places")
    return value


def _listed(value: object) -> object:
    return () if value is None else value


def _mapped(value: object) -> object:
    return {} if value is None else value


MetricName = Annotated[Metric, BeforeValidator(_metric)]
Hours = Annotated[Number, Field(ge=0, le=87_600), NO_BOOL]


class ABTestVariant(BaseModel):
    """A variant of the test."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name = Field(description="Identifier of the variant, the variant_group of its steps.")
    name: str = Field(default="", description="Name in reports; the id if empty.")
    percentage: Annotated[Number, Field(ge=0, le=100), NO_BOOL] | None = Field(
        default=None,
        description="Traffic share in percent. Not needed if a contact field assigns the variants.",
    )
    holdout: bool = Field(default=False, description="Contacts of this variant are sent nothing.")
    values: Names = Field(
        default=(), description="Values of the assigning contact field that mean this variant."
    )
    step_ids: Annotated[Names, BeforeValidator(_listed)] = Field(
        default=(), description="Node ids of the variant's steps."
    )


class Assignment(BaseModel):
    """Assignment of variants by a contact field instead of at random."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_field: Name = Field(description="Contact field or custom field that holds the variant.")


class ABTestConfig(BaseModel):
    """How a test splits its contacts and is evaluated. Percentages are 0 … 100, times are hours,
    differences of rates are percentage points. Frozen when the test starts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="false: the engine does not evaluate the test.")
    variants: Annotated[tuple[ABTestVariant, ...], BeforeValidator(_listed)] = Field(
        default=(), description="The variants; not needed if the split lists them."
    )
    winner_metric: MetricName = Field(
        default=Metric.OPEN_RATE,
        description="Metric that decides; by default the campaign's goal_metric, else open_rate.",
    )
    minimum_sample_size: Annotated[int, Field(ge=1, le=1_000_000_000), NO_BOOL] = Field(
        default=100, description="Contacts that every variant needs before a decision."
    )
    confidence_threshold: Annotated[
        Number, Field(ge=50, lt=100), AfterValidator(_two_places), NO_BOOL
    ] = Field(
        default=95.0,
        description="Confidence in percent that decides, at most two decimal places. "
        "alpha = 1 - confidence_threshold / 100.",
    )
    auto_select_winner: bool = Field(
        default=True,
        description="false: the test stays in the state significant until a winner is declared.",
    )
    profile: Literal["default", "recommended"] = Field(
        default="default",
        description="recommended: where not set otherwise, a minimum runtime of 24 h and "
        "attribution windows of 24 h for opens and clicks, 72 h for replies, 168 h for "
        "conversions.",
    )
    decision_method: Annotated[DecisionMethod, BeforeValidator(_method)] = Field(
        default=DecisionMethod.ALWAYS_VALID,
        description="always_valid: any number of looks. planned: any number of looks up to "
        "planned_sample_size. fixed_horizon: one look at planned_sample_size.",
    )
    planned_sample_size: Annotated[int, Field(ge=1, le=1_000_000_000), NO_BOOL] | None = Field(
        default=None,
        description="Contacts per variant at the end; planned and fixed_horizon need it.",
    )
    minimum_runtime_hours: Hours = Field(
        default=0.0, description="No decision earlier than this after the first assignment."
    )
    attribution_window_hours: Annotated[dict[MetricName, Hours], BeforeValidator(_mapped)] = Field(
        default_factory=dict,
        description="Per metric: only contacts sent at least this long ago count, with the events "
        "inside the window. 0 or absent: all contacts and events so far.",
    )
    srm_alpha: Annotated[Number, Field(gt=0, le=0.5), NO_BOOL] = Field(
        default=0.01, description="A sample-ratio p below this blocks the decision."
    )
    guardrails: Annotated[
        tuple[Annotated[Guardrail, BeforeValidator(_guardrail)], ...], BeforeValidator(_guardrails)
    ] = Field(
        default=GUARDRAILS, description="Rates that the winner must not make worse; empty: none."
    )
    minimum_lift: Annotated[Number, Field(ge=0, lt=100), NO_BOOL] = Field(
        default=0.0,
        description="Percentage points that the lower bound of the lead must exceed. "
        "0: any significant lead.",
    )
    equivalence_margin: Annotated[Number, Field(gt=0, lt=100), NO_BOOL] | None = Field(
        default=None,
        description="Percentage points. The test ends without a winner (equivalent) if all "
        "differences are inside this margin.",
    )
    max_duration_hours: Annotated[Number, Field(gt=0, le=87_600), NO_BOOL] | None = Field(
        default=None,
        description="After this time a test without a winner ends as inconclusive.",
    )
    min_expected_cell: Annotated[Number, Field(ge=0, le=1_000_000), NO_BOOL] = Field(
        default=5.0, description="Smallest expected cell count that a decision needs."
    )
    holdout_percentage: Annotated[Number, Field(ge=0, lt=100), NO_BOOL] = Field(
        default=0.0,
        description="Share of all contacts that is sent nothing, as an additional variant "
        "`holdout`; the other weights share the rest in their proportions.",
    )
    assignment: Assignment | None = Field(
        default=None, description="Assign variants by a contact field instead of at random."
    )

    @model_validator(mode="before")
    @classmethod
    def _profile_fills_gaps(cls, data: object) -> object:
        if isinstance(data, Mapping) and data.get("profile") == "recommended":
            return {**_RECOMMENDED, **data}
        return data

    @model_validator(mode="after")
    def _method_has_its_sample(self) -> Self:
        if (
            self.decision_method is not DecisionMethod.ALWAYS_VALID
            and self.planned_sample_size is None
        ):
            raise PydanticCustomError(
                "planned_sample_missing",
                "decision_method {method} needs planned_sample_size",
                {"method": self.decision_method.value},
            )
        return self

    @property
    def from_field(self) -> str | None:
        """The contact field that assigns variants, None for random assignment."""
        return self.assignment.from_field if self.assignment else None

    def competing(self) -> list[ABTestVariant]:
        """Return the variants that can win: all except the holdout."""
        return [variant for variant in self.variants if not variant.holdout]

    @cached_property
    def exact_alpha(self) -> Decimal:
        """1 − threshold/100 without rounding (95 → 0.05)."""
        return (Decimal(100) - Decimal(repr(self.confidence_threshold))) / 100

    @property
    def alpha(self) -> float:
        """The accepted probability of a false winner."""
        return float(self.exact_alpha)

    def attribution_hours(self, metric: Metric | None = None) -> float:
        """Return the attribution window of a metric (default: the winner metric) in hours. The
        window of a score is the longest of its parts.
        """
        metric = metric or self.winner_metric
        windows = self.attribution_window_hours
        if metric in windows:
            return windows[metric]
        if metric.is_score:
            parts = (Metric.OPEN_RATE, Metric.CLICK_RATE, Metric.REPLY_RATE)
            return max(windows.get(part, 0.0) for part in parts)
        return 0.0

    def fingerprint(self) -> str:
        """Return a hash of the statistical keys; each evaluation records it."""
        keys = self.model_dump(mode="json", exclude=set(GRAPH_KEYS | {"profile"}))
        canonical = json.dumps(keys, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


GRAPH_KEYS: Final = frozenset({"variants", "assignment"})
"""Keys that shape the campaign graph; the statistics do not read them."""


def read_ab_test(
    raw: Mapping[str, object] | None, *, goal_metric: str | None = None
) -> tuple[ABTestConfig | None, list[Problem]]:
    """Return the configuration and its problems; an invalid value is replaced by its default.

    Returns None if there is no test: `raw` is None or empty, as some applications store it.
    """
    if not raw:
        return None, []
    problems: list[Problem] = []
    fields: dict[str, object] = {}
    for key, value in raw.items():
        if key in ABTestConfig.model_fields:
            if value is not None:
                fields[key] = value
        else:
            hint = did_you_mean(key, ABTestConfig.model_fields)
            problems.append(Problem(None, "unknown_key", f"unknown key ab_test_config.{key}{hint}"))
    if goal_metric is not None:
        fields.setdefault("winner_metric", goal_metric)
    while True:
        try:
            return ABTestConfig.model_validate(fields), problems
        except ValidationError as error:
            problems += [
                Problem(None, "ab_test_invalid", problem.message)
                for problem in from_validation(
                    error, node_id=None, where="ab_test_config", model=ABTestConfig
                )
            ]
            bad = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
            bad = bad & fields.keys() or {"decision_method"}
            fields = {key: value for key, value in fields.items() if key not in bad}
