"""Links in messages that somebody, or something, follows: the picture that tells of an opening, and
links that lead on to where they were made for. Tokens name the message and the way on; nobody
without the key makes one, so no link of ours leads anywhere else.
"""

from __future__ import annotations

import base64
from typing import Any, Final
from uuid import uuid4

import orjson
from starlette.responses import RedirectResponse, Response

from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, verify
from drip_pipeline.engine.events.payload_readers import LINKS
from drip_pipeline.receiver import pages
from drip_pipeline.receiver.appender import NotKept
from drip_pipeline.receiver.endpoint_guard import Call, EndpointResponse
from drip_pipeline.receiver.services import Services

_PICTURE: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_NO_STORE: Final = {"cache-control": "no-store, private", "pragma": "no-cache"}
_LONGEST_AGENT: Final = 1_000
_PREFETCH_HEADERS: Final = ("purpose", "sec-purpose", "x-purpose", "x-moz")


class LinkEndpoints:
    """Endpoints of the links in messages."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._key = services.settings.signing_key().reveal()

    async def opened(self, call: Call) -> EndpointResponse:
        """The picture. It is given whatever the token says: a broken one in a message looks bad."""
        link = verify(self._key, Purpose.OPEN, call.param("token"))
        picture = Response(_PICTURE, headers=_NO_STORE, media_type="image/gif")
        if link is None:
            picture.status_code = 404
            return EndpointResponse(picture, "unknown")
        return EndpointResponse(picture, await self._kept(call, "email_opened", link))

    async def clicked(self, call: Call) -> EndpointResponse:
        """On to where the link leads."""
        link = verify(self._key, Purpose.CLICK, call.param("token"))
        if link is None or not (link.url or "").startswith(("https://", "http://")):
            return EndpointResponse(pages.unknown_link(400), "unknown")
        outcome = await self._kept(call, "email_clicked", link)
        # Whatever becomes of the event, the person gets where they want to.
        return EndpointResponse(RedirectResponse(str(link.url), 302, _NO_STORE), outcome)

    async def _kept(self, call: Call, event_type: str, link: SignedLink) -> str:
        """Put the event into the inbox; the word under which the request is counted."""
        if call.request.method == "HEAD":
            return "looked_at"  # somebody asks whether it is there, and sees nothing of it
        now = self._services.now()
        event: dict[str, Any] = {
            # Made here and kept with the event: however often it is drained, it counts once.
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
        except NotKept:
            return "not_kept"
        return "accepted"


def _is_prefetch(call: Call) -> bool:
    """Whether a program fetches it in case somebody will want it."""
    plain_response = [call.request.headers.get(name, "").lower() for name in _PREFETCH_HEADERS]
    return any("prefetch" in each or "preview" in each for each in plain_response)
