"""Classification of user agents: the device type, and whether a machine opened or clicked.

Only self-declared agents are recognized; nothing is inferred from times or networks. Providers with
better knowledge mark the event in its data.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

PREFETCHING_AGENTS: Final = frozenset({"Mozilla/5.0"})
"""Agents that load all images of a message, read or not. Apple's mail privacy protection sends this
bare agent, as the providers document. Gmail's and Yahoo's image proxies are not included: they
load an image only when the recipient opens the message.
"""

SCANNER_MARKS: Final = (
    # Mail gateways that follow the links of a message before its delivery.
    "barracuda",
    "proofpoint",
    "mimecast",
    "ciscosecureemail",
    "symantec email security",
    # Link previews of office programs and chats.
    "microsoft office existence discovery",
    "bingpreview",
    "slackbot-linkexpanding",
    "facebookexternalhit",
    "skypeuripreview",
    # Programs with their own names.
    "python-requests",
    "python-urllib",
    "aiohttp",
    "go-http-client",
    "apache-httpclient",
    "curl/",
    "wget/",
    "headlesschrome",
)
"""Substrings, in lower case, of agents of programs."""

_ROBOT: Final = re.compile(r"(?<!cu)bot\b|crawler|spider")  # CUBOT is a brand of phones
_TABLET: Final = re.compile(r"ipad|tablet|kindle|silk/|android(?!.*mobile)")
_PHONE: Final = re.compile(r"iphone|ipod|mobile|android|windows phone|blackberry")
_DESKTOP: Final = re.compile(r"windows|macintosh|x11|linux|cros|thunderbird|outlook")


@lru_cache(maxsize=4096)
def device_type(user_agent: str) -> str | None:
    """Return `bot`, `tablet`, `mobile` or `desktop`; None if the agent does not show it."""
    text = user_agent.lower()
    if is_scanner(user_agent):
        return "bot"
    for kind, pattern in (("tablet", _TABLET), ("mobile", _PHONE), ("desktop", _DESKTOP)):
        if pattern.search(text):
            return kind
    return None


@lru_cache(maxsize=4096)
def is_scanner(user_agent: str) -> bool:
    """Return whether the agent is a program that follows links automatically."""
    text = user_agent.lower()
    return any(mark in text for mark in SCANNER_MARKS) or _ROBOT.search(text) is not None


def is_machine_open(user_agent: str) -> bool:
    """Return whether the images were loaded by a machine: Apple's prefetching, or a scanner."""
    return user_agent.strip() in PREFETCHING_AGENTS or is_scanner(user_agent)
