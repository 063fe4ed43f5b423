"""`drip campaign drafts`: edits that another application made in the tables of published
campaigns."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.campaign.in_flight import map_options, node_map
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from drip_pipeline.engine.publishing.external_drafts import EditReport
    from drip_pipeline.engine.publishing.in_flight_policy import Policy


@command()
@click.argument("campaign", required=False)
@click.option("--publish", is_flag=True, help="Publish the edit of CAMPAIGN.")
@click.option(
    "--policy",
    type=click.Choice(["pin", "migrate", "exit"]),
    default="pin",
    help="With --publish: what becomes of people inside an earlier version.",
)
@map_options
@now_option
def drafts(
    invocation: Invocation,
    campaign: str | None,
    publish: bool,
    policy: Policy,
    pairs: tuple[str, ...],
    map_file: Path | None,
    now: datetime,
) -> CommandResult:
    """Look for edits that another application (a visual builder) made in the tables of published
    campaigns, or of CAMPAIGN, check them, and tell what is not published.

    How the canvas is drawn (positions, viewport, looks) is no edit: the published version takes it
    over. Exit code 1 where an edit is not valid.
    """
    from drip_pipeline.engine.publishing.external_drafts import check_edits, publish_edit
    from drip_pipeline.engine.publishing.in_flight_policy import InFlight
    from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS

    if publish:
        if campaign is None:
            raise click.UsageError("--publish wants the campaign.")
        done = publish_edit(
            invocation.database,
            campaign,
            now=now,
            channels=AVAILABLE_CHANNELS,
            settings=invocation.settings,
            in_flight=InFlight(policy, node_map(pairs, map_file)),
        )
        said = f"published {done.name!r} as version {done.version}: {done.changes}"
        return CommandResult(done, said)
    found = check_edits(
        invocation.database,
        now=now,
        channels=AVAILABLE_CHANNELS,
        settings=invocation.settings,
        campaign=campaign,
    )
    is_bad = any(edit.status == "invalid" for edit in found)
    return CommandResult(found, "\n".join(map(_lines, found)) or "no edits", exit_code=int(is_bad))


def _lines(edit: EditReport) -> str:
    if edit.status == "published":
        return f"{edit.name}: published as version {edit.version} ({edit.changes})"
    return "\n".join(
        edit_lines(edit.name, edit.status, edit.base_version, edit.changes, edit.problems)
    )


def edit_lines(
    name: str, status: str, base_version: int, changes: str, problems: Sequence[Mapping[str, Any]]
) -> list[str]:
    """An edit that is not published, for people: what changed, and what is wrong with it."""
    state = "not published" if status == "valid" else "not valid, not published"
    return [
        f"{name}: edited since version {base_version}, {state} ({changes})",
        *(
            f"  - {(problem['step'] or problem['node_id']) + ': ' if problem['node_id'] else ''}"
            f"{problem['message']}"
            for problem in problems
        ),
    ]
