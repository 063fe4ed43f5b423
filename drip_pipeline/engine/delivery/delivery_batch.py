"""What every round of deliveries does, whatever the channel: lease through the last gate, hold or
skip whom the gate stops, render, settle, enter in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from time import sleep
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from drip_pipeline.channels.protocol import DeliveryResult, Outcome, OutgoingMessage
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery.deliveries import Quota, Recorded
from drip_pipeline.db.execution.batch_context import ATTRIBUTE_COLUMNS
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.render import MessageSettings, PreparedNode, columns_read
from drip_pipeline.engine.delivery.settle import (
    DeliveryCounts,
    SettlePolicy,
    settle_results,
    settle_skipped,
)
from drip_pipeline.engine.execution.batch_log import BatchLogEntry, NodeCounts, RunContext, places
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import (
    Conflict,
    DatabaseUnavailable,
    DripError,
    TemplateError,
    VersionNotFound,
)

LEASE_SECONDS: Final = 300.0
HOLD_SECONDS: Final = 300.0
_SETTLING_TRIES: Final = 6
_FIRST_PAUSE_SECONDS: Final = 0.1

Result = TypeVar("Result")


class DeliveryBatch:
    """One group of deliveries of one channel, from the lease to the ledger.

    `now` is the tick's: what is due, and what is written down of people, goes by it, so that a tick
    is one moment in their lives. `moment` is what the clock said when the round began: leases,
    rates and what a provider asked for go by real time.
    """

    def __init__(
        self,
        database: Database,
        channel: str,
        settings: MessageSettings,
        clock: ElapsedClock,
        context: RunContext,
    ) -> None:
        self.database = database
        self.channel = channel
        self.now = clock.start
        self.moment = clock.now()
        self._clock = clock
        self._settings = settings
        self._context = context
        self._entry = BatchLogEntry.begin(uuid4(), "deliver", self.now, context)
        self.leased: list[dict[str, Any]] = []
        self.rendered: list[dict[str, Any]] = []
        """The rows of what `render` made, in step."""

    @property
    def batch_id(self) -> UUID:
        """The round's row in the ledger."""
        return self._entry.batch_id

    def free(self) -> list[dict[str, Any]]:
        """Leased deliveries that the gate lets through."""
        return [row for row in self.leased if row["gate"] is None]

    def lease(self, connection: Connection, quotas: Sequence[Quota]) -> DeliveryCounts:
        """Take deliveries; those that the gate stops are settled or put off at once."""
        self.leased = deliveries_db.lease(
            connection,
            quotas,
            columns=_columns_read(connection, quotas),
            channel=self.channel,
            now=self.now,
        )
        paused = [row["id"] for row in self.leased if row["gate"] == "paused"]
        if paused:
            deliveries_db.hold(connection, paused, self.now + timedelta(seconds=HOLD_SECONDS))
        stopped = [row for row in self.leased if row["gate"] not in (None, "paused")]
        skipped: dict[str, int] = {}
        if stopped:
            skipped = settle_skipped(
                connection, stopped, channel=self.channel, batch_id=self.batch_id, now=self.now
            )
        return DeliveryCounts(skipped=skipped, held=len(paused))

    def render(
        self, connection: Connection, transport: Transport | None = None
    ) -> tuple[list[OutgoingMessage], list[DeliveryResult]]:
        """Return the messages, and the results of those that could not be rendered. The transport's
        own sender and headers take precedence."""
        settings = self._settings
        if transport is not None and transport.sender:
            settings = replace(settings, mail_from=transport.sender)
        messages: list[OutgoingMessage] = []
        failures: list[DeliveryResult] = []
        known: dict[tuple[int, int, str], PreparedNode] = {}
        self.rendered = []
        for row in self.free():
            # By the integer: a UUID hashes in Python, once a message and look.
            key = (row["campaign_id"].int, row["campaign_version"], row["node_id"])
            try:
                node = known.get(key)
                if node is None:
                    version = graphs.version(connection, row["campaign_id"], key[1])
                    node = known[key] = PreparedNode(version, key[2], settings)
                message = node.message(row, self.moment)
            except (TemplateError, VersionNotFound) as error:
                failures.append(_unrenderable(row["id"], error))
                continue
            if transport is not None and transport.headers:
                message = message._replace(headers={**message.headers, **transport.headers})
            messages.append(message)
            self.rendered.append(row)
        return messages, failures

    def settle(
        self,
        connection: Connection,
        results: Sequence[DeliveryResult],
        policy: SettlePolicy | None = None,
    ) -> DeliveryCounts:
        """Write down what the channel said, and carry the people on."""
        return settle_results(
            connection,
            self.leased,
            results,
            channel=self.channel,
            batch_id=self.batch_id,
            now=self.now,
            moment=self._clock.now(),
            policy=policy or SettlePolicy(),
        )

    def enter(self, connection: Connection, done: DeliveryCounts) -> None:
        """The ledger's row, in the transaction that settles."""
        if done.total():
            self._entry.committed(connection, done.sizes(), self.places())

    def failed(self, error: Exception) -> None:
        """The ledger's row of a round that failed."""
        self._entry.failed(self.database, error, self.places())

    def places(self) -> NodeCounts:
        """Where the deliveries of this round belong."""
        counted = Counter(
            (row["campaign_id"].int, row["campaign_version"], row["node_id"]) for row in self.leased
        )
        return places((UUID(int=c), v, node, people) for (c, v, node), people in counted.items())


def _columns_read(connection: Connection, quotas: Sequence[Quota]) -> Collection[str]:
    columns: set[str] = set()
    for quota in quotas:
        place = quota.place
        try:
            version = graphs.version(connection, place.campaign_id, place.campaign_version)
            columns |= columns_read(version, place.node_id)
        except (TemplateError, VersionNotFound):
            return ATTRIBUTE_COLUMNS  # rendering will say what is wrong
    return columns


def surely(act: Callable[[], Result]) -> Result:
    """Do one transaction, again if another one or a broken connection is in the way: messages that
    went out and are not settled would be in doubt."""
    for attempt in range(_SETTLING_TRIES - 1):
        try:
            return act()
        except (Conflict, DatabaseUnavailable):
            sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
    return act()


def keep_recorded(
    connection: Connection,
    rows: Sequence[dict[str, Any]],
    messages: Sequence[OutgoingMessage],
    *,
    channel: str,
    now: datetime,
) -> None:
    """Keep messages that are recorded and not sent; `rows` are their leased deliveries, in
    step."""
    kept = list(map(recorded, rows, messages))
    deliveries_db.record(connection, kept, channel=channel, now=now)


def recorded(row: Mapping[str, Any], message: OutgoingMessage) -> Recorded:
    """What is kept of a message, in the place of its delivery."""
    return Recorded(
        message.delivery_id,
        row["workspace_id"],
        row["campaign_id"],
        row["enrollment_id"],
        row["node_id"],
        message.recipient,
        message.subject or None,
        message.preheader,
        message.text or None,
        message.html,
        message.payload or None,
    )


def _unrenderable(delivery_id: UUID, error: DripError) -> DeliveryResult:
    return DeliveryResult(
        delivery_id=delivery_id,
        outcome=Outcome.REJECTED,
        error_code="render_failed",
        error=str(error),
    )
