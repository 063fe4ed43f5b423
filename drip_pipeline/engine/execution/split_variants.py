"""The tests and the variants of one batch, for its splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import batch_context as batch_context_db
from drip_pipeline.db.execution.workflow_states import DueState


@dataclass(frozen=True, slots=True)
class ExistingVariant:
    """The variant of an enrollment or contact; not randomized if a decision routed it there."""

    variant_id: str
    is_randomized: bool


@dataclass(frozen=True, slots=True)
class SplitTest:
    """The running or decided test of a split."""

    test_id: UUID
    split_node_id: str
    winner_variant: str | None


def tests(
    connection: Connection, states: Sequence[DueState]
) -> dict[tuple[UUID, int, str], SplitTest]:
    """Return the tests of the campaigns of these states, by campaign, version and split."""
    campaign_ids = {state.campaign_id for state in states}
    return {
        (test.campaign_id, version, test.split_node_id): SplitTest(
            test.id, test.split_node_id, test.winner_variant
        )
        for test in batch_context_db.running_tests(connection, list(campaign_ids))
        for version in test.campaign_versions
    }


def variants(
    connection: Connection,
    states: Sequence[DueState],
    tests: Mapping[tuple[UUID, int, str], SplitTest],
) -> dict[str, dict[UUID, ExistingVariant]]:
    """Return the variants already assigned, by split and then by state or contact."""
    assigned: dict[str, dict[UUID, ExistingVariant]] = {}
    for enrolled in batch_context_db.enrollment_variants(connection, [s.id for s in states]):
        assigned.setdefault(enrolled.split_node_id, {})[enrolled.enrollment_id] = ExistingVariant(
            enrolled.variant_group, enrolled.is_randomized
        )
    test_ids = list({test.test_id for test in tests.values()})
    if test_ids:
        contact_ids = [state.contact_id for state in states]
        for earlier in batch_context_db.contact_variants(connection, test_ids, contact_ids):
            assigned.setdefault(earlier.split_node_id, {})[earlier.contact_id] = ExistingVariant(
                earlier.variant_group, earlier.is_randomized
            )
    return assigned
