"""Apply a policy to states inside earlier versions of a campaign: pin, migrate or exit.

A preview only reads. Applying runs a few set-based statements in the caller's transaction, which
holds the campaign's row lock.

Lock order: the ingestion partitions (if the new version waits for events, so that no event arrives
between the look-back and the commit); the campaign; states, by id; of messages only those that no
other transaction has locked. Runners lock states and never the campaign: they write an enrollment
once, so its foreign key is not checked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import ALL_PARTITIONS
from drip_pipeline.db.execution import matched_events as matched_events_db
from drip_pipeline.db.publishing import in_flight as in_flight_db
from drip_pipeline.db.publishing.in_flight import NO_ENDS, WaitEnds
from drip_pipeline.domain.graph.event_waits import MATCHED
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.migration_rules import (
    EXIT_REASON,
    MessageEffect,
    Move,
    Situation,
    invalid_mappings,
    moves_of,
    target_of,
)
from drip_pipeline.domain.graph.nodes import EventWait
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.execution.followed_waits import follow_version
from drip_pipeline.engine.execution.matched_waits import resume_matched_waits
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PolicyName
from drip_pipeline.engine.publishing.restarted_waits import ends_of_waits
from drip_pipeline.errors import EnrollmentsStranded, NotAllowed, VersionNotFound


@dataclass(frozen=True, slots=True)
class VersionChange:
    """A policy to be applied to a campaign whose new version is `to_version` with `graph`.

    `from_versions`: the versions whose states are affected. Default: all other versions.
    """

    campaign_id: UUID
    policy: InFlightPolicy
    to_version: int
    graph: CampaignGraph
    now: datetime
    from_versions: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class StateGroup:
    """States with the same version, node, status and situation, and what happens to them.

    `to_node` is None for states that stay or exit. `ended_by_event` and `ended_by_time` count
    states whose restarted wait ends at once.
    """

    version: int
    node_id: str
    label: str
    status: str
    situation: str
    states: int
    action: str
    message: str = MessageEffect.NONE.value
    to_node: str | None = None
    to_label: str | None = None
    ended_by_event: int = 0
    ended_by_time: int = 0

    def describe_state(self) -> str:
        """Return status and situation as text: `waiting`, or `waiting, message pending`."""
        situation = self.situation.replace("_", " ")
        return self.status if situation == self.status else f"{self.status}, {situation}"


@dataclass(frozen=True, slots=True)
class StrandedGroup:
    """States at a node of an earlier version that have no target node, with the reason."""

    version: int
    node_id: str
    label: str
    states: int
    reason: str


@dataclass(frozen=True, slots=True)
class InFlightReport:
    """What happens (or has happened) to the `states` inside earlier versions.

    A migration with `stranded` states is refused.
    """

    policy: PolicyName
    to_version: int
    states: int = 0
    groups: Sequence[StateGroup] = ()
    stranded: Sequence[StrandedGroup] = ()

    def messages(self) -> dict[str, int]:
        """Return the number of messages by effect: renewed, withdrawn, untouched."""
        counts: dict[str, int] = {}
        for group in self.groups:
            if group.message != MessageEffect.NONE.value:
                counts[group.message] = counts.get(group.message, 0) + group.states
        return counts

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, with the message counts."""
        return {
            "policy": self.policy,
            "to_version": self.to_version,
            "states": self.states,
            "messages": self.messages(),
            "groups": list(self.groups),
            "stranded": list(self.stranded),
        }


_Key = tuple[int, str, str, str]
_MoveKey = tuple[int, str, Situation]


@dataclass(frozen=True, slots=True)
class _StateCount:
    version: int
    node_id: str
    status: str
    situation: str
    states: int
    is_enrolled: bool = True
    by_event: int = 0
    by_time: int = 0

    @property
    def key(self) -> _Key:
        return (self.version, self.node_id, self.status, self.situation)


@dataclass(frozen=True, slots=True)
class _PolicyPlan:
    report: InFlightReport
    versions: Sequence[int]
    moves: Mapping[_MoveKey, Move]
    ends: WaitEnds


