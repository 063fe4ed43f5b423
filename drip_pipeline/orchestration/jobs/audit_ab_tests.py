"""The job that says where A/B tests stood at a moment in the past. It looks and writes nothing:
what it found is on its run page.
"""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.ab_tests.results import results_as_of
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.metadata.ab_tests import audited_metadata
from drip_pipeline.orchestration.resources import EngineResource


class AuditConfig(dg.Config):
    """Which campaign, and when."""

    campaign: str = Field(description="The campaign's id or exact name.")
    as_of: str = Field(
        description="A moment as in 2026-03-02T09:00:00Z (UTC where it names no zone). What had "
        "happened by then counts, whenever it was reported."
    )

    def moment(self) -> datetime:
        """The moment. Raises ValueError for what is no time."""
        found = datetime.fromisoformat(self.as_of)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def evaluate_as_of(
    context: dg.OpExecutionContext, config: AuditConfig, engine: EngineResource
) -> None:
    """Count and judge the campaign's tests as of then."""
    with translate_errors("auditing"):
        found = results_as_of(engine.database, config.campaign, as_of=config.moment())
    context.add_output_metadata(audited_metadata(found, config.moment()))


@dg.job(
    description="Where the A/B tests of a campaign stood at a moment in the past, counted and "
    "judged anew by what had happened by then. Results, evaluations and decisions stay as they "
    "are.",
)
def audit_ab_tests() -> None:
    """One op."""
    evaluate_as_of()
