"""The text of a post: its content, with the hashtags that the content does not hold already."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from drip_pipeline.channels.protocol import OutgoingMessage

_LINK: Final = re.compile(r"https?://\S+")
_CHARACTERS_OF_A_LINK: Final = 23


def with_hashtags(content: str, hashtags: Iterable[str]) -> str:
    """The content, and below it the hashtags that are missing in it."""
    tags = ["#" + tag.strip().lstrip("#") for tag in hashtags if tag.strip().lstrip("#")]
    present = {word.rstrip(".,;:!?").casefold() for word in content.split()}
    missing = [tag for tag in dict.fromkeys(tags) if tag.casefold() not in present]
    return "\n\n".join(part for part in (content.strip(), " ".join(missing)) if part)


def post_text(message: OutgoingMessage) -> str:
    """The whole text of a post as it is published."""
    return with_hashtags(message.text, message.payload.get("hashtags") or ())


def mastodon_characters(text: str) -> int:
    """How many characters Mastodon counts: every link is 23, whatever its length."""
    links = _LINK.findall(text)
    return len(text) - sum(map(len, links)) + _CHARACTERS_OF_A_LINK * len(links)
