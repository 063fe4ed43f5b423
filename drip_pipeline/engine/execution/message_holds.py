"""The rules of workspaces for the messages of a batch; group states that queue a message by when it
may be sent: rules of time, once per time zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.windows import NO_ZONES, SendRules
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.workspace_rules import WorkspaceRules, rules_of
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.errors import VersionNotFound


class HoldOfMessage(NamedTuple):
    """The rule that holds a message, and until when."""

    rule: str
    until: datetime


def rules_of_campaigns(
    connection: Connection,
    graphs: Mapping[tuple[UUID, int], CampaignGraph],
    now: datetime,
) -> dict[UUID, WorkspaceRules]:
    """Return the rules of the workspaces of these campaigns, by campaign.

    Campaigns without messages are not looked up, workspaces without rules left out.
    """
    workspaces: dict[UUID, UUID] = {}
    for (campaign_id, number), graph in graphs.items():
        if graph.has_messages():
            try:
                version = version_cache.version(connection, campaign_id, number)
            except VersionNotFound:  # its states fail
                continue
            workspaces[campaign_id] = version.workspace_id
    if not workspaces:
        return {}
    rules = rules_of(connection, workspaces.values(), now)
    return {
        campaign_id: rules[workspace_id]
        for campaign_id, workspace_id in workspaces.items()
        if workspace_id in rules
    }


def by_hold(
    rules: SendRules, states: Sequence[DueState], context: BatchContext, now: datetime
) -> list[tuple[HoldOfMessage | None, Sequence[DueState]]]:
    """Group the states by what holds their message; None if nothing does.

    A message that the rules skip is not held: the eligibility check skips it, with an event.
    """
    groups: dict[HoldOfMessage | None, list[DueState]] = {}
    by_zones = context.by_zones(states) if rules.read_zones() else {NO_ZONES: states}
    for zones, members in by_zones.items():
        hold = rules.hold(now, zones)
        if hold is None or hold.skips(now) is not None:
            groups.setdefault(None, []).extend(members)
        else:
            groups.setdefault(HoldOfMessage(hold.rule, hold.until), []).extend(members)
    return list(groups.items())
