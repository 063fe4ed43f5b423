from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.domain.compiler.api import load_definition
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.graph.nodes import SplitConfig
from tests.domain.campaign_files import (
    File,
    ab_test,
    codes,
    edge,
    email_step,
    problems,
    step,
    with_canvas,
)


def split_of(file: File, node_id: str = "arms") -> SplitConfig:
    assert errors_in(problems(file, known_custom_fields=frozenset({"segment"}))) == []
    config = compile_graph(load_definition(file), {}).nodes[node_id].config
    assert isinstance(config, SplitConfig)
    return config


def shares(file: File, node_id: str = "arms") -> dict[str, float]:
    return {variant.id: variant.percentage for variant in split_of(file, node_id).variants}


def variants_of(file: File) -> list[File]:
    variants: list[File] = file["ab_test_config"]["variants"]
    return variants


def test_weights_come_from_the_test_or_from_the_split() -> None:
    file = ab_test()
    assert shares(file) == {"a": 50, "b": 50}
    step(file, "arms")["variants"] = [{"id": "a", "percentage": 30}, {"id": "b", "percentage": 70}]
    for variant in variants_of(file):
        del variant["percentage"]
    assert shares(file) == {"a": 30, "b": 70}
    assert split_of(file).variants[0].name == "Short"


def weighted(**weights: float) -> File:
    """Return a test whose split has variants of these weights; those of `a` and `b` have steps."""
    file = ab_test()
    for variant in variants_of(file):
        del variant["percentage"]
    step(file, "arms")["variants"] = [
        {"id": name, "percentage": weight, "holdout": name.startswith("out")}
        for name, weight in weights.items()
    ]
    return file


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ({"a": 99.995, "b": 0.005}, {("arms", "weight_too_small")}),
        ({"a": 99.99, "b": 0.01}, set()),
        ({"a": 100, "b": 0}, {("arms", "weight_zero"), (None, "ab_test_too_few")}),
        ({"a": 50, "b": 50, "out": 0}, {("arms", "weight_zero")}),
        ({"a": 50, "b": 49.995, "out": 0.005}, {("arms", "weight_too_small")}),
    ],
)
def test_shares_that_hardly_any_contact_gets_are_reported(
    weights: dict[str, float], problem: set[tuple[str | None, str]]
) -> None:
    assert codes(weighted(**weights)) == problem


def test_a_share_that_a_holdout_makes_too_small_is_reported() -> None:
    file = weighted(a=99.98, b=0.02)
    file["ab_test_config"]["holdout_percentage"] = 60
    assert codes(file) == {("arms", "weight_too_small")}


def test_different_weights_on_split_and_test_are_reported() -> None:
    file = ab_test()
    step(file, "arms")["variants"] = [{"id": "a", "percentage": 30}, {"id": "b", "percentage": 70}]
    assert codes(file) == {("arms", "weights_conflict")}


@pytest.mark.parametrize(
    ("first", "second", "is_valid"),
    [(33.34, 66.66, True), (33.335, 66.66, True), (50, 50.02, False), (50, 40, False)],
)
def test_weights_sum_to_100_within_the_tolerance(
    first: float, second: float, is_valid: bool
) -> None:
    file = ab_test()
    for variant, weight in zip(variants_of(file), (first, second), strict=True):
        variant["percentage"] = weight
    assert (("arms", "weights_sum") not in codes(file)) is is_valid


def test_a_random_split_needs_no_test() -> None:
    file = ab_test()
    del file["ab_test_config"]
    file["campaign_type"] = "branching"
    step(file, "arms")["variants"] = [
        {"id": "a", "percentage": 20, "target_node_id": "short"},
        {"id": "b", "percentage": 80, "target_node_id": "long"},
    ]
    for target in ("short", "long"):
        edge(file, "arms", target).pop("sourceHandle")
    file["canvas_data"]["edges"].reverse()
    assert shares(file) == {"a": 20, "b": 80}
    graph = compile_graph(load_definition(file), {})
    assert graph.first_node_of_variant("arms", "a") == "short"


