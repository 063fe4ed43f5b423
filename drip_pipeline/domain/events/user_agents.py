"""What a user agent gives away: the kind of device, and whether a machine opened or clicked instead
of a person. Pure and deliberately modest: only what programs say of themselves, no guessing from
times or networks; a provider that knows better says so in the event's data.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

PREFETCHING_AGENTS: Final = frozenset({"Mozilla/5.0"})
"""Agents that load every picture of a message, read or not. Apple's mail privacy protection shows
nothing but this; the providers' documentation names it as the sign. Gmail's and Yahoo's image
proxies are not here: they load a picture when somebody looks at it.
"""

SCANNER_MARKS: Final = (
    # Mail gateways that follow the links of a message before anybody sees it.
    "barracuda",
    "proofpoint",
    "mimecast",
    "ciscosecureemail",
    "symantec email security",
    # Previews of links in offices and chats.
    "microsoft office existence discovery",
    "bingpreview",
    "slackbot-linkexpanding",
    "facebookexternalhit",
    "skypeuripreview",
    # Programs that call themselves what they are.
    "python-requests",
    "python-urllib",
    "aiohttp",
    "go-http-client",
    "apache-httpclient",
    "curl/",
    "wget/",
    "headlesschrome",
)
"""Parts of agents, in small letters, that only programs carry."""

_ROBOT: Final = re.compile(r"(?<!cu)bot\b|crawler|spider")  # CUBOT makes telephones
_TABLET: Final = re.compile(r"ipad|tablet|kindle|silk/|android(?!.*mobile)")
_PHONE: Final = re.compile(r"iphone|ipod|mobile|android|windows phone|blackberry")
_DESKTOP: Final = re.compile(r"windows|macintosh|x11|linux|cros|thunderbird|outlook")


@lru_cache(maxsize=4096)
def device_type(user_agent: str) -> str | None:
    """`bot`, `tablet`, `mobile` or `desktop`; None when the agent does not tell."""
    text = user_agent.lower()
    if is_scanner(user_agent):
        return "bot"
    for kind, pattern in (("tablet", _TABLET), ("mobile", _PHONE), ("desktop", _DESKTOP)):
        if pattern.search(text):
            return kind
    return None


@lru_cache(maxsize=4096)
def is_scanner(user_agent: str) -> bool:
    """Whether the agent is a program that follows links by itself."""
    text = user_agent.lower()
    return any(mark in text for mark in SCANNER_MARKS) or _ROBOT.search(text) is not None


def is_machine_open(user_agent: str) -> bool:
    """Whether the pictures were loaded by a machine: Apple's prefetching, or a scanner."""
    return user_agent.strip() in PREFETCHING_AGENTS or is_scanner(user_agent)