def lock_event_ingestion(
    connection: Connection, policy: InFlightPolicy, graph: CampaignGraph
) -> None:
    """Block event ingestion until the transaction ends, if migrated states may wait for events."""
    if policy.policy == "migrate" and graph.waits_for():
        events_db.lock(connection, ALL_PARTITIONS)


def preview(connection: Connection, change: VersionChange) -> InFlightReport:
    """Return what `apply` would do now, without locks. Raises NotAllowed for an invalid map."""
    return _plan(connection, change).report


def apply(connection: Connection, change: VersionChange) -> InFlightReport:
    """Apply the policy to all affected states and report it.

    Raises EnrollmentsStranded with all states without a target node, before any state is moved,
    and NotAllowed for a node map with unknown nodes.
    """
    if change.policy.policy == "pin":
        return preview(connection, change)
    versions = _affected_versions(connection, change)
    in_flight_db.lock(connection, change.campaign_id, versions)
    plan = _plan(connection, replace(change, from_versions=versions))
    if plan.report.stranded:
        raise EnrollmentsStranded(
            [asdict(group) for group in plan.report.stranded], change.to_version
        )
    if not plan.report.states:
        return plan.report
    if change.policy.policy == "exit":
        exited = in_flight_db.exit_states(connection, change.campaign_id, versions, now=change.now)
        moved = exited[0].moved if exited else 0
        counts = [
            _StateCount(r.version, r.node_id, r.status, r.situation, r.states, r.is_enrolled)
            for r in exited
        ]
    else:
        migrated = in_flight_db.migrate(
            connection,
            change.campaign_id,
            versions,
            list(plan.moves.values()),
            change.graph,
            plan.ends,
            to_version=change.to_version,
            now=change.now,
        )
        moved = migrated[0].moved if migrated else 0
        _resume_matched_waits(connection, change)
        if change.graph.follows():
            follow_version(
                connection, change.campaign_id, change.to_version, change.graph, change.now
            )
        counts = [
            _StateCount(
                r.version, r.node_id, r.status, r.situation, r.states,
                by_event=r.by_event, by_time=r.by_time,
            )
            for r in migrated
        ]  # fmt: skip
    report = _report(connection, change, plan.moves, counts)
    if not report.states == moved == plan.report.states:
        raise AssertionError(f"{plan.report.states} states were to move, {moved} did")
    return report


def _resume_matched_waits(connection: Connection, change: VersionChange) -> None:
    """Resume restarted waits that judge events one by one and whose event has happened."""
    if any(name.startswith(MATCHED) for name in map(_waited_for, change.graph.nodes.values())):
        waiting = matched_events_db.waits_of_version(
            connection, change.campaign_id, change.to_version
        )
        graphs = {(change.campaign_id, change.to_version): change.graph}
        resume_matched_waits(connection, waiting, change.now, graphs)


def _waited_for(node: GraphNode) -> str:
    return node.config.waited_for if isinstance(node.config, EventWait) else ""


def _affected_versions(connection: Connection, change: VersionChange) -> list[int]:
    versions = in_flight_db.versions_in_flight(
        connection, change.campaign_id, except_version=change.to_version
    )
    requested = change.from_versions
    return versions if requested is None else [v for v in versions if v in requested]


def _plan(connection: Connection, change: VersionChange) -> _PolicyPlan:
    invalid = invalid_mappings(
        change.policy.node_map,
        change.graph,
        in_flight_db.node_ids(connection, change.campaign_id),
    )
    if invalid:
        raise NotAllowed("the node map is invalid: " + "; ".join(invalid))
    versions = _affected_versions(connection, change)
    counts = [
        _StateCount(r.version, r.node_id, r.status, r.situation, r.states, r.is_enrolled)
        for r in (in_flight_db.counts(connection, change.campaign_id, versions) if versions else ())
    ]
    if change.policy.policy != "migrate":
        return _PolicyPlan(_report(connection, change, {}, counts), versions, {}, NO_ENDS)
    moves, stranded = _moves(connection, change, counts)
    ends = ends_of_waits(connection, change.campaign_id, versions, moves.values(), change.now)
    ended = {
        (row.version, row.node_id, row.status, row.situation): row
        for row in in_flight_db.ended_waits(
            connection, change.campaign_id, versions, list(moves.values()), ends, now=change.now
        )
    }
    counts = [
        replace(count, by_event=ended[count.key].by_event, by_time=ended[count.key].by_time)
        if count.key in ended
        else count
        for count in _merged(counts)
    ]
    return _PolicyPlan(_report(connection, change, moves, counts, stranded), versions, moves, ends)


