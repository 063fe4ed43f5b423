"""An engine that sends to the tests' servers, and queries of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery.channel_accounts import ChannelDefinition
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import NodeConfig
from drip_pipeline.engine.delivery.results import DeliveryCounts
from drip_pipeline.engine.runner.factory import engine_from
from drip_pipeline.engine.runner.tick import TickReport, deliver_channel, tick
from drip_pipeline.engine.transports.accounts import set_channel
from drip_pipeline.settings import Settings
from tests.engine import factories
from tests.engine.factories import NOW, Published
from tests.engine.graphs import end, graph, node, trigger


def one_step(config: NodeConfig, *, node_type: str = "action") -> CampaignGraph:
    """trigger → the step → exit."""
    return graph(trigger("step"), node("step", node_type, config, default="end"), end())


class Sender:
    """An engine as `drip run` has it, with DRIP_DELIVERY=send."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.engine = engine_from(settings, database)

    def close(self) -> None:
        """Close the channels; the database is the test's own."""
        for channel in self.engine.channels.values():
            channel.close()

    def channel(self, category: str, config: Mapping[str, Any], **fields: Any) -> UUID:
        """A channel row of the oldest workspace; `slug` defaults to the category."""
        slug = fields.pop("slug", category)
        with self.database.transaction() as connection:
            factories.the_workspace(connection)
        now, workspace = fields.pop("now", NOW), fields.pop("workspace", None)
        channel = ChannelDefinition(slug, category, specs=config, **fields)
        return set_channel(self.database, channel, now=now, workspace=workspace).channel_id

    def enroll(
        self, campaign_graph: CampaignGraph, count: int, *, name: str = "Welcome", **columns: Any
    ) -> tuple[Published, list[UUID]]:
        """Publish a campaign and enroll contacts, not advanced yet. `columns` are set on the
        contacts; their phone numbers are +15550100001 and so on."""
        with self.database.transaction() as connection:
            campaign = factories.a_published_campaign(connection, campaign_graph, name=name)
            contacts = factories.contacts(connection, campaign.workspace_id, count, prefix=name)
            connection.execute(
                "UPDATE contacts SET phone = '+1555010' || lpad(u.n::text, 4, '0') "
                "FROM unnest(%s::uuid[]) WITH ORDINALITY AS u (id, n) WHERE contacts.id = u.id",
                [contacts],
            )
            for column, value in columns.items():
                connection.execute(
                    f"UPDATE contacts SET {column} = %s WHERE id = ANY(%s)",
                    [value, contacts],
                )
            return campaign, factories.enrolled(connection, campaign, contacts)

    def run(self, now: datetime = NOW) -> TickReport:
        """Everything that is due at `now`."""
        return tick(self.engine, now=now, until_idle=True)

    def deliver(self, category: str, now: datetime = NOW) -> DeliveryCounts:
        """What is due of one channel."""
        return deliver_channel(self.engine, self.engine.channels[category], now=now)

    def rows(self, statement: str, *params: Any) -> Sequence[tuple[Any, ...]]:
        """Whatever the database says."""
        with self.database.transaction() as connection:
            return connection.execute(statement, params).fetchall()

    def value(self, statement: str, *params: Any) -> Any:
        """The only value that it says."""
        ((value,),) = self.rows(statement, *params)
        return value

    def deliveries(self) -> dict[str, int]:
        """How many deliveries stand where."""
        return dict(self.rows("SELECT status, count(*) FROM campaign_deliveries GROUP BY 1"))

    def states(self) -> dict[str, int]:
        """Count states by status; an exit reason follows after a slash."""
        return dict(
            self.rows(
                "SELECT workflow_status || coalesce('/' || exit_reason, ''), count(*) "
                "FROM campaign_workflow_states GROUP BY 1"
            )
        )

    def events(self) -> Counter[str]:
        """Count events by type; a reason follows after a slash."""
        return Counter(
            dict(
                self.rows(
                    "SELECT event_type || coalesce('/' || (event_data ->> 'reason'), ''), count(*) "
                    "FROM campaign_events WHERE event_type NOT IN ('enrollment_started') GROUP BY 1"
                )
            )
        )

    def data(self, event_type: str) -> list[dict[str, Any]]:
        """Return the data of all events of a type, in order."""
        rows = self.rows(
            "SELECT event_data FROM campaign_events WHERE event_type = %s ORDER BY created_at, id",
            event_type,
        )
        return [data for (data,) in rows]
