"""Convert the columns `visit`, `conversion` and `spend` to an events file (NDJSON).

A visit is a click for customers who got an email, and a page view for the holdout. A conversion
has the amount spent as its value. Addresses are those of an import with --email-template
'customer{row}@example.com'.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

CAMPAIGN = "Hillstrom email test"
HELD_OUT = "No E-Mail"
VISIT_AFTER = timedelta(hours=20)
CONVERSION_AFTER = timedelta(hours=22)


def events(path: Path, sent_at: datetime) -> Iterator[dict[str, Any]]:
    """Yield one event per visit and per conversion of the two weeks after the mailing."""
    with path.open(encoding="utf-8", newline="") as file:
        for row, customer in enumerate(csv.DictReader(file), start=1):
            email = f"customer{row}@example.com"
            if customer["visit"] == "1":
                yield _visit(row, email, customer["segment"] == HELD_OUT, sent_at + VISIT_AFTER)
            if customer["conversion"] == "1":
                yield {
                    "event_id": f"conversion-{row}",
                    "event_type": "converted",
                    "occurred_at": (sent_at + CONVERSION_AFTER).isoformat(),
                    "email": email,
                    "campaign": CAMPAIGN,
                    "data": {"value": float(customer["spend"]), "currency": "USD"},
                }


def _visit(row: int, email: str, is_held_out: bool, at: datetime) -> dict[str, Any]:
    event = {"event_id": f"visit-{row}", "occurred_at": at.isoformat(), "email": email}
    if is_held_out:
        return event | {"event_type": "page_view"}
    return event | {
        "event_type": "email_clicked",
        "campaign": CAMPAIGN,
        "url": "https://www.example.com/",
    }


def main(source: str, target: str, sent_at: str) -> None:
    """Write the events of SOURCE to TARGET, for a mailing that went out at SENT_AT."""
    count = 0
    with Path(target).open("w", encoding="utf-8") as file:
        for event in events(Path(source), datetime.fromisoformat(sent_at)):
            file.write(json.dumps(event) + "\n")
            count += 1
    sys.stdout.write(f"{count:,} events written to {target}\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: make_events.py HILLSTROM_CSV EVENTS_NDJSON SENT_AT")
    main(*sys.argv[1:])
