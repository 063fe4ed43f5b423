"""The statistical configuration of a test: one documented object that validates itself, frozen when
the test starts.

It reads the specification's `ab_test_config`; the keys there that shape the campaign graph
(`variants`, `assignment`) belong to the graph and are passed over.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from drip_pipeline.errors import StatisticsInputError
from drip_pipeline.experiments.metrics import GUARDRAIL_ALIASES, METRIC_ALIASES, Guardrail, Metric

# Keys of `ab_test_config` that the campaign graph reads, not the statistics.
GRAPH_KEYS = frozenset({"variants", "assignment"})


class DecisionMethod(StrEnum):
    """How evidence becomes a decision. `always_valid` may be looked at at any time and needs no
    plan.
    """

    ALWAYS_VALID = "always_valid"
    PLANNED = "planned"
    FIXED_HORIZON = "fixed_horizon"


class ConfigInvalid(StatisticsInputError):
    """A statistical configuration cannot be used. `problems` holds all of them as (key,
    sentence).
    """

    default_hint = "Correct ab_test_config; the keys and their units are in ABTestConfig."

    def __init__(self, problems: Sequence[tuple[str, str]], *, hint: str | None = None) -> None:
        listed = "; ".join(f"{key}: {sentence}" for key, sentence in problems)
        super().__init__(f"ab_test_config cannot be used: {listed}", hint=hint)
        self.problems = tuple(problems)


class ABTestConfig(BaseModel):
    """How one test is judged. Percentages are 0 … 100, differences of rates are percentage
    points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    enabled: bool = Field(default=True, description="Off: the engine does not judge this test.")
    winner_metric: Annotated[Metric, Field(strict=False)] = Field(
        default=Metric.OPEN_RATE, description="The figure that decides."
    )
    minimum_sample_size: int = Field(
        default=100, ge=1, description="Contacts that every variant needs before anything is said."
    )
    confidence_threshold: float = Field(
        default=95.0,
        ge=50,
        lt=100,
        description="Percent, at most two places. alpha = 1 - this/100.",
    )
    auto_select_winner: bool = Field(
        default=True, description="Off: a winner waits for a person in the state `significant`."
    )
    decision_method: Annotated[DecisionMethod, Field(strict=False)] = Field(
        default=DecisionMethod.ALWAYS_VALID, description="always_valid, planned or fixed_horizon."
    )
    planned_sample_size: int | None = Field(
        default=None,
        ge=1,
        description="Contacts per variant at the end; planned and fixed_horizon need it.",
    )
    minimum_runtime_hours: float = Field(
        default=0.0, ge=0, description="No decision earlier than this after the start."
    )
    attribution_window_hours: Mapping[Metric, float] = Field(
        default_factory=dict,
        description="Per metric: only contacts sent at least so long ago count, with the events "
        "inside the window. 0 or absent: everything so far.",
    )
    srm_alpha: float = Field(
        default=0.01, gt=0, lt=1, description="A sample-ratio p below this blocks the test."
    )
    guardrails: tuple[Guardrail, ...] = Field(
        default=tuple(Guardrail), description="What the leader must not make worse; empty: nothing."
    )
    minimum_lift: float = Field(
        default=0.0,
        ge=0,
        lt=100,
        description="Percentage points that the lower bound of the lead must exceed. "
        "0: any lead that is significant.",
    )
    equivalence_margin: float | None = Field(
        default=None,
        gt=0,
        lt=100,
        description="Percentage points; every difference surely inside: no winner, equivalent.",
    )
    max_duration_hours: float | None = Field(
        default=None, gt=0, description="After this a test without a winner ends as inconclusive."
    )
    min_expected_cell: float = Field(
        default=5.0,
        ge=0,
        description="Smallest expected cell of the table before anything is said.",
    )
    holdout_percentage: float = Field(
        default=0.0, ge=0, lt=100, description="Share of people who are sent nothing."
    )

    @field_validator("winner_metric", mode="before")
    @classmethod
    def _metric_by_any_name(cls, value: Any) -> Any:
        return METRIC_ALIASES.get(value, value) if isinstance(value, str) else value

    @field_validator("attribution_window_hours", mode="before")
    @classmethod
    def _windows_by_any_name(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise ValueError("should map metrics to hours")
        windows = {}
        for key, hours in value.items():
            if key not in METRIC_ALIASES:
                raise ValueError(f"{key!r} is not a metric")
            if isinstance(hours, bool) or not isinstance(hours, int | float) or not hours >= 0:
                raise ValueError(f"the window of {key} should be hours, 0 or more")
            windows[METRIC_ALIASES[key]] = float(hours)
        return windows

    @field_validator("guardrails", mode="before")
    @classmethod
    def _guardrails_by_any_name(cls, value: Any) -> Any:
        if value is None or value is True:
            return tuple(Guardrail)
        if value is False:
            return ()
        if isinstance(value, Mapping):
            value = [name for name, wanted in value.items() if wanted is not False]
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError("should be a list out of " + ", ".join(Guardrail))
        unknown = [name for name in value if name not in GUARDRAIL_ALIASES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none of " + ", ".join(Guardrail))
        return tuple(dict.fromkeys(GUARDRAIL_ALIASES[name] for name in value))

    @field_validator("confidence_threshold")
    @classmethod
    def _two_places(cls, value: float) -> float:
        # The column confidence_level has two places and is compared with this; more would make the
        # comparison unseeable.
        if Decimal(repr(value)) != round(Decimal(repr(value)), 2):
            raise ValueError("should have at most two places")
        return value

    @model_validator(mode="after")
    def _plan_is_known(self) -> Self:
        if self.decision_method is not DecisionMethod.ALWAYS_VALID and not self.planned_sample_size:
            raise ValueError(
                f"planned_sample_size is needed by decision_method {self.decision_method}"
            )
        return self

    @cached_property
    def exact_alpha(self) -> Decimal:
        """1 − threshold/100 without rounding (95 → 0.05)."""
        return (Decimal(100) - Decimal(repr(self.confidence_threshold))) / 100

    @property
    def alpha(self) -> float:
        """The probability of a false winner that is accepted."""
        return float(self.exact_alpha)

    def attribution_hours(self, metric: Metric | None = None) -> float:
        """The window of a metric in hours (default: of the winner metric). A score waits for its
        slowest part.
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
        """A hash of the whole configuration; an evaluation records it as what it was judged by."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any] | None) -> ABTestConfig:
        """Read an `ab_test_config`. `profile: recommended` sets that profile's defaults; explicit
        keys win over it.

        Raises `ConfigInvalid` with every problem: a key that is unknown, of the wrong type or out
        of range.
        """
        given = {k: v for k, v in (mapping or {}).items() if k not in GRAPH_KEYS}
        profile = given.pop("profile", "default")
        if profile not in PROFILES:
            raise ConfigInvalid([("profile", f"{profile!r} is none of {', '.join(PROFILES)}")])
        try:
            return cls.model_validate({**PROFILES[profile], **given})
        except ValidationError as error:
            raise ConfigInvalid(config_problems(error)) from None


# The recommended profile: at least a day, so that no hour of the day is missing, and windows long
# enough for slow reactions (a variant that merely gets its opens faster would otherwise win).
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "recommended": {
        "minimum_runtime_hours": 24.0,
        "attribution_window_hours": {
            Metric.OPEN_RATE: 24.0,
            Metric.CLICK_RATE: 24.0,
            Metric.REPLY_RATE: 72.0,
            Metric.CONVERSION_RATE: 168.0,
        },
    },
}


def config_problems(error: ValidationError) -> list[tuple[str, str]]:
    """Return pydantic's errors as (key, message) pairs, with a suggestion for a misspelled key."""
    problems = []
    for found in error.errors(include_url=False):
        key = str(found["loc"][0]) if found["loc"] else "planned_sample_size"
        sentence = found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, ABTestConfig.model_fields, n=1)
            sentence = "unknown key" + (f", did you mean {near[0]}?" if near else "")
        problems.append((key, sentence))
    return problems
