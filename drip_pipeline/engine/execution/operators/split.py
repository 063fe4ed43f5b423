"""The split node: each person gets a variant, the same one however often the step is repeated.

In this order: the variant the person has here already; the contact field that people were
randomized by elsewhere; the winner once the test is decided (holdouts excepted); a salted hash of
the contact into 10,000 buckets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

from drip_pipeline.domain.graph.nodes import SplitConfig, Variant
from drip_pipeline.domain.identity import BUCKETS, assignment_bucket
from drip_pipeline.engine.execution.batch_context import SplitTest
from drip_pipeline.engine.execution.operators.protocol import (
    End,
    Fail,
    Leave,
    NodeOutcome,
    NodeVisit,
)
from drip_pipeline.engine.execution.transitions import AssignmentNote, DueState


def assign_variant(visit: NodeVisit) -> list[NodeOutcome]:
    """One answer per variant that somebody gets, and one for people who cannot be assigned."""
    config = visit.node.config
    assert isinstance(config, SplitConfig)
    node_id = visit.node.node_id
    known = visit.facts.existing_variants(node_id)
    test = visit.facts.test_of(visit.people[0], node_id)
    choose = _chooser(visit, config, test)
    variants = {variant.id: variant for variant in config.variants}
    chosen: dict[tuple[str, bool], list[DueState]] = {}
    for person in visit.people:
        given = known.get(person.id) or known.get(person.contact_id)
        if given is not None and given.variant_id in variants:
            key = (given.variant_id, given.is_randomized)
        else:
            key = choose(person)
        chosen.setdefault(key, []).append(person)
    return [
        _answer(visit, variants.get(variant_id), people, test, is_randomized, config)
        for (variant_id, is_randomized), people in chosen.items()
    ]


def _chooser(
    visit: NodeVisit, config: SplitConfig, test: SplitTest | None
) -> Callable[[DueState], tuple[str, bool]]:
    node_id = visit.node.node_id
    if config.from_field is not None:
        field = config.from_field
        by_value = config.variant_by_value()

        def from_field(person: DueState) -> tuple[str, bool]:
            value = visit.facts.of(person).fields.get(field)
            return by_value.get("" if value is None else str(value).strip().casefold(), ""), True

        return from_field
    bounds, ids = _wheel(config)
    winner = test.winner_variant if test else None
    holdouts = {variant.id for variant in config.variants if variant.holdout}
    # The salt is the split's own; a new test of the same split keeps people where they were as far
    # as weights allow.

    def by_hash(person: DueState) -> tuple[str, bool]:
        bucket = assignment_bucket(person.campaign_id, node_id, person.contact_id)
        variant_id = ids[min(bisect_right(bounds, bucket), len(ids) - 1)]
        if winner is not None and variant_id not in holdouts:
            return winner, False
        return variant_id, True

    return by_hash


def _answer(
    visit: NodeVisit,
    variant: Variant | None,
    people: list[DueState],
    test: SplitTest | None,
    is_randomized: bool,
    config: SplitConfig,
) -> NodeOutcome:
    node_id = visit.node.node_id
    if variant is None:
        return NodeOutcome(
            people,
            Fail(
                f"split {node_id!r}: the contact's field {config.from_field!r} names none of"
                " the variants " + ", ".join(repr(known.id) for known in config.variants)
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
    )
    leads_nowhere = variant.id not in visit.node.ports
    then = End("exited", "holdout") if variant.holdout and leads_nowhere else Leave(variant.id)
    return NodeOutcome(people, then, (assigned,), assignment)


@lru_cache(maxsize=1024)
def _wheel(config: SplitConfig) -> tuple[list[int], list[str]]:
    """Upper bounds of each variant's share in buckets, and the variants' ids; a weight of 0 gets
    nobody."""
    weighted = [variant for variant in config.variants if variant.percentage > 0]
    total = sum(variant.percentage for variant in weighted)
    bounds = [
        round(BUCKETS * share / total)
        for share in accumulate(variant.percentage for variant in weighted)
    ]
    return bounds, [variant.id for variant in weighted]
