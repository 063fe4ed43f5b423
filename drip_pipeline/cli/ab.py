"""`drip ab …`: results of A/B tests, evaluation, and decisions by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, parse_time
from drip_pipeline.errors import ImportFileError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from drip_pipeline.engine.ab_tests.judge import EvaluationReport
    from drip_pipeline.engine.ab_tests.results import SplitResults

METRICS = (
    "assigned", "sent", "delivered", "opened", "clicked", "replied", "converted", "confidence",
    "significant", "winner",
)  # fmt: skip
_MOST_COLUMNS = 6
_RATES = {
    "delivered": "delivery_rate",
    "opened": "open_rate",
    "clicked": "click_rate",
    "replied": "reply_rate",
}
by_option = click.option(
    "--by",
    "decided_by",
    metavar="NAME",
    help="Author of the decision. Default: the name of `drip --as`, else the login name.",
)
split_option = click.option(
    "--split", "split_node_id", metavar="NODE", help="Split node; required if there are several."
)


@click.group()
def ab() -> None:
    """Show A/B test results, evaluate tests, and declare winners."""


@command(ab)
@click.argument("campaign")
@click.option(
    "--as-of",
    metavar="ISO",
    callback=parse_time,
    help="Show the results at this past time, by the time at which events occurred.",
)
@now_option
def results(
    invocation: Invocation, campaign: str, as_of: datetime | None, now: datetime
) -> CommandResult:
    """Show the results of the tests of CAMPAIGN. Makes no decision.

    With --as-of, show the results at a past time, for audits. Events that occurred by then count,
    including those reported later; an evaluation on that day used only events reported by then.
    """
    from drip_pipeline.engine.ab_tests.results import campaign_results, results_as_of
    from drip_pipeline.engine.ab_tests.results_json import as_json

    if as_of is None:
        current = campaign_results(invocation.read_database, campaign, now=now)
        return CommandResult(as_json(current), render_results(current))
    if as_of > now:
        raise click.UsageError(f"--as-of {as_of.isoformat()} is in the future.")
    past = results_as_of(invocation.read_database, campaign, as_of=as_of)
    return CommandResult(as_json(past) | {"as_of": as_of}, render_results(past, as_of=as_of))


@command(ab)
@click.argument("campaign", required=False)
@now_option
def judge(invocation: Invocation, campaign: str | None, now: datetime) -> CommandResult:
    """Evaluate running tests, and make due decisions.

    Evaluates the tests of CAMPAIGN (id or exact name), or of all campaigns.
    """
    from drip_pipeline.engine.ab_tests.judge import judge as judge_tests
    from drip_pipeline.engine.campaigns.campaign import find_campaign

    campaign_ids = None
    if campaign is not None:
        with invocation.database.transaction(is_read_only=True) as connection:
            campaign_ids = [find_campaign(connection, campaign).campaign_id]
    report = judge_tests(invocation.database, campaign_ids, now=now)
    return CommandResult(_evaluation_data(report), _describe_evaluation(report))


@command(ab)
@click.argument("campaign")
@click.option("--variant", required=True, help="Id or name of the winning variant.")
@click.option("--reason", required=True, help="Reason; stored with the decision.")
@by_option
@split_option
@now_option
def declare(
    invocation: Invocation,
    campaign: str,
    variant: str,
    reason: str,
    decided_by: str | None,
    split_node_id: str | None,
    now: datetime,
) -> CommandResult:
    """Declare the winner of a test of CAMPAIGN. A decision cannot be changed.

    From then on, everybody who reaches the split gets the winner, also contacts who come again and
    those that a contact field assigns. Holdouts stay held out.
    """
    from drip_pipeline.engine.ab_tests.declare import declare as declare_winner

    decision = declare_winner(
        invocation.database,
        campaign,
        variant=variant,
        reason=reason,
        decided_by=decided_by or invocation.actor.name,
        now=now,
        split_node_id=split_node_id,
        actor=invocation.actor,
    )
    return CommandResult(
        decision,
        f"{decision.winner_variant} is the winner at {decision.split_node_id} of"
        f" {decision.campaign!r}; from now on everybody who reaches the split gets it, also those"
        " who come again or are assigned by a contact field; holdouts stay held out",
    )


@command(ab)
@click.argument("campaign")
@click.option("--reason", required=True, help="Reason why the observed split is acceptable.")
@by_option
@split_option
@now_option
def clear(
    invocation: Invocation,
    campaign: str,
    reason: str,
    decided_by: str | None,
    split_node_id: str | None,
    now: datetime,
) -> CommandResult:
    """Unblock a test of CAMPAIGN after a sample ratio mismatch.

    A mismatch means that the observed numbers of contacts per variant differ significantly from
    the expected split.
    """
    from drip_pipeline.engine.ab_tests.declare import clear_sample_ratio

    cleared = clear_sample_ratio(
        invocation.database,
        campaign,
        reason=reason,
        cleared_by=decided_by or invocation.actor.name,
        now=now,
        split_node_id=split_node_id,
        actor=invocation.actor,
    )
    data = {"test_id": cleared.test_id, "split_node_id": cleared.split_node_id, "cleared_at": now}
    return CommandResult(data, f"the test at {cleared.split_node_id} is unblocked")


@command(ab)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def evaluate(_invocation: Invocation, file: Path) -> CommandResult:
    """Evaluate the counts of a JSON file, without a database.

    FILE is a path, or `-` for stdin. Use this as a calculator, or to audit a decision.
    """
    import orjson

    from drip_pipeline.experiments import evaluate_file

    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        items = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ImportFileError(str(file), f"is not JSON: {error}") from None
    evaluated = evaluate_file(items)
    lines = [
        f"{number}. {item['state']} ({item['reason']}): {item['explanation']}"
        for number, item in enumerate(evaluated, start=1)
    ]
    return CommandResult(evaluated, "\n".join(lines))


# --- text for terminals ---------------------------------------------------------------------------


def render_results(
    tests: Sequence[SplitResults], *, as_of: datetime | None = None
) -> RenderableType:
    """Return test results as a rich renderable: a summary, a table and the next step for each."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if as_of is not None:
        parts = [Text(f"Results at {as_of:%Y-%m-%d %H:%M:%S %Z}."), Text()]
    for test in tests:
        experiment = test.experiment
        parts += [
            Text.assemble(
                (f"{test.campaign.name}, split {experiment.split_node_id}", "bold"),
                f" — {test.state} ({test.reason})",
            ),
            Text(test.explanation()),
            _variants_table(test),
        ]
        parts += [Text(note)] if (note := test.totals_note()) else []
        parts += [Text(line) for line in _holdout_lines(test)]
        parts += [Text(f"Next step: {test.would_change()}"), Text()]
    return Group(*parts)


