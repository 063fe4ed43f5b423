"""The funnel of a campaign: how many people stand at each node, passed it, ended there or were
lost, and which ways they went; and what the campaign is for, beside what came of it. How it is
drawn is the business of reports/.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.metrics import funnels as funnels_db
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
_FAR_OUT: Final = 1e7


@dataclass(frozen=True, slots=True)
class FunnelNode:
    """A node and its people, each counted once: `now` there, `passed` on, `ended` there as the
    campaign has it (held-out ones too), and `lost` there by reason (unsubscribed, failed, …).
    """

    node_id: str
    node_type: NodeType
    label: str
    now: int = 0
    passed: int = 0
    ended: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost_people(self) -> int:
        """All who were lost here."""
        return sum(self.lost.values())

    @property
    def reached(self) -> int:
        """Everybody who ever came here."""
        return self.now + self.passed + self.ended + self.lost_people


@dataclass(frozen=True, slots=True)
class FunnelEdge:
    """A way from node to node, with the names of the ports that take it (none for the only one),
    and how many people went it.
    """

    source: str
    target: str
    ports: tuple[str, ...]
    people: int = 0


@dataclass(frozen=True, slots=True)
class Goal:
    """What a campaign is for. `target_pct` and `reached_pct` in percent of the people who were sent
    something, `people` of `base`; of a score the people are not told.
    """

    metric: Metric
    target_pct: float | None
    reached_pct: float | None
    people: int | None
    base: int

    @property
    def is_reached(self) -> bool:
        """The target is there, and met."""
        return (
            self.target_pct is not None
            and self.reached_pct is not None
            and self.reached_pct >= self.target_pct
        )

    def in_short(self) -> str:
        """In figures."""
        reached = "-" if self.reached_pct is None else f"{self.reached_pct:.2f} %"
        aim = "" if self.target_pct is None else f" of {self.target_pct:g} %"
        return f"{self.metric.value.replace('_', ' ')} {reached}{aim}"

    def told(self) -> str:
        """In words and figures."""
        noun = self.metric.value.replace("_", " ")
        aim = "" if self.target_pct is None else f" of {self.target_pct:g} %"
        start = f"Goal: {'an' if noun[0] in 'eo' else 'a'} {noun}{aim}. "
        if self.reached_pct is None:
            return f"{start}Nobody has been sent anything yet."
        of = f"{self.base:,} people who were sent something"
        so_far = f"So far {self.reached_pct:.2f} % " + (
            f"({self.people:,} of {of})" if self.people is not None else f"(of {of})"
        )
        if self.target_pct is None:
            return f"{start}{so_far}."
        if self.is_reached:
            return f"{start}{so_far}: reached."
        return f"{start}{so_far}: {self.target_pct - self.reached_pct:.2f} points short."


@dataclass(frozen=True, slots=True)
class Funnel:
    """One version of a campaign. `positions` are those of the canvas, where it has them for every
    node; `elsewhere` is how many people are inside other versions.
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
        """Everybody who ever was in this version."""
        return self.nodes[self.entry_node_id].reached

    def total(self, figure: str) -> int:
        """The sum of `now`, `ended` or `lost_people` over the nodes."""
        return sum(getattr(node, figure) for node in self.nodes.values())

    def told(self) -> str:
        """Everybody's whereabouts in a sentence."""
        elsewhere = (
            f" {self.elsewhere:,} more are still inside other versions." if self.elsewhere else ""
        )
        return (
            f"{self.entered:,} entered: {self.total('now'):,} are inside,"
            f" {self.total('ended'):,} came to an end, {self.total('lost_people'):,} were lost on"
            f" the way.{elsewhere}"
        )


def campaign_funnel(
    database: Database, campaign: str | UUID, *, now: datetime, version: int | None = None
) -> Funnel:
    """The funnel of a version, by default of the one that newcomers enter, read in one snapshot.

    Raises CampaignNotFound or CampaignAmbiguous, NotAllowed when nothing was published yet, and
    VersionNotFound.
    """
    with database.transaction(is_read_only=True) as connection:
        found = find_campaign(connection, campaign)
        number = version if version is not None else found.published_version
        if number is None:
            raise NotAllowed(
                f"campaign {found.name!r} was never published",
                hint="`drip campaign publish FILE` does it.",
            )
        graph = graphs.version(connection, found.campaign_id, number).graph
        rows = funnels_db.people_by_path(connection, found.campaign_id)
        own = [row for row in rows if row["campaign_version"] == number]
        return Funnel(
            campaign_id=found.campaign_id,
            campaign=found.name,
            version=number,
            entry_node_id=graph.entry_node_id,
            nodes=_nodes(graph, own),
            edges=_edges(graph, own),
            positions=_positions(funnels_db.canvas(connection, found.campaign_id, number), graph),
            goal=_goal(connection, found.campaign_id),
            elsewhere=sum(
                row["people"]
                for row in rows
                if row["campaign_version"] != number and row["status"] in INSIDE
            ),
            as_of=now,
        )


