"""The email channel for messages to operators: reports and alerts."""

from __future__ import annotations

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.errors import ChannelUnavailable
from drip_pipeline.settings import Settings


def mail_channel(settings: Settings) -> Channel | None:
    """The channel that reports leave by, None where nothing leaves (DRIP_DELIVERY=record). Raises
    ChannelUnavailable when sending is wanted and email is not set up.
    """
    from drip_pipeline.engine.transports.factory import settings_transport

    if settings.delivery == "record":
        return None
    transport = settings_transport("email", settings)
    if transport.channel is None:
        raise ChannelUnavailable("email", transport.problem)
    return transport.channel
