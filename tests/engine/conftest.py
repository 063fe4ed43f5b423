"""Real servers on this machine for deliveries to go to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.settings import Secret, Settings
from tests.channels.conftest import http, smtp
from tests.engine.delivery.sending import Sender

__all__ = ["http", "sending", "smtp"]

Start = Callable[..., Sender]


@pytest.fixture
def sending(database: Database) -> Iterator[Start]:
    """Engines that send: `sending(smtp=script, allow=[script.host])`."""
    with ExitStack() as stack:

        def start(*, smtp: Any = None, allow: Any = (), **settings: Any) -> Sender:
            url = Secret(f"smtp://127.0.0.1:{smtp.port}") if smtp is not None else None
            values: dict[str, Any] = {
                "delivery": "send",
                "smtp_url": url,
                "mail_from": "Acme <news@example.com>",
                "public_url": "https://mail.example.com",
                "secret_key": Secret("a key for tests"),
                "webhook_allow": tuple(allow),
            }
            sender = Sender(database, Settings(**(values | settings)))
            stack.callback(sender.close)
            return sender

        yield start
