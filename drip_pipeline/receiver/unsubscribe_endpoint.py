"""Endpoint of the unsubscribe link: GET shows a page, because scanners follow links; POST decides,
sent by the page's buttons or by a mail program (RFC 8058).

In a workspace with topics the page lists them, to be left and joined one by one.
"""

from __future__ import annotations

from urllib.parse import parse_qs
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.identity import is_test_message
from drip_pipeline.domain.templates.signed_tokens import Purpose, verify
from drip_pipeline.engine.events.preferences import (
    choose_topics,
    leave,
    preferences,
    subscribe_again,
)
from drip_pipeline.engine.events.unsubscribe import unsubscribe
from drip_pipeline.receiver import pages, preference_pages
from drip_pipeline.receiver.endpoint_guard import Call, EndpointResponse
from drip_pipeline.receiver.preference_pages import ALL, SAVE
from drip_pipeline.receiver.services import Services

_MOST_FIELDS = 1_000


class UnsubscribeEndpoint:
    """The endpoint of unsubscribe links."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._key = services.settings.signing_key().reveal()
        self._sender = pages.sender_name(services.settings.mail_from)

    async def __call__(self, call: Call) -> EndpointResponse:
        """Show the page, or store what the recipient decides."""
        link = verify(self._key, Purpose.UNSUBSCRIBE, call.param("token"))
        if link is None:
            return EndpointResponse(pages.unknown_link(400), "unknown")
        if is_test_message(link.delivery_id):
            return EndpointResponse(pages.test_link(), "test")
        if call.request.method == "POST":
            return await run_in_threadpool(self._decide, link.delivery_id, _fields(call.body))
        return await run_in_threadpool(self._show, link.delivery_id)

    @property
    def _database(self) -> Database:
        return self._services.database

    def _show(self, delivery_id: UUID) -> EndpointResponse:
        return self._page(delivery_id, None, "shown")

    def _decide(self, delivery_id: UUID, fields: dict[str, list[str]]) -> EndpointResponse:
        now = self._services.now()
        match fields.get("action", [""])[0]:
            case preference_pages.SAVE:
                chosen = frozenset(fields.get("topic", ()))
                is_done = choose_topics(self._database, delivery_id, chosen, now=now)
                return self._page(delivery_id, SAVE if is_done else None, "chosen")
            case preference_pages.AGAIN:
                subscribe_again(self._database, delivery_id, now=now)
                return self._page(delivery_id, preference_pages.AGAIN, "resubscribed")
            case preference_pages.ALL:
                unsubscribe(self._database, delivery_id, now=now)
                return self._page(delivery_id, ALL, "unsubscribed")
            case _:
                leave(self._database, delivery_id, now=now)
                return self._page(delivery_id, preference_pages.LEFT, "unsubscribed")

    def _page(self, delivery_id: UUID, done: str | None, outcome: str) -> EndpointResponse:
        """Return the page of the recipient's decisions as they are now."""
        current = preferences(self._database, delivery_id)
        if current is None:
            return EndpointResponse(pages.unknown_link(404), "unknown")
        if current.is_unsubscribed:
            page = preference_pages.unsubscribed(self._sender, done)
        elif current.topics:
            page = preference_pages.topics(self._sender, current, done)
        else:
            page = preference_pages.ask(self._sender, done)
        return EndpointResponse(page, outcome)


def _fields(body: bytes) -> dict[str, list[str]]:
    """Return the fields of a form; none of a body that is no form, as an empty one of a button."""
    try:
        return parse_qs(body.decode("utf-8"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
