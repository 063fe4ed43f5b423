"""A server with Mastodon's API for posts: tokens, idempotency keys, schedules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.http_servers import Reply, Request


@dataclass
class MastodonLike:
    """`statuses` is what was published, each once however often it was posted with its key."""

    token: str
    statuses: list[dict[str, Any]] = field(default_factory=list)
    posts: int = 0
    _known: dict[str, Reply] = field(default_factory=dict)

    def answer(self, request: Request) -> Reply:
        """Publish, or tell who asks."""
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return Reply(401, {"error": "The access token is invalid"})
        if request.path == "/api/v1/accounts/verify_credentials":
            return Reply(200, {"id": "1", "username": "acme"})
        if (request.method, request.path) != ("POST", "/api/v1/statuses"):
            return Reply(404, {"error": "Record not found"})
        self.posts += 1
        key = request.headers["idempotency-key"]
        if key not in self._known:
            self.statuses.append(request.json)
            number = str(len(self.statuses))
            body: dict[str, Any] = {"id": number, "url": f"https://social.example.com/@a/{number}"}
            if "scheduled_at" in request.json:
                body = {"id": number, "scheduled_at": request.json["scheduled_at"]}
            self._known[key] = Reply(200, body)
        return self._known[key]
