"""Start, continue and end tests when a version is published. Configuration and weights are
frozen when a test starts: a version that keeps them continues the test, a version that changes them
ends it and starts another.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from drip_pipeline.db.ab_tests import decisions as decisions_db
from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.domain.compiler.analysis import analyze
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import SplitConfig
from drip_pipeline.engine.ab_tests.counts import (
    read_experiments,
    statistics_config,
    store_inner_nodes,
)


def update_tests(
    connection: Connection,
    campaign_id: UUID,
    definition: CampaignDefinition,
    graph: CampaignGraph,
    *,
    version: int,
    now: datetime,
) -> None:
    """Continue, end or start the tests of a campaign to match its new version."""
    configs = frozen_configs(definition, graph)
    for test in publish_db.tests(connection, campaign_id):
        if test.status == "superseded":
            continue
        config = configs.get(test.split_node_id)
        if config is not None and config_hash(config) == test.config_hash:
            publish_db.continue_test(connection, test.id, version)
            del configs[test.split_node_id]
        else:
            _keep_final_counts(connection, test.id, now)
            publish_db.supersede_test(connection, test.id, now)
    if configs:
        splits = ", ".join(configs)
        versions_db.mark_test_start(
            connection, campaign_id, version, f"A/B test started at the split {splits}"
        )
    for split_node_id, config in configs.items():
        publish_db.start_test(
            connection,
            campaign_id,
            split_node_id=split_node_id,
            config=config,
            config_hash=config_hash(config),
            version=version,
            now=now,
        )


def _keep_final_counts(connection: Connection, test_id: UUID, now: datetime) -> None:
    """Count a test that ends now; its results show these counts."""
    row = decisions_db.lock_test(connection, test_id)
    if row is None or row.status != "running":
        return
    experiments, _ = read_experiments([row])
    store_inner_nodes(connection, experiments)
    if experiments:
        ab_tests_db.write_counts(connection, [e.count_request for e in experiments], now)


def frozen_configs(
    definition: CampaignDefinition, graph: CampaignGraph
) -> dict[str, dict[str, Any]]:
    """Return the configuration to freeze for each tested split: the test's keys, and the split's
    variants with their weights. A variant with a weight of 0 is not a part of the test. Raises
    ConfigInvalid if the statistics cannot read the configuration.
    """
    analysis = analyze(definition)
    if (
        analysis.experiment is None
        or analysis.tested_split_id is None
        or not analysis.experiment.enabled
    ):
        return {}
    split = graph.nodes[analysis.tested_split_id]
    assert isinstance(split.config, SplitConfig)
    keys = analysis.experiment.model_dump(mode="json", exclude={"variants", "assignment"})
    statistics_config(keys)
    has_shares = any(variant.percentage > 0 for variant in split.config.variants)
    variants = [
        variant.model_dump(mode="json")
        | {"first_step_id": _step_id(graph, split.node_id, variant.id)}
        for variant in split.config.variants
        if variant.percentage > 0 or not has_shares
    ]
    return {split.node_id: keys | {"variants": variants, "from_field": split.config.from_field}}


def config_hash(config: dict[str, Any]) -> str:
    """Hash a frozen configuration without the database ids of its steps."""
    variants = [
        {key: value for key, value in variant.items() if key != "first_step_id"}
        for variant in config["variants"]
    ]
    return sha256(dump_json(_sorted(config | {"variants": variants}))).hexdigest()


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value


def _step_id(graph: CampaignGraph, split_node_id: str, variant_id: str) -> str | None:
    target = graph.first_node_of_variant(split_node_id, variant_id)
    return None if target is None else graph.nodes[target].step_id
