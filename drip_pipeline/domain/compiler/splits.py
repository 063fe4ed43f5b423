"""Read the variants of every split and their traffic shares.

Shares come from the split's own `variants` or from `ab_test_config.variants`; a share in both must
be the same. The share of a holdout is added here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from drip_pipeline.domain.definition.ab_test import (
    HOLDOUT_VARIANT_ID,
    ABTestConfig,
    ABTestVariant,
    Assignment,
)
from drip_pipeline.domain.definition.campaign_file import StepDefinition
from drip_pipeline.domain.definition.problems import Problem, Problems, from_validation
from drip_pipeline.domain.graph.nodes import WEIGHT_TOLERANCE, SplitConfig, Variant
from drip_pipeline.domain.identity import BUCKETS

SMALLEST_WEIGHT: Final = 100 / BUCKETS
"""In percent: the share of one bucket of the assignment."""


class _OwnVariant(ABTestVariant):
    """A variant of the split itself, which may also name its target node."""

    target_node_id: str | None = None


class _OwnVariants(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    variants: tuple[_OwnVariant, ...] = ()
    assignment: Assignment | None = None


def tested_split(
    splits: Sequence[StepDefinition], experiment: ABTestConfig | None
) -> StepDefinition | None:
    """Return the split that `ab_test_config` tests.

    It is the only split without variants of its own, or the split with the same variant ids.
    """
    if experiment is None or not splits:
        return None
    without_variants = [step for step in splits if not step.variants]
    if len(without_variants) == 1:
        return without_variants[0]
    tested_ids = {variant.id for variant in experiment.variants}
    for step in splits:
        own = {
            str(entry.get("id"))
            for entry in step.variants or ()
            if isinstance(entry, dict) and entry.get("id") is not None
        }
        if own and (own == tested_ids or (tested_ids and tested_ids <= own)):
            return step
    return splits[0] if len(splits) == 1 and not without_variants and not tested_ids else None


def read_splits(
    steps: Sequence[StepDefinition],
    experiment: ABTestConfig | None,
    problems: Problems,
) -> dict[str, SplitConfig]:
    """Return node id → configuration of every readable split."""
    splits = [step for step in steps if step.node_type == "split" and step.node_id]
    tested = tested_split(splits, experiment)
    configs: dict[str, SplitConfig] = {}
    for step in splits:
        assert step.node_id is not None
        split_test = experiment if step is tested else None
        config = _split(step, split_test, len(splits), problems)
        if config is not None:
            configs[step.node_id] = config
    if experiment is not None and experiment.enabled and splits and tested is None:
        listed = ", ".join(variant.id for variant in experiment.variants)
        problems.add(
            None, "ab_test_split_missing", f"no split has the variants of ab_test_config ({listed})"
        )
    return configs


def _split(
    step: StepDefinition,
    experiment: ABTestConfig | None,
    count: int,
    problems: Problems,
) -> SplitConfig | None:
    problems += [
        Problem(step.node_id, "config_misplaced", f"{key} does not belong to a node of type split")
        for key in ("channel_config", "wait_config", "conditional_branches")
        if getattr(step, key)
    ]
    own = _own(step, problems)
    if own is None:
        return None
    variants: Sequence[ABTestVariant] = own.variants
    if not variants:
        if experiment is None or not experiment.variants:
            where = "of its own" if count > 1 else "(variants, or ab_test_config.variants)"
            problems.add(step.node_id, "variants_missing", f"the split has no variants {where}")
            return None
        variants = experiment.variants
    elif experiment is not None:
        variants = _merged(step, variants, experiment, problems)
    from_field = own.assignment.from_field if own.assignment else None
    if experiment is not None and experiment.from_field is not None:
        if from_field is not None and from_field != experiment.from_field:
            problems.add(
                step.node_id,
                "assignment_conflict",
                f"the split assigns from {from_field}, ab_test_config from {experiment.from_field}",
            )
        from_field = experiment.from_field
    weights = _weights(step, variants, from_field, problems)
    resolved = [
        Variant(
            id=variant.id,
            name=variant.name,
            percentage=weight,
            holdout=variant.holdout,
            values=variant.values,
        )
        for variant, weight in zip(variants, weights, strict=True)
    ]
    if experiment is not None and experiment.holdout_percentage:
        if from_field is None:
            resolved = _with_holdout(step, resolved, experiment.holdout_percentage, problems)
        else:
            problems.add(
                step.node_id,
                "holdout_assigned",
                f"holdout_percentage has no effect when {from_field} assigns the variants: set"
                " holdout: true on the held-out variant",
            )
    problems += _weight_problems(step, resolved, is_tested=experiment is not None)
    competing = [variant for variant in resolved if not variant.holdout]
    if len(resolved) < 2 or not competing:
        problems.add(step.node_id, "split_too_few", "a split needs at least two variants")
    try:
        return SplitConfig(variants=tuple(resolved), from_field=from_field)
    except ValidationError as error:
        problems += from_validation(
            error, node_id=step.node_id, where="variants", model=SplitConfig
        )
        return None


def _own(step: StepDefinition, problems: Problems) -> _OwnVariants | None:
    try:
        return _OwnVariants.model_validate(
            {"variants": step.variants or (), "assignment": step.assignment}
        )
    except ValidationError as error:
        problems += from_validation(error, node_id=step.node_id, where="", model=_OwnVariant)
        return None


def _merged(
    step: StepDefinition,
    own: Sequence[ABTestVariant],
    experiment: ABTestConfig,
    problems: Problems,
) -> list[ABTestVariant]:
    """Return the split's variants, completed from ab_test_config."""
    tested: Mapping[str, ABTestVariant] = {variant.id: variant for variant in experiment.variants}
    merged = []
    for variant in own:
        other = tested.get(variant.id)
        if other is None:
            merged.append(variant)
            continue
        both = (variant.percentage, other.percentage)
        if None not in both and both[0] != both[1]:
            problems.add(
                step.node_id,
                "weights_conflict",
                f"variant {variant.id} has {both[0]:g} % on the split and {both[1]:g} % in"
                " ab_test_config",
            )
        merged.append(
            variant.model_copy(
                update={
                    "name": variant.name or other.name,
                    "percentage": both[0] if both[0] is not None else both[1],
                    "holdout": variant.holdout or other.holdout,
                    "values": variant.values or other.values,
                    "step_ids": other.step_ids,
                }
            )
        )
    return merged


