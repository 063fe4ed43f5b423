"""Take the files that emails attach: from the campaign file's folder or from an address.

The definition gets the hash, size and type of each content, so that a changed file is a changed
campaign; publishing stores the contents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from drip_pipeline.channels.http.client import HttpClient, HttpRequest
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import attachments as attachments_db
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.definition.problems import Problem
from drip_pipeline.domain.graph.attachments import MOST_BYTES, MOST_BYTES_OF_MAIL, Attachment
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.engine.transports.factory import guard_of
from drip_pipeline.errors import AddressForbidden
from drip_pipeline.settings import Settings

Fetch = Callable[[str], bytes]
"""Returns the content of an address. Raises ValueError with the reason."""
_SECONDS: Final = 30.0
_OK: Final = 200
_ANY_TYPE: Final = "application/octet-stream"


def with_attachments(
    definition: CampaignDefinition, folder: Path | None, fetch: Fetch
) -> CampaignDefinition:
    """Return a definition with what its attachments are now; what cannot be read is a problem.

    `folder` is that of the campaign file, None for standard input. The contents are in
    `attachment_contents`.
    """
    reading = _Reading(folder, fetch)
    steps = []
    for step in definition.steps:
        email = (step.channel_config or {}).get("email")
        entries = email.get("attachments") if isinstance(email, Mapping) else None
        if not isinstance(entries, (list, tuple)) or not entries:
            steps.append(step)
            continue
        taken = [reading.entry(entry, step.node_id) for entry in entries]
        config = {**(step.channel_config or {}), "email": {**(email or {}), "attachments": taken}}
        steps.append(step.model_copy(update={"channel_config": config}))
    if not reading.contents and not reading.problems:
        return definition
    return definition.model_copy(
        update={
            "steps": tuple(steps),
            "attachment_contents": reading.contents,
            "reading_problems": (*definition.reading_problems, *reading.problems),
        }
    )


def fetcher(settings: Settings) -> Fetch:
    """Return a function that fetches addresses, guarded as those of webhooks are."""

    def fetch(url: str) -> bytes:
        guard = guard_of(settings)
        try:
            guard.check_url(url)
        except AddressForbidden as error:
            raise ValueError(f"cannot be fetched: {error}") from None
        client = HttpClient(guard, keeps_connections=False, max_answer_bytes=MOST_BYTES + 1)
        try:
            (answer,) = client.call([HttpRequest(method="GET", url=url, timeout_seconds=_SECONDS)])
        finally:
            client.close()
        if answer.failure is not None or answer.status != _OK:
            raise ValueError(f"cannot be fetched: {answer.error or f'status {answer.status}'}")
        return answer.body

    return fetch


def attachment_problems(
    connection: Connection,
    graph: CampaignGraph,
    contents: Mapping[str, bytes],
    workspace_id: UUID,
) -> list[Problem]:
    """Return the problems of attachments whose content is neither given nor stored."""
    named = {
        node.node_id: node.config.attachments
        for node in graph.nodes.values()
        if isinstance(node.config, EmailConfig) and node.config.attachments
    }
    if not named:
        return []
    digests = {each.sha256 for of_node in named.values() for each in of_node if each.sha256}
    available = set(contents) | attachments_db.stored(connection, workspace_id, digests)
    problems: list[Problem] = []
    for node_id, attachments in named.items():
        problems += [
            Problem(
                node_id,
                "attachment_missing",
                f"attachment {each.shown_name()!r} was not read, and the workspace has no such"
                " content; publish the campaign file from its folder",
            )
            for each in attachments
            if each.sha256 is None or each.sha256 not in available
        ]
        total = sum(each.size or 0 for each in attachments)
        if total > MOST_BYTES_OF_MAIL:
            message = f"the attachments have {total:,} bytes; {MOST_BYTES_OF_MAIL:,} fit"
            problems.append(Problem(node_id, "attachments_large", message))
    return problems


@dataclass(slots=True)
class _Reading:
    folder: Path | None
    fetch: Fetch
    contents: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    fetched: dict[str, bytes] = field(default_factory=dict)

    def entry(self, raw: Any, node_id: str | None) -> Any:
        """Return an attachment with what it is now."""
        try:
            attachment = Attachment.model_validate(raw)
        except ValidationError:
            return raw  # validation reports it
        try:
            content = self._content(attachment)
        except ValueError as error:
            message = f"attachment {attachment.file or attachment.shown_name()!r} {error}"
            self.problems.append(Problem(node_id, "attachment_unreadable", message))
            return raw
        if content is None:
            return raw
        digest = sha256(content).hexdigest()
        self.contents[digest] = content
        name = attachment.shown_name()
        media_type = attachment.media_type or guess_type(name)[0] or _ANY_TYPE
        changes = {"name": name, "sha256": digest, "size": len(content), "media_type": media_type}
        return attachment.model_copy(update=changes).model_dump(mode="json", exclude_none=True)

    def _content(self, attachment: Attachment) -> bytes | None:
        """Return the content; None if it is known by its hash alone. Raises ValueError."""
        if attachment.url is not None:
            content = self.fetched.get(attachment.url)
            if content is None:
                content = self.fetched[attachment.url] = self.fetch(attachment.url)
        elif attachment.file is not None:
            read = self._read(attachment.file, is_needed=attachment.sha256 is None)
            if read is None:
                return None
            content = read
        else:
            return None
        if not content:
            raise ValueError("is empty")
        if len(content) > MOST_BYTES:
            raise ValueError(f"is larger than {MOST_BYTES:,} bytes")
        return content

    def _read(self, name: str, *, is_needed: bool) -> bytes | None:
        path = None if self.folder is None else self.folder / name
        if path is None or not path.is_file():
            if is_needed:
                raise ValueError("does not exist beside the campaign file")
            return None
        if self.folder is not None and self.folder.resolve() not in path.resolve().parents:
            raise ValueError("is outside the campaign file's folder")
        try:
            with path.open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
