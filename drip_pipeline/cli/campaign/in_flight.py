"""`drip campaign migrate`, and what publishing says of people inside earlier versions: options for
the policy and the map, and the table of who goes where.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.publishing.in_flight_policy import InFlightReport

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def policy_option(function: Decorated) -> Decorated:
    """`--policy`: what becomes of people inside an earlier version."""
    return click.option(
        "--policy",
        type=click.Choice(["pin", "migrate", "exit"]),
        default="pin",
        help="What becomes of people inside an earlier version: they finish it (pin), move to the"
        " new one (migrate) or leave (exit).",
    )(function)


def map_options(function: Decorated) -> Decorated:
    """`--map OLD=NEW`, repeatable, and `--map-file FILE` with an object of them."""
    function = click.option(
        "--map-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A JSON or YAML file with an object of them: {OLD: NEW, …}.",
    )(function)
    return click.option(
        "--map",
        "pairs",
        multiple=True,
        metavar="OLD=NEW",
        help="Send people of node OLD to node NEW of the new version; repeatable.",
    )(function)


def trial_options(function: Decorated) -> Decorated:
    """`--overwrite-canvas` and `--dry-run`, of everything that publishes."""
    function = click.option(
        "--dry-run", is_flag=True, help="Say what would happen, and change nothing."
    )(function)
    return click.option(
        "--overwrite-canvas",
        is_flag=True,
        help="Write over an edit that another application made; it is kept in the history.",
    )(function)


def node_map(pairs: tuple[str, ...], map_file: Path | None) -> dict[str, str]:
    """The map that the options say; those on the command line come first."""
    found = _from_file(map_file) if map_file else {}
    for pair in pairs:
        old, equals, new = (part.strip() for part in pair.partition("="))
        if not (old and equals and new):
            raise click.BadParameter(f"{pair!r} is not OLD=NEW", param_hint="--map")
        found[old] = new
    return found


def _from_file(path: Path) -> dict[str, str]:
    import yaml

    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError):
        told = None
    if not isinstance(told, dict):
        raise click.BadParameter(f"{path} holds no object of OLD: NEW", param_hint="--map-file")
    return {str(old): str(new) for old, new in told.items()}


def parts_of(report: InFlightReport) -> list[Any]:
    """What becomes of people inside earlier versions, as tables."""
    moving = [
        {
            "version": group.version,
            "node": _named(group.node_id, group.label),
            "state": group.stands(),
            "people": f"{group.people:,}",
            "to": _named(group.to_node, group.to_label) if group.to_node else "",
            "what they do": group.then + _over(group.over_by_event, group.over_by_time),
        }
        for group in report.groups
    ]
    stranded = [
        {
            "version": group.version,
            "node": _named(group.node_id, group.label),
            "people": f"{group.people:,}",
            "why": group.why,
        }
        for group in report.stranded
    ]
    parts = (("People inside earlier versions", moving), ("Nowhere to go", stranded))
    return [table(rows, title=title) for title, rows in parts if rows]


def _named(node_id: str | None, label: str | None) -> str:
    return f"{node_id} ({label})" if label and label != node_id else str(node_id)


def _over(by_event: int, by_time: int) -> str:
    parts = [
        f"{count:,} {why}"
        for count, why in ((by_event, "by the event at once"), (by_time, "whose time is over"))
        if count
    ]
    return f": {', '.join(parts)}" if parts else ""


def register(group: click.Group) -> None:
    """Add the commands to `drip campaign`."""

    @command(group)
    @click.argument("campaign")
    @click.option(
        "--from",
        "from_versions",
        type=int,
        multiple=True,
        metavar="V",
        help="Only people inside this version; repeatable. Default: all other versions.",
    )
    @click.option(
        "--to", "to_version", type=int, metavar="V", help="Default: the one newcomers enter."
    )
    @map_options
    @click.option("--dry-run", is_flag=True, help="Say who would go where, and move nobody.")
    @now_option
    def migrate(
        invocation: Invocation,
        campaign: str,
        from_versions: tuple[int, ...],
        to_version: int | None,
        pairs: tuple[str, ...],
        map_file: Path | None,
        dry_run: bool,
        now: datetime,
    ) -> CommandResult:
        """Move people of CAMPAIGN who are inside an earlier version to another one.

        They are matched by node id or by the map. Nothing is sent twice; a wait is measured anew
        from when they came to it. All move or nobody.
        """
        from drip_pipeline.engine.publishing.migrate_people import move_people

        moved = move_people(
            invocation.database,
            campaign,
            now=now,
            from_versions=from_versions or None,
            to_version=to_version,
            node_map=node_map(pairs, map_file),
            dry_run=dry_run,
        )
        report = moved.in_flight
        data = {"campaign_id": moved.campaign_id, "name": moved.name, "dry_run": dry_run}
        going = report.people - sum(group.people for group in report.stranded)
        verb = "would move" if dry_run else "have moved"
        said = f"{moved.name!r}: {going:,} people {verb} to version {report.to_version}"
        return CommandResult(
            data | report.to_json(), told(said, report), exit_code=1 if report.stranded else 0
        )


def told(said: str, report: InFlightReport | None) -> Any:
    """A sentence, and below it who goes where."""
    if report is None or not report.people:
        return said
    from rich.console import Group
    from rich.text import Text

    return Group(Text(said), *parts_of(report))
