"""The page of a campaign's funnel: the diagram, and a table of its metrics with exit reasons."""

from __future__ import annotations

import base64
from html import escape

from drip_pipeline.engine.metrics.funnel import Funnel, FunnelNode
from drip_pipeline.reports.ab_test_page import page
from drip_pipeline.reports.funnel_diagram import funnel_diagram

FOOTER = "Each contact is counted once per node, however often it passed the node."


def funnel_page(funnel: Funnel) -> str:
    """Return the page as HTML."""
    goal = f"<p class=sentence>{escape(funnel.goal.describe())}</p>" if funnel.goal else ""
    tone = "good" if funnel.goal and funnel.goal.is_reached else "open"
    diagram = base64.b64encode(funnel_diagram(funnel).encode()).decode()
    body = (
        f"<article><header><p class=where>Funnel of version {funnel.version}</p>"
        f"<h1>{escape(funnel.campaign)}</h1></header>"
        f"<section class='verdict {tone}'><p class=sentence>{escape(funnel.describe())}</p>{goal}"
        "</section>"
        f'<section class=wide><img alt="{escape(funnel.describe(), quote=True)}"'
        f' src="data:image/svg+xml;base64,{diagram}"></section>'
        f"<section><h2>Metrics</h2>{_table(funnel)}</section></article>"
    )
    return page(f"Funnel: {funnel.campaign}", [body], funnel.as_of, footer=FOOTER)


def node_rows(funnel: Funnel) -> list[dict[str, object]]:
    """Return a row per node, by the number of contacts that reached it, with losses by reason."""
    return [
        {
            "node_id": node.node_id,
            "step": node.label,
            "type": node.node_type.value,
            "reached": node.reached,
            "now": node.now,
            "passed": node.passed,
            "ended": node.ended,
            "at_goal": node.at_goal,
            "lost": node.lost_total,
            "lost_by_reason": dict(node.lost),
            "held_by_rule": dict(node.held),
            "held_until": node.held_until,
        }
        for node in _by_reach(funnel)
    ]


def _by_reach(funnel: Funnel) -> list[FunnelNode]:
    return sorted(
        funnel.nodes.values(),
        key=lambda node: (node.node_id != funnel.entry_node_id, -node.reached, node.node_id),
    )


def _table(funnel: Funnel) -> str:
    heads = "".join(f"<th scope=col>{name}" for name in ("", *_COLUMNS, "Lost or held because"))
    lines = []
    for node in _by_reach(funnel):
        counts = (node.reached, node.now, node.passed, node.ended, node.lost_total)
        cells = "".join(
            f'<td data-label="{name}">{count:,}'
            for name, count in zip(_COLUMNS, counts, strict=True)
        )
        reasons = ", ".join(f"{why.replace('_', ' ')} {n:,}" for why, n in node.lost.items())
        if node.held:
            reasons = "; ".join(filter(None, (reasons, f"held: {node.describe_held()}")))
        lines.append(
            f"<tr><th scope=row>{escape(node.label)} <small>{node.node_type.value}</small>{cells}"
            f'<td data-label="Lost or held because">{escape(reasons)}'
        )
    return f"<table class=stack><thead><tr>{heads}</thead><tbody>{''.join(lines)}</tbody></table>"


_COLUMNS = ("Reached", "Here now", "Passed", "Ended", "Lost")