def _variants_table(test: SplitResults) -> RenderableType:
    """Return the table of a test. Few variants are columns; many are rows with a few
    columns, so that they fit a terminal; `--json` has all.
    """
    names = [variant.variant_group for variant in test.experiment.variants]
    rows = _metric_rows(test)
    if len(names) <= _MOST_COLUMNS:
        return table(rows, ["metric", *names])
    metric = test.experiment.statistics.winner_metric.value
    decided_by = next((name for name, rate in _RATES.items() if rate == metric), "converted")
    shown = dict.fromkeys(["assigned", "sent", decided_by, "confidence", "winner"])
    by_metric = {row["metric"]: row for row in rows}
    return table(
        [
            {"variant": name} | {key: by_metric[key].get(name, "") for key in shown}
            for name in names
        ],
        ["variant", *shown],
    )


def _metric_rows(test: SplitResults) -> list[dict[str, object]]:
    """Return one row per metric with a column per variant, because that fits on a terminal."""
    from drip_pipeline.engine.ab_tests.results_json import evaluated_columns, rates

    rows: dict[str, dict[str, object]] = {metric: {"metric": metric} for metric in METRICS}
    for spec in test.experiment.variants:
        name = spec.variant_group
        counts = test.counts_of(name)
        variant_rates, verdict = rates(test, name), evaluated_columns(test, name)
        rows["assigned"][name] = f"{counts.assigned or 0:,}"
        rows["converted"][name] = _count_and_rate(
            counts.total_converted, variant_rates.conversion_rate
        )
        if counts.is_holdout:
            rows["sent"][name] = "held out"
            continue
        rows["sent"][name] = f"{counts.total_sent:,}"
        for metric, rate in _RATES.items():
            total = getattr(counts, f"total_{metric}")
            rows[metric][name] = _count_and_rate(total, getattr(variant_rates, rate))
        rows["confidence"][name] = f"{verdict['confidence_level']} %"
        rows["significant"][name] = verdict["is_statistically_significant"]
        rows["winner"][name] = verdict["is_winner"]
    return [row for row in rows.values() if len(row) > 1]


def _count_and_rate(count: int, rate: object) -> str:
    return f"{count:,}" if rate is None else f"{count:,} ({rate} %)"


def _holdout_lines(test: SplitResults) -> list[str]:
    lines = []
    for lift in test.lifts:
        if lift.difference is None or lift.interval is None:
            continue
        low, high = lift.interval
        lines.append(
            f"{lift.variant_group} compared with the holdout: {lift.difference:+.2f} percentage"
            f" points of conversions ({low:+.2f} to {high:+.2f})"
        )
    return lines


def _evaluation_data(report: EvaluationReport) -> dict[str, Any]:
    return {
        "judged": [
            {
                "test_id": one.experiment.test_id,
                "campaign_id": one.experiment.campaign_id,
                "split_node_id": one.experiment.split_node_id,
                "state": one.verdict.state.value,
                "reason": one.verdict.reason.value,
                "leader": one.verdict.leader,
                "p_value": one.verdict.p_value,
                "evaluation_id": one.evaluation_id,
                "is_new": one.is_new,
            }
            for one in report.evaluated
        ],
        "counted": report.counted,
        "evaluations": report.evaluations,
        "decisions": report.decisions,
        "faults": {str(test_id): fault for test_id, fault in report.faults.items()},
    }


def _describe_evaluation(report: EvaluationReport) -> str:
    from drip_pipeline.experiments import explain

    lines = [f"{one.experiment.split_node_id}: {explain(one.verdict)}" for one in report.evaluated]
    lines += [
        f"decided: {decision.campaign!r}, {decision.split_node_id}:"
        f" {decision.winner_variant or 'no winner'}"
        for decision in report.decisions
    ]
    lines += [f"test {test} cannot be evaluated: {fault}" for test, fault in report.faults.items()]
    return "\n".join(lines) or "no test is running"
