"""The split node: assign a variant to each state; repeating the step assigns the same variant.

In this order: the existing variant at this split; the contact field that carries an external
randomization; a salted hash of the contact id into 10,000 buckets. Once the test has a winner,
everybody who reaches the split gets the winner, also contacts who come again; holdouts stay.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import accumulate
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.compared_values import Reader, reader_of_field
from drip_pipeline.domain.conditions.field_names import read_field
from drip_pipeline.domain.graph.nodes import SplitConfig, Variant
from drip_pipeline.domain.identity import BUCKETS, assignment_bucket
from drip_pipeline.engine.execution.operators.protocol import (
    End,
    Fail,
    Leave,
    NodeOutcome,
    NodeVisit,
)
from drip_pipeline.engine.execution.split_variants import SplitTest
from drip_pipeline.engine.execution.transitions import (
    AssignmentNote,
)


def assign_variant(visit: NodeVisit) -> list[NodeOutcome]:
    """Return one outcome per assigned variant, and one for states without a valid variant."""
    config = visit.node.config
    assert isinstance(config, SplitConfig)
    node_id = visit.node.node_id
    existing_of = visit.context.existing_variants(node_id)
    test = visit.context.test_of(visit.states[0], node_id)
    choose = _chooser(visit, config)
    variants = {variant.id: variant for variant in config.variants}
    winner = test.winner_variant if test and test.winner_variant in variants else None
    chosen: dict[tuple[str, bool], list[DueState]] = {}
    compared = _compared(visit, config)
    for state in visit.states:
        existing = existing_of.get(state.id) or existing_of.get(state.contact_id)
        if existing is not None and existing.variant_id in variants:
            key = (existing.variant_id, existing.is_randomized)
        else:
            key = choose(state)
        if winner is not None and not (key[0] in variants and variants[key[0]].holdout):
            key = (winner, False)
        chosen.setdefault(key, []).append(state)
    return [
        _outcome(visit, variants.get(variant_id), states, test, is_randomized, config, compared)
        for (variant_id, is_randomized), states in chosen.items()
    ]


def _compared(visit: NodeVisit, config: SplitConfig) -> dict[UUID, str]:
    """Return the values of the field that carries an external randomization, by state."""
    values_of = None if config.from_field is None else _reader(config.from_field)
    if values_of is None:
        return {}
    return {state.id: values_of(visit.context.of(state)) for state in visit.states}


@lru_cache(maxsize=1024)
def _reader(field: str) -> Reader | None:
    return reader_of_field(field)


def _chooser(visit: NodeVisit, config: SplitConfig) -> Callable[[DueState], tuple[str, bool]]:
    node_id = visit.node.node_id
    if config.from_field is not None:
        field = config.from_field
        by_value = config.variant_by_value()

        def from_field(state: DueState) -> tuple[str, bool]:
            value = read_field(visit.context.of(state).fields, field)
            return by_value.get("" if value is None else str(value).strip().casefold(), ""), True

        return from_field
    bounds, ids = _allocation(config)
    # The salt is the split's node id, so that a new test of the same split keeps contacts in their
    # variants as far as the weights allow.

    def by_hash(state: DueState) -> tuple[str, bool]:
        bucket = assignment_bucket(state.campaign_id, node_id, state.contact_id)
        return ids[min(bisect_right(bounds, bucket), len(ids) - 1)], True

    return by_hash


def _outcome(
    visit: NodeVisit,
    variant: Variant | None,
    states: list[DueState],
    test: SplitTest | None,
    is_randomized: bool,
    config: SplitConfig,
    compared: Mapping[UUID, str],
) -> NodeOutcome:
    node_id = visit.node.node_id
    if variant is None:
        return NodeOutcome(
            states,
            Fail(
                f"split {node_id!r}: the contact's field {config.from_field!r} names none of"
                " the variants " + ", ".join(repr(variant.id) for variant in config.variants)
            ),
        )
    assignment = AssignmentNote(
        node_id, variant.id, variant.holdout, is_randomized, test.test_id if test else None
    )
    assigned = visit.note(
        "variant_assigned",
        variant=variant.id,
        variant_group=variant.id,
        split_node_id=node_id,
        is_holdout=variant.holdout,
    ).with_compared(compared)
    leads_nowhere = variant.id not in visit.node.ports
    then = End("exited", "holdout") if variant.holdout and leads_nowhere else Leave(variant.id)
    return NodeOutcome(states, then, (assigned,), assignment)


@lru_cache(maxsize=1024)
def _allocation(config: SplitConfig) -> tuple[list[int], list[str]]:
    """Return the upper bucket bound of each variant with a positive weight, and the variant ids."""
    weighted = [variant for variant in config.variants if variant.percentage > 0]
    total = sum(variant.percentage for variant in weighted)
    bounds = [
        round(BUCKETS * weight / total)
        for weight in accumulate(variant.percentage for variant in weighted)
    ]
    return bounds, [variant.id for variant in weighted]