def _weights(
    step: StepDefinition,
    variants: Sequence[ABTestVariant],
    from_field: str | None,
    problems: Problems,
) -> list[float]:
    weights = [variant.percentage for variant in variants]
    missing = [variant.id for variant in variants if variant.percentage is None]
    if from_field is not None and missing:
        if len(missing) == len(variants):
            return [0.0] * len(variants)  # unknown shares: the field assigns the variants
        problems.add(
            step.node_id,
            "weights_missing",
            f"variant {', '.join(missing)} has no percentage: give all or, because a field"
            " assigns the variants, none",
        )
    elif missing:
        problems.add(
            step.node_id, "weights_missing", f"variant {', '.join(missing)} has no percentage"
        )
    else:
        total = sum(weight for weight in weights if weight is not None)
        if abs(total - 100) > WEIGHT_TOLERANCE:
            problems.add(
                step.node_id,
                "weights_sum",
                f"the variants' percentages sum to {total:g}, not to 100",
            )
    return [weight or 0.0 for weight in weights]


def _weight_problems(
    step: StepDefinition, variants: Sequence[Variant], *, is_tested: bool
) -> list[Problem]:
    """Return the problems of shares that no contact, or hardly any, can get."""
    problems = [
        Problem(
            step.node_id,
            "weight_too_small",
            f"variant {variant.id} gets {variant.percentage:g} % of the contacts; the smallest"
            f" share is {SMALLEST_WEIGHT:g} %",
        )
        for variant in variants
        if 0 < variant.percentage < SMALLEST_WEIGHT
    ]
    if is_tested and any(variant.percentage > 0 for variant in variants):
        problems += [
            Problem(
                step.node_id,
                "weight_zero",
                f"variant {variant.id} gets 0 % of the contacts: it is left out of the test",
                "warning",
            )
            for variant in variants
            if variant.percentage == 0
        ]
    return problems


def _with_holdout(
    step: StepDefinition, variants: list[Variant], share_pct: float, problems: Problems
) -> list[Variant]:
    """Add the holdout, a share of all contacts; the variants split the rest in proportion."""
    if any(variant.holdout or variant.id == HOLDOUT_VARIANT_ID for variant in variants):
        problems.add(
            step.node_id,
            "holdout_twice",
            "ab_test_config has holdout_percentage and a held-out variant; keep one",
        )
        return variants
    rest = (100 - share_pct) / 100
    scaled = [
        variant.model_copy(update={"percentage": round(variant.percentage * rest, 6)})
        for variant in variants
    ]
    return [
        *scaled,
        Variant(id=HOLDOUT_VARIANT_ID, name="Holdout", percentage=share_pct, holdout=True),
    ]