@pytest.mark.parametrize("names_the_split", [True, False])
def test_columns_of_the_steps_can_define_all_variants(names_the_split: bool) -> None:
    file = ab_test()
    del file["ab_test_config"]
    file["campaign_type"] = "branching"
    for name, group, share in (("short", "variant_a", 33), ("long", "variant_b", 67)):
        step(file, name).update(variant_group=group, variant_percentage=share)
        if names_the_split:
            step(file, name)["parent_split_id"] = "arms"
        edge(file, "arms", name).pop("sourceHandle")
    file["canvas_data"]["edges"].reverse()
    assert shares(file) == {"variant_a": 33, "variant_b": 67}
    graph = compile_graph(load_definition(file), {})
    assert graph.first_node_of_variant("arms", "variant_a") == "short"


def test_columns_that_contradict_the_weights_are_reported() -> None:
    file = ab_test()
    step(file, "short").update(variant_group="a", variant_percentage=50)
    assert codes(file) == set()
    step(file, "short")["variant_percentage"] = 51
    assert codes(file) == {("arms", "weights_conflict")}
    step(file, "short")["parent_split_id"] = "long"
    assert ("short", "split_unknown") in codes(file)


@pytest.mark.parametrize(
    "signs",
    [
        ({"sourceHandle": "a"}, {"sourceHandle": "b"}),
        ({"sourceHandle": "A"}, {"sourceHandle": "B"}),
        ({"type": "variant-a"}, {"type": "variant-b"}),
        ({"label": "Short"}, {"label": "Long"}),
        ({}, {}),  # step_ids of the test assign the variants
    ],
)
def test_edges_of_a_split_are_assigned_to_variants(signs: tuple[File, File]) -> None:
    file = ab_test()
    for target, sign in zip(("short", "long"), signs, strict=True):
        edge(file, "arms", target).pop("sourceHandle")
        edge(file, "arms", target).update(sign)
    file["canvas_data"]["edges"].reverse()
    graph = compile_graph(load_definition(file), {})
    assert graph.first_node_of_variant("arms", "a") == "short"
    assert graph.first_node_of_variant("arms", "b") == "long"


def test_a_held_out_variant_needs_no_edge() -> None:
    file = ab_test()
    variants_of(file).append({"id": "quiet", "percentage": 10, "holdout": True})
    variants_of(file)[0]["percentage"] = 40
    split = split_of(file)
    assert [variant.holdout for variant in split.variants] == [False, False, True]
    graph = compile_graph(load_definition(file), {})
    assert graph.first_node_of_variant("arms", "quiet") is None


def test_a_holdout_percentage_is_a_share_of_all_contacts() -> None:
    file = ab_test()
    file["ab_test_config"]["holdout_percentage"] = 10
    assert shares(file) == {"a": 45, "b": 45, "holdout": 10}
    variants_of(file)[1]["holdout"] = True
    assert ("arms", "holdout_twice") in codes(file)


def test_a_contact_field_can_assign_the_variants() -> None:
    file = ab_test()
    file["ab_test_config"]["assignment"] = {"from_field": "segment"}
    variants_of(file)[0]["values"] = ["Mens E-Mail"]
    assert split_of(file).from_field == "segment"
    for variant in variants_of(file):
        del variant["percentage"]
    assert shares(file) == {"a": 0, "b": 0}  # unknown shares
    variants_of(file)[0]["percentage"] = 50
    assert ("arms", "weights_missing") in codes(file)


def two_splits() -> File:
    """Return a file with an outer split; its variant x leads to the tested split."""
    file = ab_test()
    more = with_canvas("x", {"outer": {"node_type": "split"}, "other": email_step()}, [])
    file["canvas_data"]["nodes"] += more["canvas_data"]["nodes"]
    file["steps"] += more["steps"]
    edge(file, "start", "arms").update(target="outer")
    file["canvas_data"]["edges"] += [
        {"id": "o1", "source": "outer", "target": "arms", "sourceHandle": "x"},
        {"id": "o2", "source": "outer", "target": "other", "sourceHandle": "y"},
        {"id": "o3", "source": "other", "target": "end"},
    ]
    step(file, "outer")["variants"] = [{"id": "x", "percentage": 60}, {"id": "y", "percentage": 40}]
    return file


def test_several_splits_each_have_their_own_variants() -> None:
    file = two_splits()
    assert shares(file) == {"a": 50, "b": 50}
    assert shares(file, "outer") == {"x": 60, "y": 40}
    del step(file, "outer")["variants"]
    assert {("arms", "variants_missing"), ("outer", "variants_missing")} <= codes(file)


