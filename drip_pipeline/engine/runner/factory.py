"""From settings to an engine that can run: the database, the channels that are set up, what
messages need."""

from __future__ import annotations

from typing import Final

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery.channel_accounts import MESSAGE_CATEGORIES
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.runner.tick import Engine
from drip_pipeline.engine.transports.registry import sending_channels
from drip_pipeline.settings import LOCAL_URL, Settings

AVAILABLE_CHANNELS: Final = frozenset(MESSAGE_CATEGORIES)
"""Channels that steps may use; whether one is set up for a workspace, publishing checks step by
step (channel_checks.py)."""


def engine_from(
    settings: Settings, database: Database, *, shard: int = 0, shards: int = 1
) -> Engine:
    """The engine of these settings. A channel that is not set up says so when something is due for
    it, and its deliveries stay due."""
    return Engine(
        database=database,
        channels=_channels(settings),
        messages=message_settings(settings),
        batch_size=settings.batch_size,
        shard=shard,
        shards=shards,
    )


def message_settings(settings: Settings) -> MessageSettings:
    """What every message needs. Links that are counted need an address that people reach and a key
    that stays; without both, nothing is counted.
    """
    is_reached = settings.secret_key is not None and settings.public_url != LOCAL_URL
    return MessageSettings(
        settings.mail_from,
        settings.public_url,
        settings.signing_key(),
        tracks_opens=is_reached and "opens" in settings.tracking,
        tracks_clicks=is_reached and "clicks" in settings.tracking,
    )


def close(engine: Engine) -> None:
    """Close the channels' connections and the database's; the next use opens new ones."""
    for channel in engine.channels.values():
        channel.close()
    engine.database.close()


def _channels(settings: Settings) -> dict[str, Channel]:
    if settings.delivery == "record":
        return {name: RecorderChannel(name, _kept_by_the_engine) for name in AVAILABLE_CHANNELS}
    return sending_channels(settings)


def _kept_by_the_engine(_messages: object) -> None:
    """Recorded messages go into a table in the transaction that settles them
    (engine/deliver.py)."""
