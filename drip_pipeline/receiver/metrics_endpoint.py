"""Prometheus metrics, protected by a token: those of the engine, and the requests of this process
by endpoint and outcome. Without a token in the settings the endpoint answers 404.
"""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from drip_pipeline.channels.signatures.providers import check_token
from drip_pipeline.channels.signatures.verification import VerificationError
from drip_pipeline.db.standby import read_database
from drip_pipeline.engine.metrics.prometheus import MetricSample, prometheus_text, read_metrics
from drip_pipeline.receiver.endpoint_guard import Call, EndpointResponse, plain_response
from drip_pipeline.receiver.services import Services

_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class MetricsEndpoint:
    """The endpoint /metrics."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = read_database(services.settings) or services.database
        self._token = services.settings.metrics_token

    async def __call__(self, call: Call) -> EndpointResponse:
        """Return all metrics in Prometheus's text format."""
        if self._token is None:
            return plain_response(404, "Not configured.", "not_set_up")
        try:
            check_token([self._token], call.request.headers)
        except VerificationError as error:
            return plain_response(401, "Not authorized.", error.reason)
        samples = await run_in_threadpool(read_metrics, self._database, now=self._services.now())
        text = prometheus_text([*samples, *self._requests()])
        return EndpointResponse(Response(text, media_type=_TYPE), "ok")

    def _requests(self) -> list[MetricSample]:
        help = "Requests to this process by outcome, since its start."
        return [
            MetricSample("drip_requests", help, count, {"endpoint": endpoint, "outcome": outcome})
            for (endpoint, outcome), count in sorted(self._services.counts.totals().items())
        ]
