"""The A/B test of a campaign file: publishing rejects what evaluation could not use."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.domain.compiler.api import load_definition, validate
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.experiments import ConfigInvalid
from drip_pipeline.experiments.config import read_test_config
from tests.domain.campaign_files import ab_test


def errors(**keys: Any) -> list[str]:
    file = ab_test()
    file["ab_test_config"] |= keys
    definition = load_definition(file)
    result = validate(
        definition, known_custom_fields=frozenset(), available_channels=frozenset({"email"})
    )
    return [problem.message for problem in errors_in(result)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("minimum_lift", 100),
        ("equivalence_margin", 100),
        ("srm_alpha", 0.6),
        ("minimum_sample_size", 10**10),
        ("minimum_runtime_hours", 87_601),
        ("max_duration_hours", 0),
        ("confidence_threshold", 99.999),
        ("winner_metric", "luck"),
        ("guardrails", ["rain"]),
        ("decision_method", "by eye"),
    ],
)
def test_publishing_and_evaluating_refuse_the_same_values_and_name_the_key(
    key: str, value: Any
) -> None:
    (message,) = errors(**{key: value})
    assert f"ab_test_config.{key}" in message
    with pytest.raises(ConfigInvalid) as caught:
        read_test_config({key: value})
    assert [name for name, _ in caught.value.problems] == [key]


def test_a_minimum_lift_of_100_points_is_refused_because_no_lead_exceeds_it() -> None:
    (message,) = errors(minimum_lift=100)
    assert message == "ab_test_config.minimum_lift: should be less than 100"
    assert errors(minimum_lift=99.9) == []


@pytest.mark.parametrize(
    "keys",
    [
        {"winner_metric": "Opens"},
        {"guardrails": ["unsubscribed", "bounce_rate"]},
        {"guardrails": {"complaints": False}},
        {"profile": "recommended"},
        {"decision_method": "planned", "planned_sample_size": 500},
        {"attribution_window_hours": {"clicks": 24}},
    ],
)
def test_publishing_and_evaluating_accept_the_same_spellings(keys: dict[str, Any]) -> None:
    assert errors(**keys) == []
    read_test_config(keys)
