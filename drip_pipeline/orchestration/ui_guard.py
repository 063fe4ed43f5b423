"""Protect Dagster's pages from requests that other web pages make a browser send.

Dagster has no authentication, and runs GraphQL mutations from GET requests and from any origin: an
image in any web page could start runs or stop the sending. The guard is an ASGI application
around Dagster's own. It needs no session: a browser names the page that sends a request in the
Origin header, and cannot send JSON to another origin without asking first.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
GRAPHQL: Final = "/graphql"
_WEBSOCKET_REFUSED: Final = 1008  # policy violation (RFC 6455)


class UiGuard:
    """Pass on requests of Dagster's own pages, and of tools; refuse those of other pages.

    `hosts`: the names in the Host header under which the pages are known, without port; None for
    any, where a proxy checks them. They must be checked because a foreign name can be made to
    resolve to this machine, and its page would then have the same origin.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None = LOOPBACK_NAMES) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request or websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _WEBSOCKET_REFUSED})
        else:
            status, reason = refusal
            await PlainTextResponse(f"{reason}\n", status)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason of a refusal, None for a request that is passed on."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_known(hosts[0]):
            return 403, "This server is not known under that host name."
        if scope["type"] == "websocket":
            # Browsers name the origin of every websocket, and it is no subject of their checks.
            is_own = len(origins) == 1 and _is_own(origins[0], hosts[0])
            return None if is_own else (403, "The websocket was opened by another page.")
        if scope["method"] in ("GET", "HEAD"):
            is_graphql = scope["path"].rstrip("/").endswith(GRAPHQL)
            # Dagster answers a request for HTML with its query editor and runs nothing.
            if is_graphql and "text/html" not in headers.get("accept", ""):
                return 405, "GraphQL requests must use POST."
            return None
        if any(not _is_own(origin, hosts[0]) for origin in origins) or len(origins) > 1:
            return 403, "The request was sent by another page."
        if _media_type(headers.get("content-type", "")) != "application/json":
            # Without this check old browsers could send forms, whose origin they do not name.
            return 415, "The request's content type must be application/json."
        return None

    def _is_known(self, host: str) -> bool:
        if self._hosts is None:
            return True
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, ""
        return name.lower() in self._hosts and (not port or port.isdigit())


def _is_own(origin: str, host: str) -> bool:
    """Return whether the origin is that of a page served under this host and port."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
