"""The parts of messages that are the same for all contacts of a node: headers and attachments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drip_pipeline.channels.protocol import NOTHING, MailAttachment
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.errors import TemplateError

_ANY_TYPE: Final = "application/octet-stream"


def headers_of(config: object, language: str | None) -> Mapping[str, str]:
    """Return the headers of all messages of a node."""
    headers: dict[str, str] = {}
    if isinstance(config, EmailConfig) and config.reply_to:
        headers["Reply-To"] = config.reply_to
    if language is not None:
        headers["Content-Language"] = language
    return headers or NOTHING


def attachments_of(config: object, version: PublishedVersion) -> tuple[MailAttachment, ...]:
    """Return the attachments of all messages of a node. Raises TemplateError for a missing one.

    One without a hash was never read, as in the preview of a file; publishing refuses it.
    """
    if not isinstance(config, EmailConfig) or not config.attachments:
        return ()
    attachments = []
    for each in config.attachments:
        if each.sha256 is None:
            continue
        content = version.attachments.get(each.sha256)
        if content is None:
            raise TemplateError(f"the content of the attachment {each.shown_name()!r} is missing")
        attachments.append(MailAttachment(each.shown_name(), each.media_type or _ANY_TYPE, content))
    return tuple(attachments)
