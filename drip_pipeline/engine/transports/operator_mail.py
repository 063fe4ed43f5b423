"""The email channel for messages to operators (reports and alerts)."""

from __future__ import annotations

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.errors import ChannelUnavailable
from drip_pipeline.settings import Settings


def mail_channel(settings: Settings) -> Channel | None:
    """Return the email channel of the settings, None if nothing is sent (DRIP_DELIVERY=record).
    Raises ChannelUnavailable if messages are sent and email is not configured.
    """
    from drip_pipeline.engine.transports.factory import settings_transport

    if settings.delivery == "record":
        return None
    transport = settings_transport("email", settings)
    if transport.channel is None:
        raise ChannelUnavailable("email", transport.problem)
    return transport.channel
