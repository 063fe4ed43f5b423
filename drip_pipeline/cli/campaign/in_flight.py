"""`drip campaign migrate`, and the options and tables for contacts inside earlier versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, reason_option

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from drip_pipeline.engine.publishing.in_flight_policy import InFlightReport
    from drip_pipeline.engine.publishing.publish_options import PolicyName


def map_options(function: Callable[..., CommandResult]) -> Callable[..., CommandResult]:
    """Add `--map OLD=NEW` and `--map-file FILE`; the function gets both as `node_map`."""

    @wraps(function)
    def with_map(
        *arguments: object, pairs: tuple[str, ...], map_file: Path | None, **options: object
    ) -> CommandResult:
        return function(*arguments, node_map=_node_map(pairs, map_file), **options)

    decorated = click.option(
        "--map-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A JSON or YAML file with the map as an object: {OLD: NEW, …}.",
    )(with_map)
    return click.option(
        "--map",
        "pairs",
        multiple=True,
        metavar="OLD=NEW",
        help="Move contacts at node OLD to node NEW of the new version; repeatable.",
    )(decorated)


def publish_options(function: Callable[..., CommandResult]) -> Callable[..., CommandResult]:
    """Add the options of a publication; the function gets them as PublishOptions in `options`."""

    @wraps(function)
    def with_options(
        invocation: Invocation,
        *,
        policy: PolicyName,
        node_map: Mapping[str, str],
        overwrite_canvas: bool,
        reason: str | None,
        **arguments: Any,
    ) -> CommandResult:
        from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PublishOptions

        options = PublishOptions(
            now=arguments.pop("now"),
            settings=invocation.settings,
            based_on=arguments.pop("based_on"),
            dry_run=arguments.pop("dry_run"),
            in_flight=InFlightPolicy(policy, node_map),
            overwrites_draft=overwrite_canvas,
            actor=invocation.actor,
            reason=reason,
        )
        return function(invocation, options=options, **arguments)

    decorated: Callable[..., CommandResult] = click.option(
        "--dry-run", is_flag=True, help="Report what would happen; change nothing."
    )(reason_option(now_option(with_options)))
    decorated = click.option(
        "--overwrite-canvas",
        is_flag=True,
        help="Overwrite unpublished external changes; the history keeps them.",
    )(decorated)
    decorated = click.option(
        "--policy",
        type=click.Choice(["pin", "migrate", "exit"]),
        default="pin",
        help="What happens to contacts inside an earlier version: they finish it (pin), move to the"
        " new one (migrate) or exit.",
    )(map_options(decorated))
    return click.option(
        "--based-on",
        type=click.IntRange(min=0),
        metavar="N",
        help="The version that was edited (0: none). Refuse if another one is published.",
    )(decorated)


def _node_map(pairs: tuple[str, ...], map_file: Path | None) -> dict[str, str]:
    """Return the node map of the options; pairs of the command line override the file."""
    mapping = _from_file(map_file) if map_file else {}
    for pair in pairs:
        old, equals, new = (part.strip() for part in pair.partition("="))
        if not (old and equals and new):
            raise click.BadParameter(f"{pair!r} is not OLD=NEW", param_hint="--map")
        mapping[old] = new
    return mapping


def _from_file(path: Path) -> dict[str, str]:
    from drip_pipeline.domain.definition.text_formats import UnreadableText, parse_text

    try:
        content = parse_text(path.read_text(encoding="utf-8-sig"))
    except (UnreadableText, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict):
        raise click.BadParameter(f"{path} has no object of OLD: NEW", param_hint="--map-file")
    return {str(old): str(new) for old, new in content.items()}


def with_in_flight(text: str, report: InFlightReport | None) -> str | Group:
    """Return the text with tables of what happens to contacts inside earlier versions."""
    if report is None or not report.states:
        return text
    from rich.console import Group
    from rich.text import Text

    return Group(Text(text), *_tables(report))


def _tables(report: InFlightReport) -> Iterator[Table]:
    moving = [
        {
            "version": group.version,
            "node": _name(group.node_id, group.label),
            "state": group.describe_state(),
            "contacts": f"{group.states:,}",
            "to": _name(group.to_node, group.to_label) if group.to_node else "",
            "action": group.action + _ended(group.ended_by_event, group.ended_by_time),
        }
        for group in report.groups
    ]
    stranded = [
        {
            "version": group.version,
            "node": _name(group.node_id, group.label),
            "contacts": f"{group.states:,}",
            "reason": group.reason,
        }
        for group in report.stranded
    ]
    for title, rows in (
        ("Contacts inside earlier versions", moving),
        ("Without a target node", stranded),
    ):
        if rows:
            yield table(rows, title=title)


def _name(node_id: str | None, label: str | None) -> str:
    return f"{node_id} ({label})" if label and label != node_id else str(node_id)


def _ended(by_event: int, by_time: int) -> str:
    counts = ((by_event, "at once, by the event"), (by_time, "at once, because its time is over"))
    parts = [f"{count:,} {how}" for count, how in counts if count]
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
        help="Only contacts inside this version; repeatable. Default: all other versions.",
    )
    @click.option(
        "--to", "to_version", type=int, metavar="V", help="Default: the published version."
    )
    @map_options
    @click.option("--dry-run", is_flag=True, help="Report the moves; change nothing.")
    @reason_option
    @now_option
    def migrate(
        invocation: Invocation,
        campaign: str,
        from_versions: tuple[int, ...],
        to_version: int | None,
        node_map: dict[str, str],
        dry_run: bool,
        reason: str | None,
        now: datetime,
    ) -> CommandResult:
        """Move active enrollments of CAMPAIGN to another version.

        Nodes are matched by id or by the map. No message is sent twice; a changed wait restarts,
        counted from the arrival at the node. Either all contacts move or none.
        """
        from drip_pipeline.engine.publishing.migrate_states import migrate_states

        moved = migrate_states(
            invocation.database,
            campaign,
            now=now,
            from_versions=from_versions or None,
            to_version=to_version,
            node_map=node_map,
            dry_run=dry_run,
            actor=invocation.actor,
            reason=reason,
        )
        report = moved.in_flight
        data = {"campaign_id": moved.campaign_id, "name": moved.name, "dry_run": dry_run}
        number = report.states - sum(group.states for group in report.stranded)
        tense = "would move" if dry_run else "have moved"
        text = f"{moved.name!r}: {number:,} contacts {tense} to version {report.to_version}"
        return CommandResult(
            data | report.to_json(),
            with_in_flight(text, report),
            exit_code=1 if report.stranded else 0,
        )