def campaigns_to_draw(database: Database) -> list[UUID]:
    """Published campaigns that are not archived, those that moved last first."""
    with database.transaction(is_read_only=True) as connection:
        return funnels_db.campaigns_to_draw(connection)


def _way(row: Mapping[str, Any]) -> list[str]:
    """The nodes a person came through, with the one they are at as the last."""
    way: list[str] = list(row["path"] or ())
    if row["node_id"] is not None and (not way or way[-1] != row["node_id"]):
        way.append(row["node_id"])
    return way


def _nodes(graph: CampaignGraph, rows: Iterable[Mapping[str, Any]]) -> dict[str, FunnelNode]:
    now, passed, ended = Counter[str](), Counter[str](), Counter[str]()
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        way = _way(row)
        if not way:
            continue
        *before, last = way
        for node_id in {graph.entry_node_id, *before} - {last}:
            passed[node_id] += row["people"]
        status, reason = row["status"], row["exit_reason"]
        node = graph.nodes.get(last)
        is_end = node is not None and node.node_type is NodeType.EXIT
        if status in INSIDE:
            now[last] += row["people"]
        elif status == "completed" or (status == "exited" and (is_end or reason == HELD_OUT)):
            ended[last] += row["people"]
        else:
            lost[last][FAILED if status == FAILED else reason or "unknown"] += row["people"]
    return {
        node_id: FunnelNode(
            node_id,
            node.node_type,
            node.step_name or node_id,
            now[node_id],
            passed[node_id],
            ended[node_id],
            dict(lost[node_id].most_common()),
        )
        for node_id, node in graph.nodes.items()
    }


def _edges(graph: CampaignGraph, rows: Iterable[Mapping[str, Any]]) -> tuple[FunnelEdge, ...]:
    people = Counter[tuple[str, str]]()
    for row in rows:
        way = _way(row)
        for step in set(pairwise(way)):
            people[step] += row["people"]
    ports: dict[tuple[str, str], list[str]] = {}
    for node in graph.nodes.values():
        names = _port_names(node.config)
        for port, edge in node.ports.items():
            listed = ports.setdefault((node.node_id, edge.target), [])
            if port != PORT_DEFAULT:
                listed.append(names.get(port) or port)
    return tuple(
        FunnelEdge(source, target, tuple(listed), people[source, target])
        for (source, target), listed in ports.items()
    )


def _port_names(config: Any) -> dict[str, str]:
    if isinstance(config, ConditionConfig):
        return {branch.id: branch.label or "" for branch in config.branches}
    if isinstance(config, SplitConfig):
        return {variant.id: variant.name for variant in config.variants}
    if isinstance(config, EventWait):
        return {PORT_EVENT: config.event_type.replace("_", " ")}
    return {}


def _positions(
    canvas: Mapping[str, Any] | None, graph: CampaignGraph
) -> dict[str, tuple[float, float]]:
    found = {}
    for node in read_canvas(canvas)[0].nodes:
        at = node.raw.get("position")
        if not isinstance(at, Mapping):
            continue
        x, y = _coordinate(at.get("x")), _coordinate(at.get("y"))
        if x is not None and y is not None:
            found[node.node_id] = (x, y)
    return found if graph.nodes.keys() <= found.keys() else {}


def _coordinate(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < _FAR_OUT else None


def _goal(connection: Connection, campaign_id: UUID) -> Goal | None:
    row = funnels_db.goal(connection, campaign_id)
    if row["goal_metric"] is None:
        return None
    metric = Metric(row["goal_metric"])
    people = {name: row[name] for name in ("opened", "clicked", "replied", "converted")}
    counts = VariantCounts(
        "", total_sent=row["sent"], **{f"total_{name}": count for name, count in people.items()}
    )
    reached = getattr(variant_rates(counts), metric.value)
    by_metric = {
        Metric.OPEN_RATE: "opened",
        Metric.CLICK_RATE: "clicked",
        Metric.REPLY_RATE: "replied",
        Metric.CONVERSION_RATE: "converted",
    }
    return Goal(
        metric,
        None if row["goal_target"] is None else float(row["goal_target"]),
        None if reached is None else float(reached),
        people[by_metric[metric]] if metric in by_metric else None,
        row["sent"],
    )
