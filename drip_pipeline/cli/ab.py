"""`drip ab …`: where A/B tests stand, judging them now, and what a person decides about them."""

from __future__ import annotations

import getpass
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, parse_time
from drip_pipeline.errors import ImportFileError

if TYPE_CHECKING:
    from drip_pipeline.engine.ab_tests.results import SplitResults

FIGURES = (
    "assigned", "sent", "delivered", "opened", "clicked", "replied", "converted", "confidence",
    "significant", "winner",
)  # fmt: skip
_RATES = {
    "delivered": "delivery_rate",
    "opened": "open_rate",
    "clicked": "click_rate",
    "replied": "reply_rate",
}
by_option = click.option("--by", "who", help="Who says so; your login name by default.")
split_option = click.option("--split", "split_node_id", help="The split, where there are several.")


@click.group()
def ab() -> None:
    """A/B tests: results, judging, declaring a winner, and a calculator."""


@command(ab)
@click.argument("campaign")
@click.option(
    "--as-of",
    metavar="ISO",
    callback=parse_time,
    help="As they stood at this moment in the past, by the time when things happened.",
)
@now_option
def results(
    invocation: Invocation, campaign: str, as_of: datetime | None, now: datetime
) -> CommandResult:
    """Where the tests of a campaign stand, counted now. Nothing is decided.

    With --as-of: where they stood then, for audits. What had happened by then counts, also where it
    was reported afterwards; an evaluation of that day knew only what had been reported.
    """
    from drip_pipeline.engine.ab_tests.results import campaign_results, results_as_of
    from drip_pipeline.engine.ab_tests.results_json import as_json

    if as_of is None:
        found = campaign_results(invocation.database, campaign, now=now)
        return CommandResult(as_json(found), results_shown(found))
    if as_of > now:
        raise click.UsageError(f"--as-of {as_of.isoformat()} lies in the future.")
    found = results_as_of(invocation.database, campaign, as_of=as_of)
    return CommandResult(as_json(found) | {"as_of": as_of}, results_shown(found, as_of=as_of))


@command(ab)
@click.argument("campaign", required=False)
@now_option
def judge(invocation: Invocation, campaign: str | None, now: datetime) -> CommandResult:
    """Count and judge the running tests of a campaign, or all, and take the decisions that are
    due.
    """
    from drip_pipeline.engine.ab_tests.judge import judge as judge_tests
    from drip_pipeline.engine.campaigns.campaign import find_campaign

    campaign_ids = None
    if campaign is not None:
        with invocation.database.transaction(is_read_only=True) as connection:
            campaign_ids = [find_campaign(connection, campaign).campaign_id]
    report = judge_tests(invocation.database, campaign_ids, now=now)
    return CommandResult(_judged_data(report), _judged_text(report))


@command(ab)
@click.argument("campaign")
@click.option("--variant", required=True, help="The variant that wins: its id or name.")
@click.option("--reason", required=True, help="Why; kept with the decision.")
@by_option
@split_option
@now_option
def declare(
    invocation: Invocation,
    campaign: str,
    variant: str,
    reason: str,
    who: str | None,
    split_node_id: str | None,
    now: datetime,
) -> CommandResult:
    """Declare a winner by hand. The first decision stands."""
    from drip_pipeline.engine.ab_tests.declare import declare as declare_winner

    decision = declare_winner(
        invocation.database,
        campaign,
        variant=variant,
        reason=reason,
        decided_by=who or getpass.getuser(),
        now=now,
        split_node_id=split_node_id,
    )
    return CommandResult(
        decision,
        f"{decision.winner_variant} is declared the winner at {decision.split_node_id} of"
        f" {decision.campaign!r}; everybody who reaches the split from now on goes there",
    )


@command(ab)
@click.argument("campaign")
@click.option("--reason", required=True, help="Why the proportions are all right.")
@by_option
@split_option
@now_option
def clear(
    invocation: Invocation,
    campaign: str,
    reason: str,
    who: str | None,
    split_node_id: str | None,
    now: datetime,
) -> CommandResult:
    """Let a test go on that is blocked because its people do not have the promised proportions."""
    from drip_pipeline.engine.ab_tests.declare import clear_sample_ratio

    cleared = clear_sample_ratio(
        invocation.database,
        campaign,
        reason=reason,
        cleared_by=who or getpass.getuser(),
        now=now,
        split_node_id=split_node_id,
    )
    data = {"test_id": cleared.test_id, "split_node_id": cleared.split_node_id, "cleared_at": now}
    return CommandResult(data, f"the test at {cleared.split_node_id} goes on")


