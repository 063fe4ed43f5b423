"""The text of a post: its content, with the hashtags that the content does not hold already."""

from __future__ import annotations

from collections.abc import Iterable

from drip_pipeline.channels.protocol import OutgoingMessage


def with_hashtags(content: str, hashtags: Iterable[str]) -> str:
    """The content, and below it the hashtags that are missing in it."""
    tags = ["#" + tag.strip().lstrip("#") for tag in hashtags if tag.strip().lstrip("#")]
    present = {word.rstrip(".,;:!?").casefold() for word in content.split()}
    missing = [tag for tag in dict.fromkeys(tags) if tag.casefold() not in present]
    return "\n\n".join(part for part in (content.strip(), " ".join(missing)) if part)


def post_text(message: OutgoingMessage) -> str:
    """The whole text of a post as it is published."""
    return with_hashtags(message.text, message.payload.get("hashtags") or ())