def _moves(
    connection: Connection, change: VersionChange, counts: Iterable[_StateCount]
) -> tuple[dict[_MoveKey, Move], list[StrandedGroup]]:
    moves: dict[_MoveKey, Move] = {}
    stranded: list[StrandedGroup] = []
    states: dict[tuple[int, str], int] = {}
    for count in counts:
        place = (count.version, count.node_id)
        states[place] = states.get(place, 0) + count.states
    for (version, node_id), number in states.items():
        node = _node(connection, change.campaign_id, version, node_id)
        target = target_of(node_id, change.graph, change.policy.node_map)
        if target is None:
            label = node.step_name if node else node_id
            reason = (
                f"version {change.to_version} has no node {node_id!r}, and the map has no entry"
            )
            stranded.append(StrandedGroup(version, node_id, label, number, reason))
            continue
        wait = target.config if isinstance(target.config, EventWait) else None
        judges_events = wait is not None and change.graph.judges_events(wait)
        for move in moves_of(version, node_id, node, target, judges_events=judges_events):
            moves[(version, node_id, move.situation)] = move
    return moves, stranded


def _node(
    connection: Connection, campaign_id: UUID, version: int, node_id: str
) -> GraphNode | None:
    try:
        return version_cache.version(connection, campaign_id, version).graph.nodes.get(node_id)
    except VersionNotFound:
        return None


def _merged(counts: Iterable[_StateCount]) -> list[_StateCount]:
    """Add up enrolled and removed states: a migration moves both."""
    merged: dict[_Key, _StateCount] = {}
    for count in counts:
        before = merged[count.key].states if count.key in merged else 0
        merged[count.key] = replace(count, states=before + count.states, is_enrolled=True)
    return list(merged.values())


def _report(
    connection: Connection,
    change: VersionChange,
    moves: Mapping[_MoveKey, Move],
    counts: Sequence[_StateCount],
    stranded: Sequence[StrandedGroup] = (),
) -> InFlightReport:
    policy = change.policy.policy
    groups = []
    for count in counts:
        situation = Situation(count.situation)
        move = moves.get((count.version, count.node_id, situation))
        if policy == "migrate" and move is None:
            continue  # stranded
        node = _node(connection, change.campaign_id, count.version, count.node_id)
        message = move.message if move else _message_effect(policy, situation)
        groups.append(
            StateGroup(
                version=count.version,
                node_id=count.node_id,
                label=node.step_name if node else count.node_id,
                status=count.status,
                situation=count.situation,
                states=count.states,
                action=move.describe() if move else _describe_policy(policy, count),
                message=message.value,
                to_node=move.target.node_id if move else None,
                to_label=move.target.step_name if move else None,
                ended_by_event=count.by_event,
                ended_by_time=count.by_time,
            )
        )
    total = sum(count.states for count in counts)
    return InFlightReport(policy, change.to_version, total, tuple(groups), tuple(stranded))


def _message_effect(policy: PolicyName, situation: Situation) -> MessageEffect:
    if policy == "exit" and situation is Situation.MESSAGE_PENDING:
        return MessageEffect.WITHDRAWN
    is_out = situation in (Situation.MESSAGE_OUT, Situation.MESSAGE_BEFORE)
    return MessageEffect.UNTOUCHED if is_out else MessageEffect.NONE


def _describe_policy(policy: PolicyName, count: _StateCount) -> str:
    if policy == "pin":
        return f"finish version {count.version}"
    if not count.is_enrolled:
        return "exit with the reason of their enrollment"
    if count.situation == Situation.MESSAGE_PENDING.value:
        return f"exit ({EXIT_REASON}); their unsent message is withdrawn"
    return f"exit ({EXIT_REASON})"
