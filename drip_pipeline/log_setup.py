"""How logs look and what they never show: structlog on top of stdlib logging, to stderr, with
people's addresses, phone numbers and the passwords in URLs masked in every record, tracebacks
included. What is logged, the modules decide.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

_URL_PASSWORD = re.compile(r"(?P<user>[a-z][a-z0-9+.\-]*://[^\s:/@]*):[^\s/@]+@", re.IGNORECASE)
_EMAIL = re.compile(r"[\w.!#$%&'+=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?<![\w.])\+\d{8,15}(?!\w)")


def redact(text: str) -> str:
    """The text with passwords in URLs, email addresses and international phone numbers masked."""
    text = _URL_PASSWORD.sub(r"\g<user>:***@", text)
    text = _EMAIL.sub("<address>", text)
    return _PHONE.sub("<phone>", text)


def redact_event(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: mask every text in the event, however deep. It runs last before
    rendering.
    """
    for key, value in event.items():
        event[key] = _redacted(value)
    return event


def configure_logging(level: str = "info", *, stream: TextIO | None = None) -> None:
    """Send all logging of this process, structlog's and stdlib's, through the redaction to `stream`
    (stderr).
    """
    target = sys.stderr if stream is None else stream
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=True),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redact_event,
            structlog.dev.ConsoleRenderer(colors=target.isatty()),
        ],
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Its warnings repeat, with the connection's parameters, what the engine reports as an error of
    # its own.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    # It tells every plug-in it sets up whenever Dagster looks at its own tables.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact(str(value))
