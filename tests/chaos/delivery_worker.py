"""A process that delivers until nothing is due; the chaos tests kill it.

`python -m tests.chaos.delivery_worker DATABASE_URL SMTP_PORT`
"""

from __future__ import annotations

import sys

from drip_pipeline.channels.email.smtp_channel import SmtpChannel
from drip_pipeline.channels.email.smtp_url import SmtpServer
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.runner.tick import Engine, tick
from tests.engine.factories import MESSAGES, NOW


def main(url: str, port: str) -> None:
    """Run ticks at NOW until nothing is due."""
    channel = SmtpChannel(SmtpServer("127.0.0.1", int(port), is_local=True), MESSAGES.mail_from)
    with Database(url) as database:
        tick(Engine(database, {"email": channel}, MESSAGES), now=NOW, until_idle=True)
    channel.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
