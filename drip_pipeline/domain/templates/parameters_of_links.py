"""Add parameters to the web links of a rendered message."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

from drip_pipeline.domain.templates.tracked_links import LONGEST_URL, map_links

Parameters = Sequence[tuple[str, str]]
_TEXT_URL: Final = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_AFTER_URL: Final = ".,;:!?)]}"


def html_with_parameters(html: str, parameters: Parameters, excluded: Collection[str]) -> str:
    """Add the parameters to every web link of the HTML but those in `excluded`."""
    return map_links(html, lambda url: with_parameters(url, parameters), excluded)


def text_with_parameters(text: str, parameters: Parameters, excluded: Collection[str]) -> str:
    """Add the parameters to every web address of a plain text but those in `excluded`."""

    def changed(match: re.Match[str]) -> str:
        url = match.group().rstrip(_AFTER_URL)
        if url in excluded or len(url) > LONGEST_URL:
            return match.group()
        return with_parameters(url, parameters) + match.group()[len(url) :]

    return _TEXT_URL.sub(changed, text)


def with_parameters(url: str, parameters: Parameters) -> str:
    """Return the URL with those of the parameters that it does not have; nothing else changes."""
    address, hash_, fragment = url.partition("#")
    _, mark, query = address.partition("?")
    own = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    added = urlencode([(name, value) for name, value in parameters if name not in own])
    if not added:
        return url
    joined = "" if address.endswith(("?", "&")) else "&" if mark else "?"
    return f"{address}{joined}{added}{hash_}{fragment}"
