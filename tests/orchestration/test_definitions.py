"""The code location: its shape is written down, it loads quickly, and from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from drip_pipeline.definitions import build_definitions
from drip_pipeline.settings import CHECKOUT

SNAPSHOT = Path(__file__).with_name("definitions.txt")
ROOMS_ON_THE_GRAPH = {"ingest", "delivery", "metrics", "campaigns", "experiments", "reports"}
# Anything that takes long to import, and that no definition needs.
HEAVY = ("pandas", "scipy", "pyarrow")


def shape(definitions: dg.Definitions) -> Iterator[str]:
    """The code location as text, a line for each thing in it."""
    graph = definitions.resolve_asset_graph()
    checks = sorted(graph.asset_check_keys, key=lambda key: (key.asset_key, key.name))
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        kind = "asset" if node.is_materializable else "external asset"
        yield f"{kind} {key.to_user_string()} [{node.group_name}]"
        if node.parent_keys:
            parents = sorted(parent.to_user_string() for parent in node.parent_keys)
            yield f"    depends on {', '.join(parents)}"
        if node.automation_condition is not None:
            yield f"    refreshed {node.automation_condition.get_label()}"
        if node.freshness_policy is not None:
            yield "    to be fresh daily"
        if node.partitions_def is not None:
            yield f"    {_partitions(node)}"
        named = [check.name for check in checks if check.asset_key == key]
        if named:
            yield f"    checked by {', '.join(named)}"
    for job in sorted(definitions.get_repository_def().get_all_jobs(), key=lambda job: job.name):
        if job.name.startswith("__"):
            continue
        tags = [f"{key}={value}" for key, value in sorted(job.tags.items()) if "asset" not in key]
        yield f"job {job.name} {' '.join(tags)}".rstrip()
        yield from (f"    {line}" for line in _steps(job))
    for sensor in sorted(definitions.sensors or (), key=lambda sensor: sensor.name):
        starts = "starts nothing"
        if isinstance(sensor, dg.AutomationConditionSensorDefinition):
            starts = "refreshes assets"
        elif sensor.targets:
            starts = f"starts {sensor.job_name}"
        yield (
            f"sensor {sensor.name} {starts}, every"
            f" {sensor.minimum_interval_seconds} s, {sensor.default_status.value}"
        )
    for schedule in definitions.schedules or ():
        assert isinstance(schedule, dg.ScheduleDefinition)
        yield (
            f"schedule {schedule.name} starts {schedule.job_name}, {schedule.cron_schedule},"
            f" {schedule.default_status.value}"
        )


def _partitions(node: dg.BaseAssetNode) -> str:
    days = node.partitions_def
    assert isinstance(days, dg.DailyPartitionsDefinition)
    policy = node.backfill_policy
    runs = "any range in one run" if policy and policy.max_partitions_per_run is None else "?"
    return f"days from {days.start:%Y-%m-%d} to today ({days.timezone}), {runs}"


def _steps(job: dg.JobDefinition) -> Iterator[str]:
    """The ops in order, each with those it waits for, its pool and its tries."""
    for node in job.nodes_in_topological_order:
        upstream = sorted(
            {
                handle.node
                for inputs in job.dependencies.get(_invocation(job, node.name), {}).values()
                for handle in inputs.get_node_dependencies()
            }
        )
        parts = [node.name]
        if upstream:
            parts.append(f"after {', '.join(upstream)}")
        if isinstance(node.definition, dg.OpDefinition):
            if node.definition.pool:
                parts.append(f"in pool {node.definition.pool}")
            if node.definition.retry_policy:
                parts.append(f"{node.definition.retry_policy.max_retries} retries")
        yield "; ".join(parts)


def _invocation(job: dg.JobDefinition, name: str) -> dg.NodeInvocation:
    return next(found for found in job.dependencies if (found.alias or found.name) == name)


def test_the_code_location_has_the_shape_that_is_written_down():
    found = "\n".join(shape(build_definitions())) + "\n"
    if os.environ.get("WRITE_SNAPSHOTS"):
        SNAPSHOT.write_text(found, encoding="utf-8")
    assert found == SNAPSHOT.read_text(encoding="utf-8"), (
        "definitions changed: look at the difference, then write it down with"
        " WRITE_SNAPSHOTS=1 pytest tests/orchestration/test_definitions.py"
    )


def test_every_asset_says_what_it_is_whose_it_is_and_where_it_comes_from():
    graph = build_definitions().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert len(node.description or "") > 60, key
        assert node.owners == ["team:lifecycle"], key
        assert node.kinds, key
        assert node.group_name in ROOMS_ON_THE_GRAPH, key
        assert "postgres" not in node.kinds or node.metadata["dagster/table_name"], key
        if "postgres" in node.kinds and key.to_user_string() != "stored_data":
            assert len(node.metadata["dagster/column_schema"].columns) > 3, key
        text = str(node.metadata["written_by"].value)
        named = [part for part in text.split("`") if part.startswith(("sql/", "drip_pipeline/"))]
        assert named, key
        assert [path for path in named if not (CHECKOUT / path).is_file()] == [], key


@pytest.mark.parametrize("asset", ["daily_campaign_metrics", "ab_test_results"])
def test_figures_and_results_are_to_be_fresh(asset):
    node = build_definitions().resolve_asset_graph().get(dg.AssetKey(asset))
    assert isinstance(node.freshness_policy, dg.FreshnessPolicy)


def test_every_job_sensor_and_schedule_says_what_it_does():
    definitions = build_definitions()
    for job in definitions.get_repository_def().get_all_jobs():
        assert job.name.startswith("__") or len(job.description or "") > 40, job.name
    for started in (*(definitions.sensors or ()), *(definitions.schedules or ())):
        assert len(started.description or "") > 40, started.name


def test_loading_the_definitions_imports_nothing_heavy():
    code = (
        "import sys, drip_pipeline.definitions;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.timeout(300)
def test_the_workspace_is_valid_from_another_folder(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    workspace = CHECKOUT / "workspace.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(workspace)],
        cwd=tmp_path,
        env={**os.environ, "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "Validation successful for code location drip_pipeline" in told
    assert "BetaWarning" not in told
