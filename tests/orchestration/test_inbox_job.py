"""The sensor of the inbox checks it, and its job imports the events."""

from __future__ import annotations

import dagster as dg
import time_machine

from drip_pipeline.definitions import build_definitions
from sensors.inbox_pending import inbox_pending
from tests.engine.events.incoming import LATER, mailed, value
from tests.engine.events.test_drain_inbox import came_in, opened
from tests.orchestration.test_sensors import tick


def test_received_payloads_start_a_run_that_imports_them(engine_database, instance):
    with time_machine.travel(LATER, tick=False):
        assert tick(inbox_pending, instance)[:2] == ([], "the inbox is empty")
        _, (sent,) = mailed(engine_database)
        came_in(engine_database, opened(1, sent), b"{")
        (request,), _, _ = tick(inbox_pending, instance)
        assert request.tags["drip/kind"] == "inbox"
        job = build_definitions().get_job_def("drain_inbox")
        done = job.execute_in_process(instance=instance, raise_on_error=True)
    assert value(engine_database, "SELECT open_count FROM campaign_message_outcomes") == 1
    (metadata,) = [
        event.step_output_data.metadata
        for event in done.all_events
        if event.event_type == dg.DagsterEventType.STEP_OUTPUT
    ]
    assert (metadata["payloads"].value, metadata["events"].value) == (2, 1)
    assert metadata["reject_reasons"].value == "1 × the payload is not JSON"
    with time_machine.travel(LATER, tick=False):
        assert tick(inbox_pending, instance)[:2] == ([], "the inbox is empty")
