"""Failures as the run page shows them: one sentence, which campaign, node and how many people, and
what to do. Which failures are worth repeating is said here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg

from drip_pipeline.engine.execution.batch_log import RunContext, loggable_message
from drip_pipeline.engine.runner.run_summary import failed_batch_nodes
from drip_pipeline.errors import (
    Conflict,
    DatabaseUnavailable,
    DripError,
    StatementCancelled,
)
from drip_pipeline.orchestration.metadata.common import table
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.redaction import redact

RETRY_POLICY: Final = dg.RetryPolicy(
    max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
# Anything else fails the same way when it is repeated at once.
_PASSING: Final = (Conflict, DatabaseUnavailable, StatementCancelled)


def run_context(context: dg.OpExecutionContext) -> RunContext:
    """What the ledger keeps of the run and step."""
    return RunContext(context.run_id, context.get_step_execution_context().step.key)


@contextmanager
def translate_batch_errors(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock, what: str
) -> Iterator[None]:
    """Turn what goes wrong inside into a `Failure` that says where; `what` begins its sentence."""
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        raise failure(what, error, _places(context, engine, clock)) from error


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """The same for what is no batch: the error's own sentence and what to do about it."""
    try:
        yield
    except DripError as error:
        raise failure(what, error) from error


def failure(what: str, error: Exception, places: Sequence[dict[str, Any]] = ()) -> dg.Failure:
    """The failure of `what`. `places` are those of `failed_batch_nodes`. Only
    errors that may pass by themselves are retried.
    """
    cause = redact(loggable_message(error))
    metadata: dict[str, Any] = {"cause": cause}
    if isinstance(error, DripError) and error.hint:
        metadata["what_to_do"] = error.hint
    where = ""
    if places:
        most, size = places[0], places[0]["size"]
        where = f" over {size:,} people, {most['people']:,} of them at {_named(most)}"
        shown = [{key: place[key] for key in _PLACE} for place in places]
        metadata |= {
            "campaign": most["campaign"],
            "node": most["node"],
            "people": size,
            "batch": str(most["batch_id"]),
            "where": table(shown),
            "state_of_people": "Nothing of this batch was written: they are still due. Re-execute "
            "from failure, or leave it to the next run.",
        }
    return dg.Failure(
        description=f"{what} failed{where}: {cause}",
        metadata=metadata,
        allow_retries=_may_pass(error),
    )


def _may_pass(error: Exception) -> bool:
    # "User request" is a person who canceled the statement, or Dagster ending the run: to begin
    # again at once would be against both.
    return isinstance(error, _PASSING) and "user request" not in str(error)


_PLACE: Final = ("campaign", "version", "node", "people")


def _named(place: dict[str, Any]) -> str:
    return f"node {place['node']!r} of {place['campaign']!r} (version {place['version']})"


def _places(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> list[dict[str, Any]]:
    step_key = run_context(context).step_key or ""
    try:
        return failed_batch_nodes(
            engine.engine, context.run_id, step_key, began_at=clock.began_at()
        )
    except DripError:
        # The database itself may be what failed; then its error is all there is to tell.
        return []
