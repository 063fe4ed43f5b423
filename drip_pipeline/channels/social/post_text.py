"""The text of a post: its content and the hashtags that the content does not contain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from drip_pipeline.channels.protocol import OutgoingMessage

_LINK: Final = re.compile(r"https?://\S+")
_CHARACTERS_OF_A_LINK: Final = 23


def with_hashtags(content: str, hashtags: Iterable[str]) -> str:
    """Return the content, and below it the hashtags that it does not contain."""
    tags = ["#" + tag.strip().lstrip("#") for tag in hashtags if tag.strip().lstrip("#")]
    present = {word.rstrip(".,;:!?").casefold() for word in content.split()}
    missing = [tag for tag in dict.fromkeys(tags) if tag.casefold() not in present]
    return "\n\n".join(part for part in (content.strip(), " ".join(missing)) if part)


def post_text(message: OutgoingMessage) -> str:
    """Return the complete text of a post as published."""
    return with_hashtags(message.text, message.payload.get("hashtags") or ())


def mastodon_characters(text: str) -> int:
    """Count characters as Mastodon does: every link counts 23, whatever its length."""
    links = _LINK.findall(text)
    return len(text) - sum(map(len, links)) + _CHARACTERS_OF_A_LINK * len(links)
