from __future__ import annotations

import pickle

import pytest

from drip_pipeline.experiments import (
    ABTestConfig,
    ConfigInvalid,
    DecisionMethod,
    Guardrail,
    Metric,
    read_test_config,
)


def problems(**config):
    with pytest.raises(ConfigInvalid) as caught:
        read_test_config(config)
    return dict(caught.value.problems)


def test_the_specifications_example_is_read_without_its_graph_keys():
    config = read_test_config(
        {
            "enabled": True,
            "variants": [{"id": "variant_a", "percentage": 50, "step_ids": ["step-a"]}],
            "assignment": {"from_field": "segment"},
            "winner_metric": "open_rate",
            "minimum_sample_size": 100,
            "confidence_threshold": 95.0,
            "auto_select_winner": True,
        }
    )
    assert config == ABTestConfig()


def test_defaults_are_the_documented_ones():
    config = read_test_config(None)
    assert config.minimum_sample_size == 100
    assert config.confidence_threshold == 95.0
    assert config.alpha == 0.05
    assert config.decision_method is DecisionMethod.ALWAYS_VALID
    assert config.srm_alpha == 0.01
    assert config.min_expected_cell == 5
    assert config.minimum_lift == config.minimum_runtime_hours == config.holdout_percentage == 0
    assert config.planned_sample_size is config.equivalence_margin is None
    assert config.attribution_hours() == 0
    assert config.guardrails == tuple(Guardrail)


def test_the_recommended_profile_waits_and_yields_to_explicit_keys():
    config = read_test_config({"profile": "recommended", "minimum_runtime_hours": 6})
    assert config.minimum_runtime_hours == 6
    expected = {
        Metric.OPEN_RATE: 24,
        Metric.CLICK_RATE: 24,
        Metric.REPLY_RATE: 72,
        Metric.CONVERSION_RATE: 168,
        Metric.ENGAGEMENT_SCORE: 72,
    }
    assert {m: config.attribution_hours(m) for m in Metric} == expected
    assert read_test_config({"profile": "recommended"}).minimum_runtime_hours == 24


def test_all_problems_are_reported_at_once_with_suggestions_for_typos():
    found = problems(
        minimum_sampel_size=10,
        confidence_threshold=100,
        winner_metric="luck",
        srm_alpha="0.01",
        guardrails=["rain"],
        attribution_window_hours={"open_rate": -1},
    )
    assert set(found) == {
        "minimum_sampel_size",
        "confidence_threshold",
        "winner_metric",
        "srm_alpha",
        "guardrails",
        "attribution_window_hours",
    }
    assert "minimum_sample_size" in found["minimum_sampel_size"]


@pytest.mark.parametrize("method", ["planned", "fixed_horizon"])
def test_a_method_with_a_plan_needs_the_plan(method):
    assert "planned_sample_size" in problems(decision_method=method)
    config = read_test_config({"decision_method": method, "planned_sample_size": 500})
    assert config.planned_sample_size == 500


def test_a_threshold_has_no_more_places_than_its_column():
    assert read_test_config({"confidence_threshold": 99.95}).alpha == 0.0005
    assert "confidence_threshold" in problems(confidence_threshold=99.999)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ()),
        (False, ()),
        (True, tuple(Guardrail)),
        (["unsubscribe_rate", "total_bounced"], (Guardrail.UNSUBSCRIBES, Guardrail.BOUNCES)),
        ({"complaints": {}, "bounces": False}, (Guardrail.COMPLAINTS,)),
    ],
)
def test_guardrails_have_aliases(given, expected):
    assert read_test_config({"guardrails": given}).guardrails == expected


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("conversions", Metric.CONVERSION_RATE),
        ("clicks", Metric.CLICK_RATE),
        ("engagement", Metric.ENGAGEMENT_SCORE),
    ],
)
def test_metrics_have_aliases(name, metric):
    assert read_test_config({"winner_metric": name}).winner_metric is metric


def test_the_fingerprint_follows_the_meaning_and_not_the_spelling():
    one = read_test_config({"winner_metric": "clicks", "minimum_sample_size": 100})
    two = read_test_config({"winner_metric": "click_rate", "variants": []})
    three = read_test_config({"winner_metric": "click_rate", "minimum_lift": 0.5})
    assert one.fingerprint() == two.fingerprint() != three.fingerprint()
    assert len(one.fingerprint()) == 64


def test_an_unknown_profile_is_refused():
    assert "profile" in problems(profile="brave")


def test_the_error_survives_pickling():
    with pytest.raises(ConfigInvalid) as caught:
        read_test_config({"minimum_sample_size": 0})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.problems == caught.value.problems
