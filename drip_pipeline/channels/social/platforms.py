"""Supported social platforms, and what to use for the others.

There are no platform SDKs: platforms without a channel here need a publishing tool of the user's
own behind a signed webhook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MASTODON: Final = "mastodon"
PUBLISH_WEBHOOK: Final = "webhook"
IMPLEMENTED: Final = frozenset({MASTODON, PUBLISH_WEBHOOK})

_TOOL: Final = (
    "use a social channel of platform `webhook`, which sends each post to your own publishing tool"
)
_REVIEWED: Final = f"its API is open to reviewed apps only; {_TOOL}"
UNSUPPORTED: Final[Mapping[str, str]] = {
    "bluesky": _TOOL,
    "discord": f"{_TOOL}, or a webhook action with the channel's webhook URL",
    "facebook": _REVIEWED,
    "instagram": _REVIEWED,
    "linkedin": _REVIEWED,
    "medium": _TOOL,
    "pinterest": _REVIEWED,
    "reddit": _REVIEWED,
    "slack": f"{_TOOL}, or a webhook action with the channel's webhook URL",
    "snapchat": _REVIEWED,
    "telegram": f"{_TOOL}, or a webhook action with the bot's sendMessage URL",
    "threads": _REVIEWED,
    "tiktok": _REVIEWED,
    "tumblr": _TOOL,
    "twitter": f"its API is a paid one; {_TOOL}",
    "whatsapp": _REVIEWED,
    "x": f"its API is a paid one; {_TOOL}",
    "youtube": _REVIEWED,
}


def why_unsupported(platform: str) -> str:
    """Return what to use instead of a platform that is not implemented."""
    return UNSUPPORTED.get(platform, f"it is unknown; {_TOOL}")
