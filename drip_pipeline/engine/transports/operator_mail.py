"""The e-mail channel for messages to operators: reports and alerts."""

from __future__ import annotations

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.errors import ChannelUnavailable
from drip_pipeline.settings import Settings


def mail_channel(settings: Settings) -> Channel | None:
    """The channel that reports leave by, None where nothing leaves (DRIP_DELIVERY=record). Raises
    ChannelUnavailable when sending is wanted and e-mail is not set up.
    """
    from drip_pipeline.engine.transports.factory import settings_outlet

    if settings.delivery == "record":
        return None
    outlet = settings_outlet("email", settings)
    if outlet.channel is None:
        raise ChannelUnavailable("email", outlet.problem)
    return outlet.channel
