"""A process that delivers at the rate its channel allows, for a while: two of them share one rate.

`python -m tests.engine.delivery.rate_worker DATABASE_URL SMTP_PORT SECONDS`
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from time import monotonic

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.runner.factory import engine_from
from drip_pipeline.engine.runner.tick import deliver_channel
from drip_pipeline.settings import Secret, Settings


def main(url: str, port: str, seconds: str) -> None:
    """Deliver email until the time is over."""
    settings = Settings(
        delivery="send",
        smtp_url=Secret(f"smtp://127.0.0.1:{port}"),
        mail_from="Acme <news@example.com>",
        secret_key=Secret("a key for tests"),
    )
    ends_at = monotonic() + float(seconds)
    with Database(url) as database:
        engine = engine_from(settings, database)
        while monotonic() < ends_at:
            deliver_channel(
                engine, engine.channels["email"], now=datetime.now(UTC), deadline=Deadline(ends_at)
            )
        engine.channels["email"].close()


if __name__ == "__main__":
    main(*sys.argv[1:])
