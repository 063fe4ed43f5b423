"""Turn errors into Dagster failures: one sentence, campaign, node and enrollments, and what to do.

Decides which failures are retried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import dagster as dg

from drip_pipeline.db.operations.overview import FailedBatchNode
from drip_pipeline.engine.execution.batch_log import RunContext, loggable_message
from drip_pipeline.engine.runner.run_summary import failed_batch_nodes
from drip_pipeline.errors import (
    Conflict,
    DatabaseUnavailable,
    DripError,
    StatementCancelled,
)
from drip_pipeline.orchestration.metadata.common import Metadata, table
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.redaction import redact

RETRY_POLICY: Final = dg.RetryPolicy(
    max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
# All other errors fail in the same way when they are retried at once.
_TRANSIENT: Final = (Conflict, DatabaseUnavailable, StatementCancelled)
_NODE: Final = ("campaign", "version", "node", "enrollments")


def run_context(context: dg.OpExecutionContext) -> RunContext:
    """Return the run and step for the batch log."""
    return RunContext(context.run_id, context.get_step_execution_context().step.key)


@contextmanager
def translate_batch_errors(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock, what: str
) -> Iterator[None]:
    """Raise a `Failure` with the nodes of the failed batch for any error; `what` failed."""
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        raise failure(what, error, _failed_nodes(context, engine, clock)) from error


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Raise a `Failure` with message and hint for a DripError; `what` failed.

    Without the error's own trace: the sentence says what is wrong, and a page of frames hides it.
    """
    try:
        yield
    except DripError as error:
        raise failure(what, error) from None


def failure(what: str, error: Exception, nodes: Sequence[FailedBatchNode] = ()) -> dg.Failure:
    """Build the failure of `what`. Only transient errors are retried.

    `nodes` are those of the failed batch, most enrollments first.
    """
    cause = redact(loggable_message(error))
    metadata: Metadata = {"cause": cause}
    if isinstance(error, DripError) and error.hint:
        metadata["what_to_do"] = error.hint
    where = ""
    if nodes:
        most = nodes[0]
        node = f"node {most.node!r} of {most.campaign!r} (version {most.version})"
        where = f" for {most.size:,} enrollments, {most.enrollments:,} of them at {node}"
        metadata |= {
            "campaign": str(most.campaign),
            "node": most.node,
            "enrollments": most.size,
            "batch": str(most.batch_id),
            "where": table(nodes, _NODE),
            "state_of_enrollments": "Nothing of this batch was committed: they are still due."
            " Re-execute from failure, or leave it to the next run.",
        }
    return dg.Failure(
        description=f"{what} failed{where}: {cause}",
        metadata=metadata,
        allow_retries=_is_transient(error),
    )


def _is_transient(error: Exception) -> bool:
    # "user request": an operator canceled the statement, or Dagster stops the run. A retry
    # would act against both.
    return isinstance(error, _TRANSIENT) and "user request" not in str(error)


def _failed_nodes(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> list[FailedBatchNode]:
    step_key = run_context(context).step_key or ""
    try:
        return failed_batch_nodes(
            engine.engine, context.run_id, step_key, began_at=clock.began_at()
        )
    except DripError:
        # The database may be what failed; then its error is all that is known.
        return []