@command(ab)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def evaluate(_invocation: Invocation, file: Path) -> CommandResult:
    """Judge the counts of a JSON file (`-`: stdin) without a database: a calculator and an audit
    tool.
    """
    import orjson

    from drip_pipeline.experiments import evaluate_file

    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        items = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ImportFileError(str(file), f"is not JSON: {error}") from None
    evaluated = evaluate_file(items)
    return CommandResult(evaluated, "\n".join(_evaluated_lines(evaluated)))


# --- for people -----------------------------------------------------------------------------------


def results_shown(found: list[SplitResults], *, as_of: datetime | None = None) -> Any:
    """Tests as they are shown on a terminal."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = []
    if as_of is not None:
        parts = [Text(f"What had happened by {as_of:%Y-%m-%d %H:%M:%S %Z}."), Text()]
    for results_ in found:
        experiment = results_.experiment
        parts += [
            Text.assemble(
                (f"{results_.campaign.name}, split {experiment.split_node_id}", "bold"),
                f" — {results_.state} ({results_.reason})",
            ),
            Text(results_.explanation()),
            table(_figures(results_), ["figure", *(v.variant_group for v in experiment.variants)]),
        ]
        parts += [Text(note)] if (note := results_.totals_note()) else []
        parts += [Text(line) for line in _holdout_lines(results_)]
        parts += [Text(f"What would change it: {results_.would_change()}"), Text()]
    return Group(*parts)


def _figures(found: SplitResults) -> list[dict[str, Any]]:
    """A row per figure and a column per variant: that fits a terminal."""
    from drip_pipeline.engine.ab_tests.results_json import judged_columns, rates

    rows: dict[str, dict[str, Any]] = {}

    def put(figure: str, variant_group: str, told: Any) -> None:
        rows.setdefault(figure, {"figure": figure})[variant_group] = told

    for spec in found.experiment.variants:
        name = spec.variant_group
        counts, shares, judged = (
            found.counts_of(name),
            rates(found, name),
            judged_columns(found, name),
        )
        put("assigned", name, f"{counts.assigned or 0:,}")
        put("converted", name, _both(counts.total_converted, shares["conversion_rate"]))
        if counts.is_holdout:
            put("sent", name, "held out")
            continue
        put("sent", name, f"{counts.total_sent:,}")
        for figure in ("delivered", "opened", "clicked", "replied"):
            rate = shares[_RATES[figure]]
            put(figure, name, _both(getattr(counts, f"total_{figure}"), rate))
        put("confidence", name, f"{judged['confidence_level']} %")
        put("significant", name, judged["is_statistically_significant"])
        put("winner", name, judged["is_winner"])
    return [rows[figure] for figure in FIGURES if figure in rows]


def _both(count: int, rate: Any) -> str:
    return f"{count:,}" if rate is None else f"{count:,} ({rate} %)"


def _holdout_lines(found: SplitResults) -> list[str]:
    lines = []
    for lift in found.lifts:
        if lift.difference is None or lift.interval is None:
            continue
        low, high = lift.interval
        lines.append(
            f"{lift.variant_group} over the holdout: {lift.difference:+.2f} points of conversions"
            f" ({low:+.2f} to {high:+.2f})"
        )
    return lines


def _judged_data(report: Any) -> dict[str, Any]:
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
            for one in report.judged
        ],
        "counted": report.counted,
        "evaluations": report.evaluations,
        "decisions": report.decisions,
        "faults": {str(test_id): fault for test_id, fault in report.faults.items()},
    }


def _judged_text(report: Any) -> str:
    from drip_pipeline.experiments import explain

    lines = [f"{one.experiment.split_node_id}: {explain(one.verdict)}" for one in report.judged]
    lines += [
        f"decided: {decision.campaign!r}, {decision.split_node_id}:"
        f" {decision.winner_variant or 'no winner'}"
        for decision in report.decisions
    ]
    lines += [f"cannot be read: test {test}: {fault}" for test, fault in report.faults.items()]
    return "\n".join(lines) or "no test is running"


def _evaluated_lines(items: list[dict[str, Any]]) -> list[str]:
    return [
        f"{number}. {item['state']} ({item['reason']}): {item['explanation']}"
        for number, item in enumerate(items, start=1)
    ]
