"""Rules of an A/B test as a whole: its split, at least two competing variants, and steps inside
their variants. Single keys are checked in definition/ab_test.py, weights in splits.py.
"""

from __future__ import annotations

from drip_pipeline.domain.compiler.analysis import Analysis
from drip_pipeline.domain.compiler.variant_regions import variant_areas
from drip_pipeline.domain.definition.ab_test import ABTestConfig
from drip_pipeline.domain.definition.problems import Problem, did_you_mean
from drip_pipeline.domain.graph.graph import NodeType
from drip_pipeline.domain.graph.nodes import SplitConfig


def ab_test_problems(analysis: Analysis) -> list[Problem]:
    """Return the problems of the campaign as an A/B test."""
    problems: list[Problem] = []
    is_test = analysis.definition.campaign_type == "ab_test"
    splits = analysis.of_type(NodeType.SPLIT)
    if is_test and not splits:
        problems.append(
            Problem(None, "split_missing", "an A/B test needs a split node with its variants")
        )
    experiment = analysis.experiment
    if experiment is None:
        if is_test:
            problems.append(
                Problem(
                    None,
                    "ab_test_config_missing",
                    "an A/B test needs ab_test_config with variants and winner_metric",
                )
            )
        return problems
    if not is_test and experiment.enabled and experiment.variants and not splits:
        problems.append(
            Problem(None, "split_missing", "ab_test_config names variants, but there is no split")
        )
    if is_test and not experiment.enabled:
        problems.append(
            Problem(
                None,
                "ab_test_disabled",
                "ab_test_config.enabled is false: the split assigns, but the test is not evaluated",
                "warning",
            )
        )
    if is_test or experiment.variants:
        problems += _variant_problems(analysis, experiment)
    return problems + _step_problems(analysis, experiment)


def _variant_problems(analysis: Analysis, experiment: ABTestConfig) -> list[Problem]:
    problems: list[Problem] = []
    ids = [variant.id for variant in experiment.variants]
    problems += [
        Problem(None, "variant_duplicate", f"ab_test_config names variant {name} more than once")
        for name in sorted({name for name in ids if ids.count(name) > 1})
    ]
    split = analysis.configs.get(analysis.tested_split_id or "")
    competing = [variant.id for variant in experiment.competing()]
    if isinstance(split, SplitConfig):
        of_split = {variant.id: variant for variant in split.variants}
        has_shares = any(variant.percentage > 0 for variant in split.variants)
        left_out = {v.id for v in split.variants if has_shares and v.percentage == 0}
        if not experiment.variants:
            competing = [variant.id for variant in split.variants if not variant.holdout]
        competing = [variant_id for variant_id in competing if variant_id not in left_out]
        problems += [
            Problem(
                analysis.tested_split_id,
                "variant_unknown",
                f"ab_test_config names variant {name}, which the split does not have"
                f"{did_you_mean(name, of_split)}",
            )
            for name in dict.fromkeys(ids)
            if name not in of_split
        ]
    if len(competing) < 2:
        problems.append(
            Problem(
                None,
                "ab_test_too_few",
                "an A/B test needs at least two competing variants with a share of the contacts,"
                " besides a holdout; this one has"
                f" {len(competing)}",
            )
        )
    return problems


def _step_problems(analysis: Analysis, experiment: ABTestConfig) -> list[Problem]:
    """Check that `step_ids` name steps inside their variant."""
    problems: list[Problem] = []
    triggers = analysis.of_type(NodeType.TRIGGER)
    areas = {
        variant_id: area
        for split_id, variant_id, area in (variant_areas(triggers[0], analysis) if triggers else ())
        if split_id == analysis.tested_split_id
    }
    for variant in experiment.variants:
        for name in variant.step_ids:
            if name not in analysis.steps:
                problems.append(
                    Problem(
                        None,
                        "step_unknown",
                        f"ab_test_config: variant {variant.id} names step {name}, which is not in"
                        f" the campaign{did_you_mean(name, analysis.steps)}",
                    )
                )
            elif variant.id in areas and name not in areas[variant.id]:
                problems.append(
                    Problem(
                        name,
                        "variant_step_outside",
                        f"ab_test_config lists this step for variant {variant.id}, but it can be"
                        " reached without passing that variant, or not at all",
                    )
                )
    return problems
