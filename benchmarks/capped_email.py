"""Measure email to a local sink under two frequency caps and a send window, as a ratio to the same
without rules.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from benchmarks.email_path import NOW, delivery_rate, mail_graph, sink
from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.windows import SendWindow
from drip_pipeline.engine.campaigns.frequency_caps import set_cap

_CAPS: Final = (
    {"name": "weekly", "max": 5, "per": {"value": 7, "unit": "days"}},
    {"name": "monthly", "max": 12, "per": {"value": 30, "unit": "days"}},
)
_EARLIER: Final = (timedelta(days=2), timedelta(days=9))
"""How long ago each contact was sent its earlier mails."""


def section(options: Options) -> list[Figure]:
    """Two ratios to the delivery without rules: with two caps, and with a window beside them."""
    mails, repeats = (4_000, 2) if options.is_quick else (20_000, options.repeats)
    url = options.server_url
    with sink() as port:
        plain, capped, both = in_turn(
            repeats,
            lambda: delivery_rate(url, port, mails),
            lambda: delivery_rate(url, port, mails, prepare=_caps),
            lambda: delivery_rate(url, port, mails, graph=_windowed(), prepare=_caps),
        )
    note = f"{mails:,} mails, 2 earlier ones for each contact; without rules {max(plain):,.0f}/s"
    return [
        figure("email_with_two_caps", capped, plain, note),
        figure("email_with_two_caps_and_window", both, plain, note),
    ]


def _windowed() -> CampaignGraph:
    graph = mail_graph()
    window = SendWindow.model_validate({"from": "08:00", "to": "20:00"})
    mail = replace(graph.nodes["mail"], send_window=window)
    return replace(graph, nodes={**graph.nodes, "mail": mail})


def _caps(database: Database) -> None:
    with database.transaction() as connection:
        for before in _EARLIER:
            connection.execute(
                "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
                "campaign_version, enrollment_id, contact_id, node_id, channel, sent_at) "
                "SELECT gen_random_uuid(), e.workspace_id, e.campaign_id, 1, e.id, e.contact_id, "
                "'mail', 'email', %s FROM campaign_enrollments e",
                [NOW - before],
            )
    for cap in _CAPS:
        set_cap(database, None, cap, now=NOW)
