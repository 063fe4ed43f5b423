"""The A/B test of a campaign file: the specification's keys and those of the statistics.

What the numbers mean and how they are used is the business of experiments/; here they are read,
given their defaults and checked one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

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

from drip_pipeline.domain.definition.campaign_file import Metric
from drip_pipeline.domain.definition.problems import Problem, did_you_mean, from_validation
from drip_pipeline.domain.graph.fields import NO_BOOL, Name, Names, Number

HOLDOUT_VARIANT_ID: Final = "holdout"
Guardrail = Literal["unsubscribes", "bounces", "complaints"]
GUARDRAILS: Final[tuple[Guardrail, ...]] = ("unsubscribes", "bounces", "complaints")

_METRICS: Final[Mapping[str, str]] = {
    "open": "open_rate",
    "click": "click_rate",
    "reply": "reply_rate",
    "replie": "reply_rate",
    "conversion": "conversion_rate",
    "engagement": "engagement_score",
    "engagement_score": "engagement_score",
}
_RECOMMENDED: Final[Mapping[str, Any]] = {
    "minimum_runtime_hours": 24,
    "attribution_window_hours": {
        "open_rate": 24,
        "click_rate": 24,
        "reply_rate": 72,
        "conversion_rate": 168,
    },
}


def _metric(value: object) -> object:
    """`opens` and `open_rate` are one metric."""
    if not isinstance(value, str):
        return value
    name = value.strip().lower()
    return _METRICS.get(name.removesuffix("_rate").removesuffix("s"), name)


def _guardrails(value: object) -> object:
    """A list of names, or true for all of them, false for none, or {name: wanted}."""
    if isinstance(value, bool):
        return GUARDRAILS if value else ()
    if isinstance(value, Mapping):
        value = [name for name, wanted in value.items() if wanted is not False]
    if isinstance(value, list | tuple):
        return tuple(
            f"{name.removesuffix('_rate').removesuffix('s')}s" if isinstance(name, str) else name
            for name in value
        )
    return value


def _two_places(value: float) -> float:
    if round(value, 2) != value:
        raise PydanticCustomError("two_places", "must have at most two decimal places")
    return value


def _listed(value: object) -> object:
    return () if value is None else value


MetricName = Annotated[Metric, BeforeValidator(_metric)]


class ABTestVariant(BaseModel):
    """A variant of the test. `percentage` (0..100) may be left out when people are assigned from a
    field; `values` is what stands in that field. `step_ids` name the variant's steps by node id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name
    name: str = ""
    percentage: Annotated[Number, Field(ge=0, le=100), NO_BOOL] | None = None
    holdout: bool = False
    values: Names = ()
    step_ids: Annotated[Names, BeforeValidator(_listed)] = ()


class Assignment(BaseModel):
    """Who is in which variant stands in this contact field or custom field already."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_field: Name


class ABTestConfig(BaseModel):
    """The test's configuration. Percentages are 0..100, times are hours.

    `holdout_percentage`: share of everybody who gets nothing; it adds a variant `holdout` to the
    split, and the other weights share the rest in their proportions. `profile: recommended` sets
    a runtime of 24 h and attribution windows of 24 h for opens and clicks, 72 h for replies and
    168 h for conversions, where they are not given. `srm_alpha`: below it a sample-ratio mismatch
    blocks the decision. `guardrails`: in what the winner must not be worse. `winner_metric` left
    out is the campaign's `goal_metric`, or the open rate when it has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    variants: Annotated[tuple[ABTestVariant, ...], BeforeValidator(_listed)] = ()
    winner_metric: MetricName = "open_rate"
    minimum_sample_size: Annotated[int, Field(ge=1, le=1_000_000_000), NO_BOOL] = 100
    confidence_threshold: Annotated[
        Number, Field(ge=50, lt=100), AfterValidator(_two_places), NO_BOOL
    ] = 95.0
    auto_select_winner: bool = True
    profile: Literal["default", "recommended"] = "default"
    decision_method: Literal["always_valid", "planned", "fixed_horizon"] = "always_valid"
    planned_sample_size: Annotated[int, Field(ge=1, le=1_000_000_000), NO_BOOL] | None = None
    minimum_runtime_hours: Annotated[Number, Field(ge=0, le=87_600), NO_BOOL] = 0
    attribution_window_hours: dict[
        MetricName, Annotated[Number, Field(ge=0, le=87_600), NO_BOOL]
    ] = Field(default_factory=dict)
    srm_alpha: Annotated[Number, Field(gt=0, le=0.5), NO_BOOL] = 0.01
    guardrails: Annotated[tuple[Guardrail, ...], BeforeValidator(_guardrails)] = GUARDRAILS
    minimum_lift: Annotated[Number, Field(ge=0, le=100), NO_BOOL] = 0
    equivalence_margin: Annotated[Number, Field(gt=0, le=100), NO_BOOL] | None = None
    max_duration_hours: Annotated[Number, Field(gt=0, le=87_600), NO_BOOL] | None = None
    min_expected_cell: Annotated[Number, Field(ge=0, le=1_000_000), NO_BOOL] = 5
    holdout_percentage: Annotated[Number, Field(ge=0, lt=100), NO_BOOL] = 0
    assignment: Assignment | None = None

    @model_validator(mode="before")
    @classmethod
    def _profile_fills_gaps(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("profile") == "recommended":
            return {**_RECOMMENDED, **data}
        return data

    @model_validator(mode="after")
    def _method_has_its_sample(self) -> Self:
        if self.decision_method != "always_valid" and self.planned_sample_size is None:
            raise PydanticCustomError(
                "planned_sample_missing",
                "decision_method {method} needs planned_sample_size",
                {"method": self.decision_method},
            )
        return self

    @property
    def from_field(self) -> str | None:
        """The field that assigns people, if one does."""
        return self.assignment.from_field if self.assignment else None

    def competing(self) -> list[ABTestVariant]:
        """Variants that can win: all but the held-out."""
        return [variant for variant in self.variants if not variant.holdout]


def read_ab_test(
    raw: Mapping[str, Any] | None, *, goal_metric: Metric | None = None
) -> tuple[ABTestConfig | None, list[Problem]]:
    """The configuration and what is wrong with it; what is wrong is replaced by its default.

    None for no test: nothing given, or an empty object, as some applications store it.
    """
    if not raw:
        return None, []
    problems: list[Problem] = []
    fields: dict[str, Any] = {}
    for key, value in raw.items():
        if key in ABTestConfig.model_fields:
            if value is not None:
                fields[key] = value
        else:
            hint = did_you_mean(key, ABTestConfig.model_fields)
            problems.append(
                Problem(None, "unknown_key", f"ab_test_config.{key} is not a known key{hint}")
            )
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
