"""Reading tests from the database: the frozen configuration, counting, and the input of the
statistics. Evaluation is `judge.py`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeVar
from uuid import UUID

from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.ab_tests.decisions import StoredDecision
from drip_pipeline.db.ab_tests.evaluations import (
    ABTestRow,
    CountRequest,
    VariantCountRow,
    VariantResultRow,
)
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.experiments import (
    ABTest,
    ABTestConfig,
    CohortCounts,
    ConfigInvalid,
    PriorDecision,
    Reason,
    SrmHold,
    State,
    VariantCounts,
    read_test_config,
)
from drip_pipeline.experiments.config import STATISTICS_KEYS

Row = TypeVar("Row", VariantCountRow, VariantResultRow)
SECONDS_PER_HOUR = 3600.0
_STATISTICS_KEYS = tuple(sorted(STATISTICS_KEYS - {"profile"}))
COUNTS = (
    "total_sent",
    "total_delivered",
    "total_opened",
    "total_clicked",
    "total_replied",
    "total_converted",
    "total_unsubscribed",
    "total_bounced",
    "total_complained",
)


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """A variant as frozen at the start of the test. `percentage` is 0 if a contact field assigns
    the variants.
    """

    variant_group: str
    name: str
    percentage: float
    is_holdout: bool


@dataclass(frozen=True, slots=True)
class Experiment:
    """One test of one split, with its frozen configuration."""

    test_id: UUID
    workspace_id: UUID
    campaign_id: UUID
    split_node_id: str
    test_number: int
    status: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    winner_variant: str | None
    srm_cleared_at: datetime | None
    campaign_versions: tuple[int, ...]
    inner_nodes_of: tuple[int, ...] | None
    statistics: ABTestConfig
    fingerprint: str
    """Hash of the statistical configuration."""
    variants: tuple[VariantSpec, ...]

    @property
    def count_request(self) -> CountRequest:
        """The winner metric and its attribution window."""
        metric = self.statistics.winner_metric
        return CountRequest(self.test_id, metric.value, self.statistics.attribution_hours())

    @property
    def srm_hold(self) -> SrmHold:
        """Whether the sample ratio blocks the test; a block stays until an operator clears it."""
        if self.srm_cleared_at is not None:
            return SrmHold.CLEARED
        return SrmHold.BLOCKED if self.state == State.SRM_BLOCKED.value else SrmHold.NONE

    def variant(self, name_or_id: str) -> VariantSpec | None:
        """Return the variant with this id, otherwise with this name."""
        by_id = (v for v in self.variants if v.variant_group == name_or_id)
        by_name = (v for v in self.variants if v.name == name_or_id)
        return next(by_id, None) or next(by_name, None)


def read_experiment(row: ABTestRow) -> Experiment:
    """Read a row of campaign_ab_tests. Raises ConfigInvalid if its configuration is not valid."""
    statistics, fingerprint = statistics_config(row.config)
    return Experiment(
        test_id=row.id,
        workspace_id=row.workspace_id,
        campaign_id=row.campaign_id,
        split_node_id=row.split_node_id,
        test_number=row.test_number,
        status=row.status,
        state=row.state,
        started_at=row.started_at,
        ended_at=row.ended_at,
        winner_variant=row.winner_variant,
        srm_cleared_at=row.srm_cleared_at,
        campaign_versions=tuple(row.campaign_versions),
        inner_nodes_of=None if row.inner_nodes_of is None else tuple(row.inner_nodes_of),
        statistics=statistics,
        fingerprint=fingerprint,
        variants=tuple(
            VariantSpec(
                variant_group=variant["id"],
                name=variant.get("name") or variant["id"],
                percentage=float(variant.get("percentage") or 0),
                is_holdout=bool(variant.get("holdout")),
            )
            for variant in row.config.get("variants") or ()
        ),
    )


def statistics_config(config: Mapping[str, object]) -> tuple[ABTestConfig, str]:
    """Read the statistical keys of a frozen configuration; return them with their fingerprint.
    Raises ConfigInvalid.
    """
    keys = {key: config[key] for key in _STATISTICS_KEYS if config.get(key) is not None}
    return _statistics(dump_json(keys))


# Most tests have the same configuration, and reading one takes longer than evaluating a test.
@lru_cache(maxsize=4096)
def _statistics(keys: bytes) -> tuple[ABTestConfig, str]:
    config = read_test_config(json.loads(keys))
    return config, config.fingerprint()


# --- counting -------------------------------------------------------------------------------------


def count_changed(
    connection: Connection,
    running: Sequence[Experiment],
    campaign_ids: Sequence[UUID] | None,
    now: datetime,
) -> int:
    """Count the tests that may have changed and return their number: tests of campaigns with
    changed assignments or outcomes, tests that time changes, and all tests of `campaign_ids`.
    Decided tests are included, because their totals are still counted.
    """
    changed = ab_tests_db.drain_changes(connection, campaign_ids)
    touched = changed | set(campaign_ids or ())
    open_ended = ab_tests_db.tests_with_open_windows(connection, [t.test_id for t in running])
    stale = [t for t in running if t.campaign_id in touched or t.test_id in open_ended]
    stale += read_experiments(ab_tests_db.decided_tests_of(connection, sorted(touched)))[0]
    store_inner_nodes(connection, stale)
    if stale:
        ab_tests_db.write_counts(connection, [t.count_request for t in stale], now)
    return len(stale)


def read_experiments(rows: Iterable[ABTestRow]) -> tuple[list[Experiment], dict[UUID, str]]:
    """Return the tests that can be read, and the error of each other test by its id."""
    experiments: list[Experiment] = []
    faults: dict[UUID, str] = {}
    for row in rows:
        try:
            experiments.append(read_experiment(row))
        except (ConfigInvalid, KeyError, TypeError, ValueError) as error:
            faults[row.id] = str(error)
    return experiments, faults


def store_inner_nodes(connection: Connection, tests: Sequence[Experiment]) -> None:
    """Compute and store, once per published version, the nodes of each variant with messages that
    belong to another split inside the variant.
    """
    stale = {t.test_id: t for t in tests if t.inner_nodes_of != t.campaign_versions}
    if not stale:
        return
    nodes: dict[UUID, dict[str, set[str]]] = {test_id: {} for test_id in stale}
    for row in ab_tests_db.graphs_with_several_splits(connection, list(stale)):
        graph = CampaignGraph.from_dict(row.compiled_graph)
        for variant, inner in inner_nodes(graph, stale[row.test_id].split_node_id).items():
            nodes[row.test_id].setdefault(variant, set()).update(inner)
    ab_tests_db.write_inner_nodes(
        connection,
        {
            test_id: {variant: sorted(inner) for variant, inner in of_test.items()}
            for test_id, of_test in nodes.items()
        },
    )


def inner_nodes(graph: CampaignGraph, split_node_id: str) -> dict[str, set[str]]:
    """Return by variant of a split the nodes that belong to another split inside that variant."""
    inner: dict[str, set[str]] = defaultdict(set)
    for node_id in graph.nodes:
        around = graph.variant_of_node.get(node_id)
        is_direct = True
        while around is not None:
            if around[0] == split_node_id:
                if not is_direct:
                    inner[around[1]].add(node_id)
                break
            around, is_direct = graph.variant_of_node.get(around[0]), False
    return dict(inner)


# --- the input of an evaluation -------------------------------------------------------------------


def by_test(rows: Iterable[Row]) -> dict[UUID, dict[str, Row]]:
    """Group rows by test and variant."""
    grouped: dict[UUID, dict[str, Row]] = {}
    for row in rows:
        grouped.setdefault(row.ab_test_id, {})[row.variant_group] = row
    return grouped


def as_test(
    experiment: Experiment,
    rows: Mapping[str, VariantCountRow],
    now: datetime,
) -> ABTest:
    """Build the input of an evaluation from the count rows by variant and the frozen configuration.
    Variants are in the configuration's order; a variant without a row has no contacts.
    """
    has_shares = any(variant.percentage > 0 for variant in experiment.variants)
    started = [at for row in rows.values() if (at := row.first_assigned_at)]
    return ABTest(
        tuple(
            variant_counts(variant, rows.get(variant.variant_group), has_shares)
            for variant in experiment.variants
        ),
        experiment.statistics,
        runtime_hours=_hours(min(started), now) if started else None,
        srm_hold=experiment.srm_hold,
    )


def variant_counts(
    variant: VariantSpec, row: VariantCountRow | None, has_shares: bool
) -> VariantCounts:
    """Convert the counts of one variant for the statistics."""
    weight = variant.percentage if has_shares else None
    if row is None:
        return VariantCounts(
            variant.variant_group,
            total_sent=0,
            assigned=0,
            weight=weight,
            is_holdout=variant.is_holdout,
            cohort=CohortCounts(0, score_sum=0.0, score_sum_squares=0.0),
        )
    return VariantCounts(
        variant.variant_group,
        assigned=row.total_assigned,
        weight=weight,
        is_holdout=variant.is_holdout,
        cohort=CohortCounts(
            row.cohort_contacts,
            row.cohort_successes,
            row.cohort_score_sum,
            row.cohort_score_sum_squares,
        ),
        total_sent=row.total_sent,
        total_delivered=row.total_delivered,
        total_opened=row.total_opened,
        total_clicked=row.total_clicked,
        total_replied=row.total_replied,
        total_converted=row.total_converted,
        total_unsubscribed=row.total_unsubscribed,
        total_bounced=row.total_bounced,
        total_complained=row.total_complained,
    )


def prior_decision(decision: StoredDecision | None) -> PriorDecision | None:
    """Convert a stored decision for the statistics."""
    if decision is None:
        return None
    reason = Reason.DECLARED_BY_HAND if decision.is_by_hand else Reason(decision.reason)
    return PriorDecision(State(decision.outcome), reason, decision.winner_variant)


def _hours(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds() / SECONDS_PER_HOUR)
