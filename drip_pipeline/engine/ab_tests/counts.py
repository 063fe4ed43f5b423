"""Tests as the database knows them, and their counts as the statistics take them: reading a frozen
configuration, counting, and building what is judged. Nothing is judged here.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from drip_pipeline.db import ab_tests as ab_tests_db
from drip_pipeline.db.ab_tests import CountRequest
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

SECONDS_AN_HOUR = 3600.0
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
    """A variant as it was frozen when the test began. `percentage` is 0 where the shares are not
    known because people come assigned.
    """

    variant_group: str
    name: str
    percentage: float
    is_holdout: bool
    first_step_id: str | None


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
    """Of the statistical configuration."""
    variants: tuple[VariantSpec, ...]

    @property
    def count_request(self) -> CountRequest:
        """What the counting needs to know: the winner metric and its window."""
        metric = self.statistics.winner_metric
        return self.test_id, metric.value, self.statistics.attribution_hours()

    @property
    def srm_hold(self) -> SrmHold:
        """A block stays until a person clears it."""
        if self.srm_cleared_at is not None:
            return SrmHold.CLEARED
        return SrmHold.BLOCKED if self.state == State.SRM_BLOCKED.value else SrmHold.NONE

    def variant(self, name_or_id: str) -> VariantSpec | None:
        """The variant of this id, else of this name."""
        by_id = (v for v in self.variants if v.variant_group == name_or_id)
        by_name = (v for v in self.variants if v.name == name_or_id)
        return next(by_id, None) or next(by_name, None)


def read_experiment(row: Mapping[str, Any]) -> Experiment:
    """A row of campaign_ab_tests. Raises ConfigInvalid when its configuration cannot be used."""
    config: Mapping[str, Any] = row["config"]
    statistics, fingerprint = statistics_config(config)
    return Experiment(
        test_id=row["id"],
        workspace_id=row["workspace_id"],
        campaign_id=row["campaign_id"],
        split_node_id=row["split_node_id"],
        test_number=row["test_number"],
        status=row["status"],
        state=row["state"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        winner_variant=row["winner_variant"],
        srm_cleared_at=row["srm_cleared_at"],
        campaign_versions=tuple(row["campaign_versions"]),
        inner_nodes_of=None if row["inner_nodes_of"] is None else tuple(row["inner_nodes_of"]),
        statistics=statistics,
        fingerprint=fingerprint,
        variants=tuple(
            VariantSpec(
                variant_group=variant["id"],
                name=variant.get("name") or variant["id"],
                percentage=float(variant.get("percentage") or 0),
                is_holdout=bool(variant.get("holdout")),
                first_step_id=variant.get("first_step_id"),
            )
            for variant in config.get("variants") or ()
        ),
    )


def statistics_config(config: Mapping[str, Any]) -> tuple[ABTestConfig, str]:
    """What a frozen configuration says to the statistics, and its fingerprint; what shapes the
    graph is passed over. Raises ConfigInvalid.
    """
    told = {key: config[key] for key in _STATISTICS_KEYS if config.get(key) is not None}
    return _statistics(dump_json(told))


# Most tests say the same, and reading a configuration costs more than judging a test.
@lru_cache(maxsize=4096)
def _statistics(told: bytes) -> tuple[ABTestConfig, str]:
    config = read_test_config(json.loads(told))
    return config, config.fingerprint()


# --- counting -------------------------------------------------------------------------------------


def count_changed(
    connection: Connection,
    running: Sequence[Experiment],
    campaign_ids: Sequence[UUID] | None,
    now: datetime,
) -> int:
    """Count again what may have changed: tests of campaigns whose people or messages changed, tests
    that time moves, and, when campaigns are named, all of theirs. Decided tests are among them, for
    their totals. The number of tests counted.
    """
    changed = ab_tests_db.drain_changes(connection, campaign_ids)
    touched = changed | set(campaign_ids or ())
    open_ended = ab_tests_db.tests_with_open_windows(connection, [t.test_id for t in running])
    wanted = [t for t in running if t.campaign_id in touched or t.test_id in open_ended]
    wanted += read_experiments(ab_tests_db.decided_tests_of(connection, sorted(touched)))[0]
    store_inner_nodes(connection, wanted)
    if wanted:
        ab_tests_db.write_counts(connection, [t.count_request for t in wanted], now)
    return len(wanted)


def read_experiments(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Experiment], dict[UUID, str]]:
    """The tests that can be read, and by id what is wrong with the others."""
    found: list[Experiment] = []
    faults: dict[UUID, str] = {}
    for row in rows:
        try:
            found.append(read_experiment(row))
        except (ConfigInvalid, KeyError, TypeError, ValueError) as error:
            faults[row["id"]] = str(error)
    return found, faults


def store_inner_nodes(connection: Connection, tests: Sequence[Experiment]) -> None:
    """Work out, once per published version, which messages of a variant carry the name of another
    split because that split lies inside the variant.
    """
    stale = {t.test_id: t for t in tests if t.inner_nodes_of != t.campaign_versions}
    if not stale:
        return
    nodes: dict[UUID, dict[str, set[str]]] = {test_id: {} for test_id in stale}
    for test_id, _, compiled in ab_tests_db.graphs_with_several_splits(connection, list(stale)):
        graph = CampaignGraph.from_dict(compiled)
        for variant, inner in inner_nodes(graph, stale[test_id].split_node_id).items():
            nodes[test_id].setdefault(variant, set()).update(inner)
    ab_tests_db.write_inner_nodes(
        connection,
        {
            test_id: {variant: sorted(inner) for variant, inner in of_test.items()}
            for test_id, of_test in nodes.items()
        },
    )


def inner_nodes(graph: CampaignGraph, split_node_id: str) -> dict[str, set[str]]:
    """By variant of a split: nodes inside it that belong, more closely, to a split inside it."""
    found: dict[str, set[str]] = defaultdict(set)
    for node_id in graph.nodes:
        around = graph.variant_of_node.get(node_id)
        is_direct = True
        while around is not None:
            if around[0] == split_node_id:
                if not is_direct:
                    found[around[1]].add(node_id)
                break
            around, is_direct = graph.variant_of_node.get(around[0]), False
    return dict(found)


# --- building what is judged ----------------------------------------------------------------------


def by_test(rows: Iterable[Mapping[str, Any]]) -> dict[UUID, dict[str, Mapping[str, Any]]]:
    """Count rows by test and variant."""
    found: dict[UUID, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["ab_test_id"], {})[row["variant_group"]] = row
    return found


def as_test(
    experiment: Experiment,
    rows: Mapping[str, Mapping[str, Any]],
    now: datetime,
    *,
    decided: PriorDecision | None = None,
) -> ABTest:
    """What the statistics judge: count rows by variant with the frozen configuration. Variants
    stand in the configuration's order; one without a row has nobody.
    """
    has_shares = any(variant.percentage > 0 for variant in experiment.variants)
    started = [row["first_assigned_at"] for row in rows.values() if row["first_assigned_at"]]
    return ABTest(
        tuple(
            variant_counts(variant, rows.get(variant.variant_group), has_shares)
            for variant in experiment.variants
        ),
        experiment.statistics,
        runtime_hours=_hours(min(started), now) if started else None,
        srm_hold=experiment.srm_hold,
        decided=decided,
    )


def variant_counts(
    variant: VariantSpec, row: Mapping[str, Any] | None, has_shares: bool
) -> VariantCounts:
    """The counts of one variant."""
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
        assigned=row["total_assigned"],
        weight=weight,
        is_holdout=variant.is_holdout,
        cohort=CohortCounts(
            row["cohort_contacts"],
            row["cohort_successes"],
            row["cohort_score_sum"],
            row["cohort_score_sum_squares"],
        ),
        **{name: row[name] for name in COUNTS},
    )


def prior_decision(decision: Mapping[str, Any] | None) -> PriorDecision | None:
    """A row of campaign_ab_decisions as the statistics know it."""
    if decision is None:
        return None
    state = State(decision["outcome"])
    reason = Reason.DECLARED_BY_HAND if decision["is_by_hand"] else Reason(decision["reason"])
    return PriorDecision(state, reason, decision["winner_variant"])


def _hours(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds() / SECONDS_AN_HOUR)
