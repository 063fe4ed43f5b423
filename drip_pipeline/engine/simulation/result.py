"""The result of a simulation as plain data, for JSON, the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from drip_pipeline.engine.simulation.arms import expected_test
from drip_pipeline.engine.simulation.inputs import SimulatedCampaign
from drip_pipeline.engine.simulation.reaction_rates import NodeRates
from drip_pipeline.engine.simulation.reactions import ModeledEvent
from drip_pipeline.engine.simulation.simulate import SimulationRun
from drip_pipeline.engine.simulation.tally import Tally

_HOURS_A_DAY: Final = 24
_FRAMES: Final = 240
"""Points of time for which the numbers at the nodes are listed, at most about this many."""
LEFT_OUT: Final = (
    "Messages are not rendered, and providers accept all of them.",
    "Double opt-in of topics, and consent that a channel requires, are not modeled.",
    "Openings by machines are left out: they neither end waits nor count.",
    "Runs that are under way in this campaign, and campaigns that this one triggers, are left out.",
    "Later messages of other campaigns take no place under frequency caps; earlier ones count.",
    "The pause by rates of complaints and bounces (pause_when) does not stop the simulation.",
)
LEFT_OUT_OF_FILES: Final = (
    "A file has no workspace: no quiet hours, caps, holdout or sends of others are in force.",
)


def result_of(
    run: SimulationRun,
    campaign: SimulatedCampaign,
    rates: Mapping[str, NodeRates],
    events: Sequence[ModeledEvent],
    *,
    seed: int,
    refused: Mapping[str, int],
) -> dict[str, Any]:
    """Return what happened; the same for the same setup. `refused`: people that the reading of
    their file refused."""
    setup, tally = run.setup, run.tally
    graph = setup.version.graph
    # The entry first, as diagrams need it.
    order = sorted(graph.nodes, key=lambda node_id: node_id != graph.entry_node_id)
    ended = _by_reason(tally)
    entered = tally.entries.total()
    left_out = [*LEFT_OUT, *(() if campaign.is_from_database else LEFT_OUT_OF_FILES)]
    return {
        "campaign": setup.version.campaign_name,
        "version": setup.version.version if campaign.is_published else None,
        "start": setup.start.isoformat(),
        "days": setup.days,
        "seed": seed,
        "population": {
            "selected": len(setup.population) + sum(refused.values()),
            "entered": entered,
            "refused": dict(sorted((*refused.items(), *run.refused.items()))),
        },
        "ended": ended,
        "still_inside": entered - sum(ended.values()),
        "hours_to_end": _lengths(tally),
        "nodes": [
            {
                "node": node_id,
                "type": node.node_type.value,
                "name": node.step_name,
                "passed": tally.passed[node_id],
                "sent": sum(n for (_, _, of), n in tally.sent.items() if of == node_id),
                "reactions": {
                    name: n for (of, name), n in sorted(tally.reactions.items()) if of == node_id
                },
            }
            for node_id, node in ((each, graph.nodes[each]) for each in order)
        ],
        "edges": [
            [node_id, port, edge.target]
            for node_id, node in graph.nodes.items()
            for port, edge in node.ports.items()
        ],
        "messages": _messages(run),
        "skipped": dict(sorted(tally.skipped.items())),
        "held": dict(sorted(tally.held_by_rule.items())),
        "errors": dict(sorted(tally.errors.items())),
        "over_time": _over_time(run),
        "ab_test": expected_test(graph, campaign.test, campaign.tested_split, tally),
        "rates": {
            node_id: {"source": each.source, **each.rates.model_dump()}
            for node_id, each in rates.items()
        },
        "events": {
            event.event_type: {
                "rate": event.rate.rate,
                "hours": event.rate.hours,
                "source": event.source,
            }
            for event in events
        },
        "left_out": left_out,
    }


def _by_reason(tally: Tally) -> dict[str, int]:
    ended: dict[str, int] = {}
    for (_, reason), number in tally.ended.items():
        ended[reason] = ended.get(reason, 0) + number
    return dict(sorted(ended.items(), key=lambda item: (-item[1], item[0])))


def _lengths(tally: Tally) -> dict[str, float | None]:
    """Return the median and the 95th percentile of the ended runs, in hours."""
    total = tally.lengths.total()
    result: dict[str, float | None] = {"median": None, "p95": None}
    for name, share in (("median", 0.5), ("p95", 0.95)):
        counted = 0
        for seconds in sorted(tally.lengths):
            counted += tally.lengths[seconds]
            if counted >= share * total:
                result[name] = round(seconds / 3_600, 2)
                break
    return result


def _messages(run: SimulationRun) -> dict[str, Any]:
    setup, tally = run.setup, run.tally
    channels: dict[str, Any] = {}
    for channel in sorted({channel for _, channel, _ in tally.sent} | setup.rates.keys()):
        by_hour: dict[int, int] = {}
        for (hour, of_channel, _), number in tally.sent.items():
            if of_channel == channel:
                by_hour[hour] = by_hour.get(hour, 0) + number
        peak = max(by_hour, key=lambda hour: (by_hour[hour], -hour)) if by_hour else None
        rate = setup.rates.get(channel)
        cleared = run.cleared_at.get(channel)
        waiting = [(n, hour) for (hour, of), n in run.queues.items() if of == channel]
        longest = max(waiting, key=lambda pair: (pair[0], -pair[1])) if waiting else None
        by_day = [0] * setup.days
        for hour, number in by_hour.items():
            by_day[min(hour // _HOURS_A_DAY, setup.days - 1)] += number
        channels[channel] = {
            "total": sum(by_hour.values()),
            "by_day": by_day,
            "by_hour": _hourly(by_hour, setup.days),
            "peak_hour": None if peak is None else _time(run, peak),
            "peak_messages": 0 if peak is None else by_hour[peak],
            "rate_per_second": rate,
            "longest_queue": 0 if longest is None else longest[0],
            "longest_queue_at": None if longest is None else _time(run, longest[1]),
            "queue_cleared_at": None if cleared is None else cleared.isoformat(),
            "still_queued": run.still_queued.get(channel, 0),
        }
    return channels


def _hourly(by_hour: Mapping[int, int], days: int) -> list[int]:
    return [by_hour.get(hour, 0) for hour in range(days * _HOURS_A_DAY + 1)]


def _time(run: SimulationRun, hour: int) -> str:
    return (run.setup.start + timedelta(hours=hour)).isoformat()


def _over_time(run: SimulationRun) -> dict[str, Any]:
    """Return the numbers of people at each node, and of those that ended, every few hours."""
    tally, hours = run.tally, run.setup.days * _HOURS_A_DAY
    step = max(1, -(-hours // _FRAMES))
    at_node: dict[str, dict[int, int]] = {}
    for (hour, node_id), change in tally.at_node.items():
        at_node.setdefault(node_id, {})[hour] = change
    ended: dict[str, dict[int, int]] = {}
    for (hour, reason), number in tally.ended.items():
        ended.setdefault(reason, {})[hour] = number
    return {
        "step_hours": step,
        "at_node": {node: _sums(changes, hours, step) for node, changes in sorted(at_node.items())},
        "ended": {reason: _sums(each, hours, step) for reason, each in sorted(ended.items())},
        "entered": _sums(tally.entries, hours, step),
    }


def _sums(changes: Mapping[int, int], hours: int, step: int) -> list[int]:
    sums, total = [], 0
    for hour in range(hours + 1):
        total += changes.get(hour, 0)
        if hour % step == 0:
            sums.append(total)
    return sums
