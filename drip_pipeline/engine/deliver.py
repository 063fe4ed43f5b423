"""One round of deliveries of a channel: lease through the last gate, render, hand over, settle.

A recording channel is settled in the transaction that leases: nothing leaves, so nothing can be in
doubt. A sending one gets small groups, marked `sending` and committed before they go out, and is
settled afterwards in a second transaction; no transaction is open while a provider is talked to.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from drip_pipeline.channels.protocol import Channel, DeliveryResult, Outcome, OutgoingMessage
from drip_pipeline.db import deliveries as deliveries_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine import graphs
from drip_pipeline.engine.ledger import NO_RUN, BatchEntry, RunContext, places
from drip_pipeline.engine.render import MessageSettings, render
from drip_pipeline.engine.settle import Delivered, settle_results, settle_skipped
from drip_pipeline.errors import DripError, TemplateError, VersionNotFound

MAX_IN_DOUBT: Final = 50
"""Rows marked `sending` at a time and worker: what a kill can leave in doubt."""
LEASE_SECONDS: Final = 300.0
HOLD_SECONDS: Final = 300.0


def deliver_batch(
    database: Database,
    channel: Channel,
    *,
    settings: MessageSettings,
    now: datetime,
    batch_size: int,
    context: RunContext = NO_RUN,
) -> Delivered:
    """Deliver up to `batch_size` due messages of this channel; a sending channel takes at most
    MAX_IN_DOUBT at once.

    Nothing due gives an empty result. Raises the DripError that made the round fail, after entering
    it in the ledger.
    """
    entry = BatchEntry.begin(uuid4(), "deliver", now, context)
    round_ = _Round(database, channel, settings, now, entry)
    try:
        if channel.capabilities.is_recorder:
            return round_.record(batch_size)
        return round_.send(min(batch_size, MAX_IN_DOUBT, channel.capabilities.max_batch))
    except DripError as error:
        entry.failed(database, str(error), round_.places())
        raise


class _Round:
    def __init__(
        self,
        database: Database,
        channel: Channel,
        settings: MessageSettings,
        now: datetime,
        entry: BatchEntry,
    ) -> None:
        self._database = database
        self._channel = channel
        self._settings = settings
        self._now = now
        self._entry = entry
        self._leased: list[dict[str, Any]] = []

    def record(self, batch_size: int) -> Delivered:
        """Lease, record and settle in one transaction."""
        with self._database.transaction() as connection:
            held_back = self._lease(connection, batch_size)
            if not self._leased:
                return Delivered()
            messages, failures = self._render(connection)
            self._keep(connection, messages)
            results = self._channel.send(messages)
            done = held_back + self._settle(connection, [*results, *failures])
            self._enter(connection, done)
        return done

    def send(self, batch_size: int) -> Delivered:
        """Lease and mark, hand over, settle."""
        with self._database.transaction() as connection:
            held_back = self._lease(connection, batch_size)
            if not self._leased:
                return Delivered()
            messages, failures = self._render(connection)
            deliveries_db.mark_sending(
                connection,
                [message.delivery_id for message in messages],
                lease_token=uuid4(),
                leased_until=self._now + timedelta(seconds=LEASE_SECONDS),
            )
            done = held_back
            if failures:
                done += self._settle(connection, failures)
        results = self._channel.send(messages) if messages else []
        with self._database.transaction() as connection:
            done += self._settle(connection, results)
            self._enter(connection, done)
        return done

    def places(self) -> list[dict[str, Any]]:
        """Where the deliveries of this round belong, for the ledger."""
        return places(
            (row["campaign_id"], row["campaign_version"], row["node_id"]) for row in self._leased
        )

    def _lease(self, connection: Connection, batch_size: int) -> Delivered:
        self._leased = deliveries_db.lease(
            connection, channel=self._channel.name, batch_size=batch_size, now=self._now
        )
        paused = [row["id"] for row in self._leased if row["gate"] == "paused"]
        if paused:
            later = self._now + timedelta(seconds=HOLD_SECONDS)
            deliveries_db.hold(connection, paused, later)
        stopped = [row for row in self._leased if row["gate"] not in (None, "paused")]
        skipped: dict[str, int] = {}
        if stopped:
            skipped = settle_skipped(
                connection,
                stopped,
                channel=self._channel.name,
                batch_id=self._entry.batch_id,
                now=self._now,
            )
        return Delivered(skipped=skipped, held=len(paused))

    def _render(self, connection: Connection) -> tuple[list[OutgoingMessage], list[DeliveryResult]]:
        messages: list[OutgoingMessage] = []
        failures: list[DeliveryResult] = []
        for row in self._leased:
            if row["gate"] is not None:
                continue
            try:
                version = graphs.version(connection, row["campaign_id"], row["campaign_version"])
                messages.append(render(row, version, self._settings, self._now))
            except (TemplateError, VersionNotFound) as error:
                failures.append(_unrenderable(row["id"], error))
        return messages, failures

    def _keep(self, connection: Connection, messages: Sequence[OutgoingMessage]) -> None:
        row_of = {row["id"]: row for row in self._leased}
        deliveries_db.record(
            connection,
            (_recorded(row_of[message.delivery_id], message, self._now) for message in messages),
        )

    def _settle(self, connection: Connection, results: Sequence[DeliveryResult]) -> Delivered:
        return settle_results(
            connection,
            self._leased,
            results,
            channel=self._channel.name,
            batch_id=self._entry.batch_id,
            now=self._now,
        )

    def _enter(self, connection: Connection, done: Delivered) -> None:
        self._entry.committed(connection, done.sizes(), self.places())


def _recorded(row: dict[str, Any], message: OutgoingMessage, now: datetime) -> tuple[Any, ...]:
    return (
        message.delivery_id,
        row["workspace_id"],
        row["campaign_id"],
        row["enrollment_id"],
        row["node_id"],
        message.channel,
        message.recipient,
        message.subject or None,
        message.preheader,
        message.text or None,
        message.html,
        dict(message.payload) if message.payload else None,
        now,
    )


def _unrenderable(delivery_id: UUID, error: DripError) -> DeliveryResult:
    return DeliveryResult(
        delivery_id=delivery_id,
        outcome=Outcome.REJECTED,
        error_code="render_failed",
        error=str(error),
    )
