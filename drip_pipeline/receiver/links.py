"""Endpoints of links in messages: the tracking pixel, and redirects of clicked links.

Signed tokens contain the message and the target URL, so that no link redirects to a URL that the
engine did not sign.
"""

from __future__ import annotations

import base64
from typing import Final
from uuid import uuid4

import orjson
from starlette.responses import RedirectResponse, Response

from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.domain.identity import is_test_message
from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, verify
from drip_pipeline.engine.events.payload_readers import LINKS
from drip_pipeline.receiver import pages
from drip_pipeline.receiver.appender import NotStored
from drip_pipeline.receiver.endpoint_guard import Call, EndpointResponse
from drip_pipeline.receiver.services import Services

_PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_NO_STORE: Final = {"cache-control": "no-store, private", "pragma": "no-cache"}
_LONGEST_AGENT: Final = 1_000
_PREFETCH_HEADERS: Final = ("purpose", "sec-purpose", "x-purpose", "x-moz")


class LinkEndpoints:
    """The endpoints of links in messages."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._key = services.settings.signing_key().reveal()

    async def opened(self, call: Call) -> EndpointResponse:
        """Return the tracking pixel, also for an invalid token, to avoid a broken image."""
        link = verify(self._key, Purpose.OPEN, call.param("token"))
        pixel = Response(_PIXEL, headers=_NO_STORE, media_type="image/gif")
        if link is None:
            pixel.status_code = 404
            return EndpointResponse(pixel, "unknown")
        return EndpointResponse(pixel, await self._store_event(call, "email_opened", link))

    async def clicked(self, call: Call) -> EndpointResponse:
        """Redirect to the target of the link."""
        link = verify(self._key, Purpose.CLICK, call.param("token"))
        if link is None or not (link.url or "").lower().startswith(("https://", "http://")):
            return EndpointResponse(pages.unknown_link(400), "unknown")
        outcome = await self._store_event(call, "email_clicked", link)
        # The redirect does not depend on whether the event was stored.
        return EndpointResponse(RedirectResponse(str(link.url), 302, _NO_STORE), outcome)

    async def _store_event(self, call: Call, event_type: str, link: SignedLink) -> str:
        """Append the event to the inbox. Return the outcome to count."""
        if call.request.method == "HEAD":
            return "looked_at"  # the recipient sees nothing of a HEAD request
        if is_test_message(link.delivery_id):
            return "test"
        now = self._services.now()
        event: dict[str, object] = {
            # Stored with the event, so that it counts once however often it is drained.
            "event_id": uuid4().hex,
            "event_type": event_type,
            "occurred_at": now.isoformat(),
            "message_id": str(link.delivery_id),
            "user_agent": call.request.headers.get("user-agent", "")[:_LONGEST_AGENT],
            "ip_address": call.client,
        }
        if link.url:
            event["url"] = link.url
        if _is_prefetch(call):
            event["data"] = {"machine": True, "prefetch": True}
        try:
            await self._services.appender.append(Arrival(LINKS, orjson.dumps(event), now))
        except NotStored:
            return "not_kept"
        return "accepted"


def _is_prefetch(call: Call) -> bool:
    """Return whether a program prefetches the link."""
    purposes = [call.request.headers.get(name, "").lower() for name in _PREFETCH_HEADERS]
    return any("prefetch" in purpose or "preview" in purpose for purpose in purposes)
