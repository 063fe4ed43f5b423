"""Create the engine from the settings: database, channels and message settings."""

from __future__ import annotations

from typing import Final

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery.channel_accounts import MESSAGE_CATEGORIES
from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.privacy.erase import ErasureScope
from drip_pipeline.engine.runner.tick import Engine
from drip_pipeline.engine.transports.registry import sending_channels
from drip_pipeline.settings import LOCAL_URL, Settings

AVAILABLE_CHANNELS: Final = frozenset(MESSAGE_CATEGORIES)
"""Channels that steps may use. Publishing checks whether they are configured for the workspace
(publishing/channel_validation.py)."""


def engine_from(
    settings: Settings, database: Database, *, shard: int = 0, shards: int = 1
) -> Engine:
    """Return the engine of these settings.

    A channel that is not configured reports it when a delivery is due; the delivery stays due.
    """
    return Engine(
        database=database,
        channels=_channels(settings),
        messages=message_settings(settings),
        batch_size=settings.batch_size,
        shard=shard,
        shards=shards,
        erasure=ErasureScope.of(settings),
    )


def message_settings(settings: Settings) -> MessageSettings:
    """Return what every message needs.

    Opens and clicks are tracked only with a public URL that recipients can reach and a permanent
    secret key.
    """
    is_reachable = settings.secret_key is not None and settings.public_url != LOCAL_URL
    return MessageSettings(
        settings.mail_from,
        settings.public_url,
        settings.signing_key(),
        tracks_opens=is_reachable and "opens" in settings.tracking,
        tracks_clicks=is_reachable and "clicks" in settings.tracking,
        former_keys=settings.former_secret_keys,
        soft_bounces=SoftBounceLimit.of(settings),
    )


def close(engine: Engine) -> None:
    """Close the connections of the channels and the database; the next use opens new ones."""
    for channel in engine.channels.values():
        channel.close()
    engine.database.close()


def _channels(settings: Settings) -> dict[str, Channel]:
    if settings.delivery == "record":
        return {name: RecorderChannel(name, _ignore) for name in AVAILABLE_CHANNELS}
    return sending_channels(settings)


def _ignore(_messages: object) -> None:
    """Do nothing: delivery/ stores recorded messages in the transaction that settles them."""
