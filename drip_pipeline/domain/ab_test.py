"""The A/B test of a campaign file: the specification's keys and those of the statistics.

What the numbers mean and how they are used is the business of experiments/; here they are read,
given their defaults and checked one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.campaign_file import Metric
from drip_pipeline.domain.nodes import Name, Names, Number
from drip_pipeline.domain.problems import Problem, did_you_mean, from_validation

HOLDOUT_VARIANT_ID: Final = "holdout"
Guardrail = Literal["unsubscribe_rate", "bounce_rate", "complaint_rate"]

_GUARDRAIL_NAMES: Final[Mapping[str, str]] = {
    "unsubscribe": "unsubscribe_rate",
    "unsubscribes": "unsubscribe_rate",
    "bounce": "bounce_rate",
    "bounces": "bounce_rate",
    "complaint": "complaint_rate",
    "complaints": "complaint_rate",
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


def _guardrails(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(_GUARDRAIL_NAMES.get(v, v) if isinstance(v, str) else v for v in value)
    return value


def _listed(value: object) -> object:
    return () if value is None else value


class ABTestVariant(BaseModel):
    """A variant of the test. `percentage` (0..100) may be left out when people are assigned from a
    field; `values` is what stands in that field. `step_ids` name the variant's steps by node id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name
    name: str = ""
    percentage: Annotated[Number, Field(ge=0, le=100)] | None = None
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
    blocks the decision. `guardrails`: rates in which the winner must not be worse.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    variants: Annotated[tuple[ABTestVariant, ...], BeforeValidator(_listed)] = ()
    winner_metric: Metric | None = None
    minimum_sample_size: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100
    confidence_threshold: Annotated[Number, Field(ge=50, lt=100)] = 95.0
    auto_select_winner: bool = False
    profile: Literal["recommended"] | None = None
    decision_method: Literal["always_valid", "planned", "fixed_horizon"] = "always_valid"
    planned_sample_size: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    minimum_runtime_hours: Annotated[Number, Field(ge=0, le=87_600)] = 0
    attribution_window_hours: dict[Metric, Annotated[Number, Field(ge=0, le=87_600)]] = Field(
        default_factory=dict
    )
    srm_alpha: Annotated[Number, Field(gt=0, le=0.5)] = 0.01
    guardrails: Annotated[tuple[Guardrail, ...], BeforeValidator(_guardrails)] = (
        "unsubscribe_rate",
        "bounce_rate",
        "complaint_rate",
    )
    minimum_lift: Annotated[Number, Field(ge=0, le=100)] = 0
    equivalence_margin: Annotated[Number, Field(gt=0, le=100)] | None = None
    max_duration_hours: Annotated[Number, Field(gt=0, le=87_600)] | None = None
    maximum_sample_size: Annotated[int, Field(ge=1)] | None = None
    min_expected_cell: Annotated[Number, Field(ge=0, le=1_000_000)] = 5
    holdout_percentage: Annotated[Number, Field(ge=0, lt=100)] = 0
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


def read_ab_test(raw: Mapping[str, Any] | None) -> tuple[ABTestConfig | None, list[Problem]]:
    """The configuration and what is wrong with it; what is wrong is replaced by its default."""
    if raw is None:
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
