"""From settings to an engine that can run: the database, the channels that are set up, what
messages need."""

from __future__ import annotations

from typing import Final

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.render import MessageSettings
from drip_pipeline.engine.tick import Engine
from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Settings

AVAILABLE_CHANNELS: Final = frozenset({"email"})
"""Channels that a campaign may be published for."""


def engine_from(
    settings: Settings, database: Database, *, shard: int = 0, shards: int = 1
) -> Engine:
    """The engine of these settings. Raises SettingsError when something that sending needs is not
    set."""
    return Engine(
        database=database,
        channels={name: _channel(name, settings) for name in sorted(AVAILABLE_CHANNELS)},
        messages=MessageSettings(settings.mail_from, settings.public_url, settings.signing_key()),
        batch_size=settings.batch_size,
        shard=shard,
        shards=shards,
    )


def close(engine: Engine) -> None:
    """Close the channels' connections and the database's; the next use opens new ones."""
    for channel in engine.channels.values():
        channel.close()
    engine.database.close()


def _channel(name: str, settings: Settings) -> Channel:
    if settings.delivery == "record":
        return RecorderChannel(name, _kept_by_the_engine)
    from drip_pipeline.channels.email_smtp import SmtpChannel
    from drip_pipeline.channels.smtp_server import parse_smtp_url

    if settings.smtp_url is None:
        raise SettingsError(
            "DRIP_SMTP_URL",
            "is not set, and DRIP_DELIVERY is `send`",
            hint="Set it to the mail relay, or DRIP_DELIVERY to `record`.",
        )
    return SmtpChannel(parse_smtp_url(settings.smtp_url.reveal()), settings.mail_from)


def _kept_by_the_engine(_messages: object) -> None:
    """Recorded messages go into a table in the transaction that settles them
    (engine/deliver.py)."""
