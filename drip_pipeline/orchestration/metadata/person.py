"""The explanation of a contact as metadata, without names, addresses and values of fields."""

from __future__ import annotations

from typing import Final

import dagster as dg

from drip_pipeline.engine.explanations.explanation import Explanation, Run
from drip_pipeline.orchestration.metadata.common import Metadata, table
from drip_pipeline.redaction import redact

MASKED: Final = "(masked)"
_ROWS: Final = 200


def explanation_metadata(shown: Explanation) -> Metadata:
    """Return the sentence, and tables of the runs, their paths, and their messages."""
    person = shown.person
    custom = person.custom_fields if isinstance(person.custom_fields, dict) else {}
    fields = {
        "email": person.email,
        "phone": person.phone,
        "name": person.name,
        "company": person.company,
        "job_title": person.job_title,
        **custom,
    }
    metadata: Metadata = {
        "answer": redact(shown.sentence),
        "next_at": shown.next_at.isoformat() if shown.next_at else "-",
        "contact": str(person.id),
        "fields": dg.MetadataValue.md(
            ", ".join(f"{name} {MASKED}" for name, value in fields.items() if value) or "*none*"
        ),
        "suppressions": table(
            {
                "channel": row.channel or "all",
                "reason": row.reason,
                "source": row.source,
                "since": row.created_at,
                "applies": row.applies,
            }
            for row in shown.suppressions
        ),
        "topics": table(
            {"topic": topic.name, "status": topic.status, "since": topic.changed_at}
            for topic in shown.topics
        ),
        "runs": table(map(_run, shown.runs)),
    }
    for run in shown.runs[:1]:
        metadata |= {
            "path_of_the_latest_run": table(
                (
                    {
                        "at": entry.at,
                        "step": entry.step,
                        "what": redact(entry.text),
                        "compared": ", ".join(f"{name} {MASKED}" for name in entry.compared),
                    }
                    for entry in run.path
                ),
                max_rows=_ROWS,
            ),
            "messages": table(
                {"sent_at": message.sent_at, "step": message.step, "result": message.result}
                for message in run.messages
            ),
            "not_sent": table(
                {
                    "at": unsent.at,
                    "step": unsent.step,
                    "what": unsent.what,
                    "rule": unsent.rule,
                    "until": unsent.until,
                }
                for unsent in run.not_sent
            ),
        }
    return metadata


def _run(run: Run) -> dict[str, object]:
    return {
        "campaign": run.campaign,
        "version": run.version,
        "run": run.number,
        "status": run.place.status,
        "what is next": redact(run.place.sentence),
    }
