"""What becomes of people inside earlier versions when a campaign changes: they finish theirs (pin),
move to the new one (migrate) or leave (exit). Previewing reads only; applying is set-based, in the
transaction of the caller, who holds the campaign's row lock.

Order of locks: the lanes of arriving events (where the new version waits for any, so that none
arrives between the look back and the commit); the campaign; people, in the order of their ids; and
of messages only those that nobody holds. Engines hold people and never ask for the campaign: they
write an enrollment once, and so its foreign key is not checked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import ALL_PARTITIONS
from drip_pipeline.db.publishing import in_flight as in_flight_db
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.migration_rules import (
    EXIT_REASON,
    Message,
    Move,
    Situation,
    moves_of,
    target_of,
    wrong_in_map,
)
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.errors import EnrollmentsStranded, NotAllowed, VersionNotFound

Policy = Literal["pin", "migrate", "exit"]


@dataclass(frozen=True, slots=True)
class InFlight:
    """What is to become of people inside earlier versions. `node_map` sends people of a node to
    another one of the new version; without it they stay at the node of the same id.
    """

    policy: Policy = "pin"
    node_map: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.node_map and self.policy != "migrate":
            raise NotAllowed(
                f"a map of nodes means nothing to the policy {self.policy}",
                hint="Only migrate takes a map.",
            )


PIN = InFlight()


@dataclass(frozen=True, slots=True)
class StateGroup:
    """People who stand alike: so many at a node of a version, and where they go. Who leaves or
    stays has no `to_node`; `over_by_event` and `over_by_time` are those whose wait, measured anew,
    is over at once.
    """

    version: int
    node_id: str
    label: str
    status: str
    situation: str
    people: int
    then: str
    message: str = Message.NONE.value
    to_node: str | None = None
    to_label: str | None = None
    over_by_event: int = 0
    over_by_time: int = 0

    def stands(self) -> str:
        """How they stand there, in words."""
        situation = self.situation.replace("_", " ")
        return self.status if situation == self.status else f"{self.status}, {situation}"


@dataclass(frozen=True, slots=True)
class Stranded:
    """People who have nowhere to go, and why."""

    version: int
    node_id: str
    label: str
    people: int
    why: str


@dataclass(frozen=True, slots=True)
class InFlightReport:
    """What becomes (or has become) of people inside earlier versions: `people` in all, of whom
    `stranded` stop a migration."""

    policy: Policy
    to_version: int
    people: int = 0
    groups: Sequence[StateGroup] = ()
    stranded: Sequence[Stranded] = ()

    def messages(self) -> dict[str, int]:
        """How many messages are renewed, withdrawn, or left as they are."""
        counted: dict[str, int] = {}
        for group in self.groups:
            if group.message != Message.NONE.value:
                counted[group.message] = counted.get(group.message, 0) + group.people
        return counted

    def to_json(self) -> dict[str, Any]:
        """For the machine-readable output; the messages counted."""
        return {
            "policy": self.policy,
            "to_version": self.to_version,
            "people": self.people,
            "messages": self.messages(),
            "groups": list(self.groups),
            "stranded": list(self.stranded),
        }


@dataclass(frozen=True, slots=True)
class _Plan:
    report: InFlightReport
    versions: Sequence[int]
    moves: Sequence[Move]


def hold_arrivals(connection: Connection, wanted: InFlight, graph: CampaignGraph) -> None:
    """Let no event arrive until the transaction ends, if people may come to wait for one."""
    if wanted.policy == "migrate" and graph.waits_for():
        events_db.lock(connection, ALL_PARTITIONS)


def preview(
    connection: Connection,
    campaign_id: UUID,
    wanted: InFlight,
    graph: CampaignGraph,
    *,
    to_version: int,
    from_versions: Sequence[int] | None = None,
    now: datetime,
) -> InFlightReport:
    """What `apply` would do at this moment; locks nobody. Raises NotAllowed for a map that names
    nodes which are not there."""
    return _planned(connection, campaign_id, wanted, graph, to_version, from_versions, now).report


def apply(
    connection: Connection,
    campaign_id: UUID,
    wanted: InFlight,
    graph: CampaignGraph,
    *,
    to_version: int,
    from_versions: Sequence[int] | None = None,
    now: datetime,
) -> InFlightReport:
    """Do to everybody inside the given versions (by default all others) what the policy says.

    `graph` is that of `to_version`. Raises EnrollmentsStranded, with all of them, before anybody is
    moved; NotAllowed for a map that names nodes which are not there.
    """
    if wanted.policy == "pin":
        return preview(
            connection, campaign_id, wanted, graph,
            to_version=to_version, from_versions=from_versions, now=now,
        )  # fmt: skip
    versions = _versions(connection, campaign_id, to_version, from_versions)
    in_flight_db.lock(connection, campaign_id, versions)
    plan = _planned(connection, campaign_id, wanted, graph, to_version, versions, now)
    if plan.report.stranded:
        raise EnrollmentsStranded([asdict(group) for group in plan.report.stranded], to_version)
    if not plan.report.people:
        return plan.report
    if wanted.policy == "exit":
        rows = in_flight_db.let_leave(
            connection, campaign_id, versions, reason=EXIT_REASON, now=now
        )
    else:
        rows = in_flight_db.migrate(
            connection,
            campaign_id,
            versions,
            plan.moves,
            graph,
            to_version=to_version,
            reason=EXIT_REASON,
            tolerance=EVENT_CLOCK_TOLERANCE,
            now=now,
        )
    return _happened(connection, campaign_id, wanted, plan, to_version, rows)


def _versions(
    connection: Connection, campaign_id: UUID, to_version: int, asked: Sequence[int] | None
) -> list[int]:
    found = in_flight_db.versions_with_people(connection, campaign_id, but_version=to_version)
    return found if asked is None else [version for version in found if version in asked]


def _planned(
    connection: Connection,
    campaign_id: UUID,
    wanted: InFlight,
    graph: CampaignGraph,
    to_version: int,
    from_versions: Sequence[int] | None,
    now: datetime,
) -> _Plan:
    wrong = wrong_in_map(wanted.node_map, graph, in_flight_db.node_ids(connection, campaign_id))
    if wrong:
        raise NotAllowed("the map of nodes is wrong: " + "; ".join(wrong))
    versions = _versions(connection, campaign_id, to_version, from_versions)
    counted = in_flight_db.people(connection, campaign_id, versions) if versions else []
    if wanted.policy != "migrate":
        report = _report(connection, campaign_id, wanted, {}, to_version, counted)
        return _Plan(report, versions, ())
    moves, stranded = _moves(connection, campaign_id, wanted, graph, to_version, counted)
    waits = in_flight_db.waits(
        connection,
        campaign_id,
        versions,
        list(moves.values()),
        tolerance=EVENT_CLOCK_TOLERANCE,
        now=now,
    )
    over = {_place(row): row for row in waits}
    counted = [
        row | {name: over.get(_place(row), {}).get(name, 0) for name in ("by_event", "by_time")}
        for row in _merged(counted)
    ]
    report = _report(connection, campaign_id, wanted, moves, to_version, counted, stranded)
    return _Plan(report, versions, list(moves.values()))


_Key = tuple[int, str, Situation]


def _moves(
    connection: Connection,
    campaign_id: UUID,
    wanted: InFlight,
    graph: CampaignGraph,
    to_version: int,
    counted: Sequence[Mapping[str, Any]],
) -> tuple[dict[_Key, Move], list[Stranded]]:
    moves: dict[_Key, Move] = {}
    stranded: list[Stranded] = []
    people: dict[tuple[int, str], int] = {}
    for row in counted:
        place = (row["version"], row["node_id"])
        people[place] = people.get(place, 0) + row["people"]
    for (version, node_id), count in people.items():
        node = _node(connection, campaign_id, version, node_id)
        target = target_of(node_id, graph, wanted.node_map)
        if target is None:
            label = node.step_name if node else node_id
            why = f"version {to_version} has no node {node_id!r}, and the map names no other"
            stranded.append(Stranded(version, node_id, label, count, why))
            continue
        for move in moves_of(version, node_id, node, target):
            moves[(version, node_id, move.situation)] = move
    return moves, stranded


def _node(
    connection: Connection, campaign_id: UUID, version: int, node_id: str
) -> GraphNode | None:
    try:
        return graphs.version(connection, campaign_id, version).graph.nodes.get(node_id)
    except VersionNotFound:
        return None


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["version"], row["node_id"], row["status"], row["situation"])


def _merged(counted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without the difference between people who are enrolled and those whom an application took
    out: both move."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in counted:
        found = merged.setdefault(_place(row), {**row, "people": 0, "is_enrolled": True})
        found["people"] += row["people"]
    return list(merged.values())


def _report(
    connection: Connection,
    campaign_id: UUID,
    wanted: InFlight,
    moves: Mapping[_Key, Move],
    to_version: int,
    counted: Sequence[Mapping[str, Any]],
    stranded: Sequence[Stranded] = (),
) -> InFlightReport:
    groups = []
    for row in counted:
        node = _node(connection, campaign_id, row["version"], row["node_id"])
        move = moves.get((row["version"], row["node_id"], Situation(row["situation"])))
        if wanted.policy == "migrate" and move is None:
            continue  # stranded
        groups.append(
            StateGroup(
                version=row["version"],
                node_id=row["node_id"],
                label=node.step_name if node else row["node_id"],
                status=row["status"],
                situation=row["situation"],
                people=row["people"],
                then=move.told() if move else _told_without_move(wanted.policy, row),
                message=(move.message if move else _message(wanted.policy, row)).value,
                to_node=move.target.node_id if move else None,
                to_label=move.target.step_name if move else None,
                over_by_event=row.get("by_event", 0),
                over_by_time=row.get("by_time", 0),
            )
        )
    people = sum(row["people"] for row in counted)
    return InFlightReport(wanted.policy, to_version, people, tuple(groups), tuple(stranded))


def _message(policy: Policy, row: Mapping[str, Any]) -> Message:
    situation = Situation(row["situation"])
    if policy == "exit" and situation is Situation.MESSAGE_PENDING:
        return Message.WITHDRAWN
    is_out = situation in (Situation.MESSAGE_OUT, Situation.MESSAGE_BEFORE)
    return Message.UNTOUCHED if is_out else Message.NONE


def _told_without_move(policy: Policy, row: Mapping[str, Any]) -> str:
    if policy == "pin":
        return f"finish version {row['version']}"
    if not row["is_enrolled"]:
        return "leave, as their enrollment says"
    if row["situation"] == Situation.MESSAGE_PENDING.value:
        return f"leave ({EXIT_REASON}); their unsent message is withdrawn"
    return f"leave ({EXIT_REASON})"


def _happened(
    connection: Connection,
    campaign_id: UUID,
    wanted: InFlight,
    plan: _Plan,
    to_version: int,
    rows: Sequence[Mapping[str, Any]],
) -> InFlightReport:
    """The report of what the statement did, which must have been everybody."""
    moves = {(move.version, move.node_id, move.situation): move for move in plan.moves}
    report = _report(connection, campaign_id, wanted, moves, to_version, rows)
    moved = rows[0]["moved"] if rows else 0
    if not report.people == moved == plan.report.people:
        raise AssertionError(f"{plan.report.people} people were to move, {moved} did")
    return report
