"""Read variants from the columns of the steps behind a split.

In the database the specification defines variants by `variant_group`, `variant_percentage` and
`parent_split_id`; in a file by `variants` of the split and `ab_test_config.variants`. If one of the
latter has the weights, the columns are only compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from drip_pipeline.domain.definition.campaign_file import StepDefinition
from drip_pipeline.domain.definition.problems import Problems

COLUMN_TOLERANCE: Final = 0.5
"""The specification's column is an integer: it stores 33.33 as 33."""


def column_variants(steps: Sequence[StepDefinition], split_id: str) -> dict[str, float | None]:
    """Return variant id → percentage by the columns of the steps that belong to this split."""
    weights: dict[str, float | None] = {}
    for step in steps_of_split(steps, split_id):
        assert step.variant_group is not None
        weight = weights.get(step.variant_group)
        weights[step.variant_group] = weight if weight is not None else step.variant_percentage
    return weights


def steps_of_split(steps: Sequence[StepDefinition], split_id: str) -> list[StepDefinition]:
    """Return the steps that belong to this split. With a single split the parent is optional."""
    splits = [step.node_id for step in steps if step.node_type == "split"]
    only = len(splits) == 1
    return [
        step
        for step in steps
        if step.variant_group is not None
        and (step.parent_split_id == split_id or (only and step.parent_split_id is None))
    ]


def with_variants_from_columns(
    steps: list[StepDefinition],
    ab_test_config: Mapping[str, object] | None,
    problems: Problems,
) -> list[StepDefinition]:
    """Move the columns' variants to splits without weights; remove `variant_percentage`."""
    variants_of_test = (ab_test_config or {}).get("variants")
    tested = {
        str(entry.get("id")): entry.get("percentage")
        for entry in (variants_of_test if isinstance(variants_of_test, list) else [])
        if isinstance(entry, dict)
    }
    replaced: dict[str, StepDefinition] = {}
    for split in steps:
        if split.node_type != "split" or split.node_id is None:
            continue
        columns = column_variants(steps, split.node_id)
        _report_contradictions(steps, split.node_id, problems)
        if split.variants:
            own = {
                str(entry.get("id")): entry.get("percentage", tested.get(str(entry.get("id"))))
                for entry in split.variants
                if isinstance(entry, dict)
            }
            _compare(split.node_id, columns, own, problems)
        elif columns and not columns.keys() <= tested.keys():
            replaced[split.node_id] = split.model_copy(
                update={
                    "variants": [
                        {"id": name} | ({} if weight is None else {"percentage": weight})
                        for name, weight in columns.items()
                    ]
                }
            )
        else:
            _compare(split.node_id, columns, tested, problems)
    _report_unused(steps, problems)
    return [
        replaced.get(step.node_id or "", step).model_copy(update={"variant_percentage": None})
        for step in steps
    ]


def _compare(
    node_id: str,
    columns: Mapping[str, float | None],
    weights: Mapping[str, object],
    problems: Problems,
) -> None:
    for name, column in columns.items():
        weight = weights.get(name)
        if column is None or isinstance(weight, bool) or not isinstance(weight, int | float):
            continue
        if abs(column - weight) > COLUMN_TOLERANCE:
            problems.add(
                node_id,
                "weights_conflict",
                f"variant {name} has {weight:g} % on the split or in ab_test_config and"
                f" {column:g} in variant_percentage",
            )


def _report_contradictions(
    steps: Sequence[StepDefinition], split_id: str, problems: Problems
) -> None:
    weights: dict[str, set[float]] = {}
    for step in steps_of_split(steps, split_id):
        if step.variant_percentage is not None:
            weights.setdefault(step.variant_group or "", set()).add(step.variant_percentage)
    for name, several in weights.items():
        if len(several) > 1:
            listed = " and ".join(f"{weight:g}" for weight in sorted(several))
            problems.add(
                split_id,
                "weights_conflict",
                f"steps of variant {name} have different variant_percentage: {listed}",
            )


def _report_unused(steps: Sequence[StepDefinition], problems: Problems) -> None:
    splits = {step.node_id for step in steps if step.node_type == "split"}
    for step in steps:
        if step.parent_split_id is not None and step.parent_split_id not in splits:
            problems.add(
                step.node_id,
                "split_unknown",
                f"parent_split_id is {step.parent_split_id}, which is not a split node",
            )
        elif step.variant_percentage is not None and not (splits and step.variant_group):
            problems.add(
                step.node_id,
                "variant_column_unused",
                "variant_percentage has no effect without variant_group and a split",
                "warning",
            )
