"""`drip topics …`: list, add, rename and archive the topics of a workspace."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, reason_option

if TYPE_CHECKING:
    from drip_pipeline.engine.campaigns.topics import TopicUpdate

_workspace = click.option(
    "--workspace", metavar="NAME", help="Workspace; required if there are several."
)
_name = click.argument("name", metavar="NAME")


@click.group()
def topics() -> None:
    """List, add, rename and archive the topics that people can leave and join."""


@command(topics, name="list")
@_workspace
def list_(invocation: Invocation, workspace: str | None) -> CommandResult:
    """List the topics of a workspace, with numbers of campaigns and of addresses by decision."""
    from drip_pipeline.engine.campaigns import topics as use_cases

    rows = use_cases.topics(invocation.database, workspace)
    if not rows:
        return CommandResult(rows, "no topics; `drip topics add NAME` adds one")
    columns = ["name", "title", "double_opt_in", "campaigns", "subscribed", "pending",
               "unsubscribed", "archived_at"]  # fmt: skip
    return CommandResult(rows, table(rows, columns))


@command(topics)
@_name
@click.option("--title", metavar="TEXT", help="What people see. Default: the name.")
@click.option("--description", metavar="TEXT", help="What the messages are about, for people.")
@click.option(
    "--double-opt-in/--single-opt-in",
    default=None,
    help="Send messages only to people who confirm the topic by a link (default: single).",
)
@_workspace
@reason_option
@now_option
def add(
    invocation: Invocation,
    name: str,
    title: str | None,
    description: str | None,
    double_opt_in: bool | None,
    workspace: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Add the topic NAME, or change the one of that name; an archived topic is used again.

    Campaign files name it as `topic: NAME`. With --double-opt-in, the first message of the topic
    to an address waits until the person has followed the link of a confirmation, which the
    campaign "Topic confirmation" sends once. That campaign is created, and may be changed.
    """
    from drip_pipeline.engine.campaigns import topics as use_cases
    from drip_pipeline.engine.publishing.topic_confirmation import ensure_confirmation

    if double_opt_in:
        ensure_confirmation(
            invocation.database,
            workspace,
            settings=invocation.settings,
            now=now,
            actor=invocation.actor,
        )
    result = use_cases.add_topic(
        invocation.database,
        workspace,
        name,
        title=title,
        description=description,
        double_opt_in=double_opt_in,
        now=now,
        actor=invocation.actor,
        reason=reason,
    )
    return CommandResult(result, _text(name, result, "stored"))


@command(topics)
@_name
@click.argument("title", metavar="TITLE")
@_workspace
@reason_option
@now_option
def rename(
    invocation: Invocation,
    name: str,
    title: str,
    workspace: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Change the title of the topic NAME, which people see, to TITLE.

    The name stays, because campaign files and published versions have it.
    """
    from drip_pipeline.engine.campaigns import topics as use_cases

    result = use_cases.rename_topic(
        invocation.database,
        workspace,
        name,
        title,
        now=now,
        actor=invocation.actor,
        reason=reason,
    )
    return CommandResult(result, _text(name, result, "renamed"))


@command(topics)
@_name
@_workspace
@reason_option
@now_option
def archive(
    invocation: Invocation,
    name: str,
    workspace: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Archive the topic NAME: no campaign can be published with it, and people no longer see it.

    Campaigns that name it go on, and what people decided stays in force.
    """
    from drip_pipeline.engine.campaigns import topics as use_cases

    result = use_cases.archive_topic(
        invocation.database, workspace, name, now=now, actor=invocation.actor, reason=reason
    )
    return CommandResult(result, _text(name, result, "archived"))


def _text(name: str, update: TopicUpdate, done: str) -> str:
    return f"topic {name!r}: {done if update.is_changed else 'unchanged'}"
