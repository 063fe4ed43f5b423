"""The funnel of a campaign: how many enrollments are at each node, passed it, ended or were lost
there, which edges they took, and the goal progress. reports/ draws it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, Literal
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.db.delivery.held_messages import HeldCount
from drip_pipeline.db.metrics import funnels as funnels_db
from drip_pipeline.db.metrics.funnels import PathRow
from drip_pipeline.domain.definition.canvas import read_canvas
from drip_pipeline.domain.graph.graph import PORT_DEFAULT, PORT_EVENT, CampaignGraph, NodeType
from drip_pipeline.domain.graph.nodes import ConditionConfig, EventWait, SplitConfig
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.errors import NotAllowed
from drip_pipeline.experiments import Metric, VariantCounts
from drip_pipeline.experiments.rates import variant_rates

INSIDE: Final = ("running", "waiting", "paused")
FAILED: Final = "failed"
HELD_OUT: Final = "holdout"
GOAL: Final = "goal"
_ENDED: Final = frozenset({HELD_OUT, GOAL})
"""Reasons of exits that are no loss."""
_FAR_OUT: Final = 1e7


_Count = Literal["now", "ended", "at_goal", "lost_total", "held_total"]


@dataclass(frozen=True, slots=True)
class FunnelNode:
    """A node and its enrollments, each counted once: `now` at the node, `passed` it, `ended` at it
    regularly (including the holdout; `at_goal` of them by the campaign's goal), and `lost` at it by
    reason (unsubscribed, failed, an exit rule's, …). Of those `now` at it, `held` have a message
    that waits because of a rule, by rule, at the longest until `held_until`.
    """

    node_id: str
    node_type: NodeType
    label: str
    now: int = 0
    passed: int = 0
    ended: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    held_until: datetime | None = None
    at_goal: int = 0

    @property
    def held_total(self) -> int:
        """The number of enrollments whose message a rule holds."""
        return sum(self.held.values())

    def describe_held(self) -> str:
        """Return which rules hold how many messages, and until when; empty without any."""
        if not self.held or self.held_until is None:
            return ""
        rules = ", ".join(f"{rule.replace('_', ' ')} {n:,}" for rule, n in self.held.items())
        return f"{rules}, until {self.held_until:%Y-%m-%d %H:%M} UTC"

    @property
    def lost_total(self) -> int:
        """The number of enrollments lost here."""
        return sum(self.lost.values())

    @property
    def reached(self) -> int:
        """The number of enrollments that reached this node."""
        return self.now + self.passed + self.ended + self.lost_total


@dataclass(frozen=True, slots=True)
class FunnelEdge:
    """An edge between two nodes, the names of the ports that lead to it (none for a single port),
    and the number of enrollments that took it.
    """

    source: str
    target: str
    ports: tuple[str, ...]
    enrollments: int = 0


@dataclass(frozen=True, slots=True)
class Goal:
    """The goal of a campaign. `target_pct` and `reached_pct` are in percent of the enrollments that
    were sent a message (`base`); `enrollments` reached it, None for a score.
    """

    metric: Metric
    target_pct: float | None
    reached_pct: float | None
    enrollments: int | None
    base: int

    @property
    def is_reached(self) -> bool:
        """True if there is a target and it is met."""
        return (
            self.target_pct is not None
            and self.reached_pct is not None
            and self.reached_pct >= self.target_pct
        )

    def summary(self) -> str:
        """Return the goal progress in one short phrase."""
        reached = "-" if self.reached_pct is None else f"{self.reached_pct:.2f} %"
        aim = "" if self.target_pct is None else f" of {self.target_pct:g} %"
        return f"{self.metric.value.replace('_', ' ')} {reached}{aim}"

    def describe(self) -> str:
        """Describe the goal and its progress."""
        noun = self.metric.value.replace("_", " ")
        aim = "" if self.target_pct is None else f" of {self.target_pct:g} %"
        start = f"Goal: {'an' if noun[0] in 'eo' else 'a'} {noun}{aim}. "
        if self.reached_pct is None:
            return f"{start}No message was sent yet."
        of = f"{self.base:,} enrollments that were sent a message"
        so_far = f"So far {self.reached_pct:.2f} % " + (
            f"({self.enrollments:,} of {of})" if self.enrollments is not None else f"(of {of})"
        )
        if self.target_pct is None:
            return f"{start}{so_far}."
        if self.is_reached:
            return f"{start}{so_far}: reached."
        return f"{start}{so_far}: {self.target_pct - self.reached_pct:.2f} points short."


@dataclass(frozen=True, slots=True)
class Funnel:
    """The funnel of one version. `positions`: those of the canvas, if it has one for every node;
    `elsewhere`: enrollments inside other versions.
    """

    campaign_id: UUID
    campaign: str
    version: int
    entry_node_id: str
    nodes: Mapping[str, FunnelNode]
    edges: tuple[FunnelEdge, ...]
    positions: Mapping[str, tuple[float, float]]
    goal: Goal | None
    elsewhere: int
    as_of: datetime

    @property
    def entered(self) -> int:
        """The number of enrollments that entered this version."""
        return self.nodes[self.entry_node_id].reached

    def total(self, count: _Count) -> int:
        """Sum a count over the nodes."""
        return sum(getattr(node, count) for node in self.nodes.values())

    def describe(self) -> str:
        """Describe the totals in one or two sentences."""
        elsewhere = (
            f" {self.elsewhere:,} more are still inside other versions." if self.elsewhere else ""
        )
        held = self.total("held_total")
        waiting = f" {held:,} messages wait because of a rule." if held else ""
        return (
            f"{self.entered:,} entered: {self.total('now'):,} are inside,"
            f" {self.total('ended'):,} ended, {self.total('lost_total'):,} were lost."
            f"{waiting}{elsewhere}"
        )


def campaign_funnel(
    database: Database, campaign: str | UUID, *, now: datetime, version: int | None = None
) -> Funnel:
    """Return the funnel of a version (default: the published one), read in one snapshot.

    Raises CampaignNotFound or CampaignAmbiguous, NotAllowed if the campaign was never published,
    and VersionNotFound.
    """
    with database.transaction(is_read_only=True) as connection:
        owner = find_campaign(connection, campaign)
        number = version if version is not None else owner.published_version
        if number is None:
            raise NotAllowed(
                f"campaign {owner.name!r} was never published",
                hint="`drip campaign publish FILE` does it.",
            )
        graph = graphs.version(connection, owner.campaign_id, number).graph
        rows = funnels_db.enrollments_by_path(connection, owner.campaign_id)
        own = [row for row in rows if row.campaign_version == number]
        return Funnel(
            campaign_id=owner.campaign_id,
            campaign=owner.name,
            version=number,
            entry_node_id=graph.entry_node_id,
            nodes=_with_held(
                _nodes(graph, own), held_db.held(connection, owner.campaign_id, now), number
            ),
            edges=_edges(graph, own),
            positions=_positions(funnels_db.canvas(connection, owner.campaign_id, number), graph),
            goal=_goal(connection, owner.campaign_id),
            elsewhere=sum(
                row.enrollments
                for row in rows
                if row.campaign_version != number and row.status in INSIDE
            ),
            as_of=now,
        )


def campaigns_to_draw(database: Database) -> list[UUID]:
    """Return published campaigns that are not archived, the most recently executed first."""
    with database.transaction(is_read_only=True) as connection:
        return funnels_db.campaigns_to_draw(connection)


def _path(row: PathRow) -> list[str]:
    """Return the nodes of a path, with the current node as the last."""
    path: list[str] = list(row.path or ())
    if row.node_id is not None and (not path or path[-1] != row.node_id):
        path.append(row.node_id)
    return path


def _nodes(graph: CampaignGraph, rows: Iterable[PathRow]) -> dict[str, FunnelNode]:
    now, passed, ended, at_goal = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        path = _path(row)
        if not path:
            continue
        *before, last = path
        for node_id in {graph.entry_node_id, *before} - {last}:
            passed[node_id] += row.enrollments
        status, reason = row.status, row.exit_reason
        node = graph.nodes.get(last)
        is_end = node is not None and node.node_type is NodeType.EXIT
        if status in INSIDE:
            now[last] += row.enrollments
        elif status == "completed" or (status == "exited" and (is_end or reason in _ENDED)):
            ended[last] += row.enrollments
            at_goal[last] += row.enrollments if reason == GOAL else 0
        else:
            lost[last][FAILED if status == FAILED else reason or "unknown"] += row.enrollments
    return {
        node_id: FunnelNode(
            node_id,
            node.node_type,
            node.step_name or node_id,
            now[node_id],
            passed[node_id],
            ended[node_id],
            dict(lost[node_id].most_common()),
            at_goal=at_goal[node_id],
        )
        for node_id, node in graph.nodes.items()
    }


def _with_held(
    nodes: dict[str, FunnelNode], counts: Iterable[HeldCount], version: int
) -> dict[str, FunnelNode]:
    for count in counts:
        node = nodes.get(count.node_id)
        if node is not None and count.campaign_version == version:
            until = max(count.last_until, node.held_until or count.last_until)
            held = {**node.held, count.rule: count.messages}
            nodes[count.node_id] = replace(node, held=held, held_until=until)
    return nodes


def _edges(graph: CampaignGraph, rows: Iterable[PathRow]) -> tuple[FunnelEdge, ...]:
    taken = Counter[tuple[str, str]]()
    for row in rows:
        path = _path(row)
        for step in set(pairwise(path)):
            taken[step] += row.enrollments
    ports: dict[tuple[str, str], list[str]] = {}
    for node in graph.nodes.values():
        names = _port_names(node.config)
        for port, edge in node.ports.items():
            listed = ports.setdefault((node.node_id, edge.target), [])
            if port != PORT_DEFAULT:
                listed.append(names.get(port) or port)
    return tuple(
        FunnelEdge(source, target, tuple(listed), taken[source, target])
        for (source, target), listed in ports.items()
    )


def _port_names(config: object) -> dict[str, str]:
    if isinstance(config, ConditionConfig):
        return {branch.id: branch.label or "" for branch in config.branches}
    if isinstance(config, SplitConfig):
        return {variant.id: variant.name for variant in config.variants}
    if isinstance(config, EventWait):
        if config.events is None:
            return {PORT_EVENT: (config.event_type or "").replace("_", " ")}
        return {event.id: event.id.replace("_", " ") for event in config.events}
    return {}


def _positions(
    canvas: Mapping[str, Any] | None, graph: CampaignGraph
) -> dict[str, tuple[float, float]]:
    positions = {}
    for node in read_canvas(canvas)[0].nodes:
        at = node.raw.get("position")
        if not isinstance(at, Mapping):
            continue
        x, y = _coordinate(at.get("x")), _coordinate(at.get("y"))
        if x is not None and y is not None:
            positions[node.node_id] = (x, y)
    return positions if graph.nodes.keys() <= positions.keys() else {}


def _coordinate(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < _FAR_OUT else None


def _goal(connection: Connection, campaign_id: UUID) -> Goal | None:
    row = funnels_db.goal(connection, campaign_id)
    if row.goal_metric is None:
        return None
    metric = Metric(row.goal_metric)
    counts = VariantCounts(
        "",
        total_sent=row.sent,
        total_opened=row.opened,
        total_clicked=row.clicked,
        total_replied=row.replied,
        total_converted=row.converted,
    )
    reached = getattr(variant_rates(counts), metric.value)
    by_metric = {
        Metric.OPEN_RATE: row.opened,
        Metric.CLICK_RATE: row.clicked,
        Metric.REPLY_RATE: row.replied,
        Metric.CONVERSION_RATE: row.converted,
    }
    return Goal(
        metric,
        None if row.goal_target is None else float(row.goal_target),
        None if reached is None else float(reached),
        by_metric.get(metric),
        row.sent,
    )