def test_a_node_belongs_to_the_variant_of_its_innermost_split() -> None:
    graph = compile_graph(load_definition(two_splits()), {})
    assert graph.variant_of_node == {
        "arms": ("outer", "x"),
        "short": ("arms", "a"),
        "long": ("arms", "b"),
        "other": ("outer", "y"),
    }


def test_a_node_behind_both_variants_belongs_to_none() -> None:
    graph = compile_graph(load_definition(ab_test()), {})
    assert graph.variant_of_node == {"short": ("arms", "a"), "long": ("arms", "b")}


def test_a_cycle_back_to_the_split_belongs_to_the_variant() -> None:
    file = ab_test()
    pause = {"type": "duration", "value": 1, "unit": "days"}
    more = with_canvas("x", {"pause": {"node_type": "wait", "wait_config": pause}}, [])
    file["canvas_data"]["nodes"] += more["canvas_data"]["nodes"]
    file["steps"] += more["steps"]
    edge(file, "short", "end").update(target="pause")
    file["canvas_data"]["edges"].append({"id": "back", "source": "pause", "target": "arms"})
    graph = compile_graph(load_definition(file), {})
    assert graph.variant_of_node["pause"] == ("arms", "a")
    assert graph.variant_of_node["end"] == ("arms", "b")
    assert "arms" not in graph.variant_of_node


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.pop("ab_test_config"), (None, "ab_test_config_missing")),
        (lambda f: variants_of(f).pop(), (None, "ab_test_too_few")),
        (lambda f: variants_of(f)[1].update(holdout=True), (None, "ab_test_too_few")),
        (lambda f: variants_of(f)[1].update(id="a"), ("arms", "variant_duplicate")),
        (lambda f: variants_of(f)[0].update(step_ids=["shrt"]), (None, "step_unknown")),
        (lambda f: variants_of(f)[0].update(step_ids=["end"]), ("end", "variant_step_outside")),
        (lambda f: variants_of(f)[0].update(percent=5), (None, "ab_test_invalid")),
        (lambda f: variants_of(f)[0].pop("percentage"), ("arms", "weights_missing")),
        (lambda f: f["ab_test_config"].update(winner_metrik="x"), (None, "unknown_key")),
        (lambda f: f["ab_test_config"].update(winner_metric="luck"), (None, "ab_test_invalid")),
        (lambda f: f["ab_test_config"].update(confidence_threshold=100), (None, "ab_test_invalid")),
        (
            lambda f: f["ab_test_config"].update(confidence_threshold=95.123),
            (None, "ab_test_invalid"),
        ),
        (lambda f: f["ab_test_config"].update(minimum_sample_size=0), (None, "ab_test_invalid")),
        (
            lambda f: f["ab_test_config"].update(decision_method="planned"),
            (None, "ab_test_invalid"),
        ),
        (lambda f: f["ab_test_config"].update(enabled=False), (None, "ab_test_disabled")),
        (lambda f: edge(f, "arms", "long").update(sourceHandle="c"), None),
        (
            lambda f: (
                f["canvas_data"]["edges"].remove(edge(f, "arms", "long")),
                variants_of(f)[1].update(step_ids=[]),
            ),
            ("arms", "variant_without_target"),
        ),
    ],
)
def test_an_ab_test_that_cannot_be_evaluated_is_invalid(change: Any, problem: Any) -> None:
    file = ab_test()
    change(file)
    if problem is None:  # step_ids still assign the variant
        assert codes(file) == set()
    else:
        assert problem in codes(file)


def test_the_metric_has_aliases_and_defaults_to_the_campaigns_goal() -> None:
    from drip_pipeline.domain.compiler.analysis import analyze

    file = ab_test() | {"goal_metric": "reply_rate"}
    del file["ab_test_config"]["winner_metric"]
    experiment = analyze(load_definition(file)).experiment
    assert experiment is not None
    assert experiment.winner_metric == "reply_rate"
    file["ab_test_config"] |= {
        "winner_metric": "conversions",
        "profile": "recommended",
        "attribution_window_hours": {"opens": 5},
        "guardrails": ["bounce_rate", "complaints"],
    }
    experiment = analyze(load_definition(file)).experiment
    assert experiment is not None
    assert experiment.winner_metric == "conversion_rate"
    assert experiment.minimum_runtime_hours == 24
    assert experiment.attribution_window_hours == {"open_rate": 5}
    assert experiment.guardrails == ("bounces", "complaints")
