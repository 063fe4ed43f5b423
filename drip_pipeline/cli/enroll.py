"""`drip enroll C …`: enroll contacts in a campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import (
    ProgressLine,
    format_counts,
    now_option,
    reason_option,
)

if TYPE_CHECKING:
    from drip_pipeline.engine.enrollment.audience import Selection
    from drip_pipeline.engine.enrollment.enroll import EnrollReport
    from drip_pipeline.engine.enrollment.entry_list import EntryData

_SHOWN_LINES = 10


@command()
@click.argument("campaign")
@click.option("--all", "is_everybody", is_flag=True, help="All contacts of the workspace.")
@click.option(
    "--emails",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Contacts with these addresses: one per line, or the column `email` of a CSV or Parquet"
    " file; `-` is standard input. The exit code is 1 if none of them is enrolled.",
)
@click.option("--tag", metavar="T", help="Contacts with this tag.")
@click.option(
    "--where",
    metavar="JSON",
    help="Contacts that match a condition, written as in a campaign file.",
)
@click.option(
    "--data",
    metavar="JSON|FILE",
    help="Entry data, read as `entry` in the campaign: one JSON object for all contacts, or a file"
    " (NDJSON, CSV, Parquet) with the column `email`, which then selects the contacts: each line is"
    " a run with the other columns as its data.",
)
@click.option("--entry-key", metavar="K", help="Idempotency key for campaigns that allow re-entry.")
@click.option(
    "--spread",
    type=click.FloatRange(min=0),
    default=0,
    metavar="MINUTES",
    help="Spread the start of the enrollments evenly over this time.",
)
@click.option(
    "--confirm",
    type=click.IntRange(min=1),
    metavar="N",
    help="Confirm that up to N contacts are enrolled; required above the workspace's agreed size"
    " (10,000 by default, see `drip workspace guard`).",
)
@click.option(
    "--dry-run",
    "is_dry_run",
    is_flag=True,
    help="Show how many would be enrolled and refused, by reason; enroll nobody.",
)
@reason_option
@now_option
def enroll(
    invocation: Invocation,
    campaign: str,
    is_everybody: bool,
    emails: Path | None,
    tag: str | None,
    where: str | None,
    data: str | None,
    entry_key: str | None,
    spread: float,
    confirm: int | None,
    is_dry_run: bool,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Enroll contacts in CAMPAIGN (id or exact name).

    Select the contacts with exactly one of --all, --emails, --tag and --where, or with a file of
    entry data (--data). Contacts that are already enrolled are skipped, so the command can be
    repeated safely. An audience above the workspace's agreed size enrolls nobody until its size is
    named with --confirm.
    """
    entry_data = _entry_data(data)
    options = [is_everybody, emails is not None, tag is not None, where is not None]
    if entry_data.entries is not None and any(options):
        raise click.UsageError(
            "The file of --data names its contacts: leave out --all, --emails, --tag and --where."
        )
    if entry_data.entries is None and options.count(True) != 1:
        raise click.UsageError("Specify exactly one of --all, --emails, --tag and --where.")
    unreadable: Sequence[tuple[int, str]] = entry_data.rejected
    audience: Selection
    if entry_data.entries is not None:
        audience = entry_data.entries
    elif emails is not None:
        audience, unreadable = _listed(emails)
    else:
        audience = _audience(tag, where)
    from drip_pipeline.engine.enrollment.enroll import EntryOptions
    from drip_pipeline.engine.enrollment.enroll import enroll as enroll_contacts

    with ProgressLine() as progress:
        report = enroll_contacts(
            invocation.database,
            campaign,
            audience,
            now=now,
            options=EntryOptions(
                entry_key,
                spread,
                entry_data.common,
                actor=invocation.actor,
                reason=reason,
                is_guarded=True,
                confirm=confirm,
                is_dry_run=is_dry_run,
            ),
            progress=progress,
        )
    if unreadable:
        reasons = Counter(reason for _, reason in unreadable)
        report = replace(report, refused={**report.refused, **reasons})
    lines = [f"  line {line}: {reason}" for line, reason in unreadable[:_SHOWN_LINES]]
    is_listed = emails is not None or entry_data.entries is not None
    has_failed = is_listed and report.refused and not report.enrolled + report.already_in
    return CommandResult(report, "\n".join([_describe(report), *lines]), int(bool(has_failed)))


def _entry_data(data: str | None) -> EntryData:
    from drip_pipeline.engine.enrollment.entry_list import EntryData, read_data

    return EntryData() if data is None else read_data(data)


def _listed(emails: Path) -> tuple[Selection, Sequence[tuple[int, str]]]:
    """Return the contacts of a list of addresses, and the lines of it that cannot be read."""
    from drip_pipeline.engine.contacts.address_lists import addresses_in
    from drip_pipeline.engine.enrollment.audience import Addresses

    listed = addresses_in(emails)
    return Addresses(listed.addresses), listed.rejected


def _audience(tag: str | None, where: str | None) -> Selection:
    from drip_pipeline.engine.enrollment.audience import Everybody, Tagged

    if tag is not None:
        return Tagged(tag)
    if where is None:
        return Everybody()
    from drip_pipeline.domain.conditions.never_matching import never_matching
    from drip_pipeline.engine.enrollment.condition_text import matching

    try:
        selection = matching(where, "--where")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for reason in never_matching(selection.condition):
        click.echo(f"warning: --where: {reason}", err=True)
    return selection


def _describe(report: EnrollReport) -> str:
    campaign = f"{report.campaign!r} (version {report.version})"
    would = "would be enrolled" if report.is_dry_run else "enrolled"
    lines = [f"{report.enrolled:,} {would} in {campaign}, {report.already_in:,} already enrolled"]
    if report.refused:
        lines.append(f"refused: {format_counts(report.refused)}")
    if report.is_dry_run and report.agreed is not None and report.enrolled > report.agreed:
        lines.append(f"more than {report.agreed:,}: add --confirm {report.enrolled}")
    if "over_per_day" in report.refused:
        lines.append("over_per_day: the campaign's limit of a day; repeat it tomorrow")
    if report.status == "paused":
        lines.append("the campaign is paused: enrollments wait until `drip campaign resume`")
    return "\n".join(lines)
