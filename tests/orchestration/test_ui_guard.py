"""Dagster's pages answer their own requests and refuse those of other web pages: real requests to
the real webserver, and the rules of the reverse proxy.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from drip_pipeline.settings import CHECKOUT

MUTATION = "mutation { setNuxSeen }"
GET_MUTATION = "/graphql?query=mutation%20%7B%20setNuxSeen%20%7D"
JSON = "application/json"


class Served(NamedTuple):
    """A running webserver; `dagster_home` is its folder."""

    port: int
    dagster_home: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


@contextmanager
def a_webserver(folder: Path, *options: str) -> Iterator[Served]:
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "drip_pipeline.orchestration.webserver"),
                *("--host", "127.0.0.1", "--port", str(port), "--empty-workspace", *options),
            ],
            cwd=CHECKOUT,
            env={**os.environ, "DAGSTER_HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1"},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                if request(port, "GET", "/server_info", {})[0] == 200:
                    break
            except OSError:
                pass
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield Served(port, folder)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with a_webserver(tmp_path_factory.mktemp("ui")) as running:
        yield running


def request(
    port: int, method: str, path: str, headers: Mapping[str, str], body: str = ""
) -> tuple[int, str]:
    """Status and text of the response; without a Host in `headers`, that of the pages."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": f"localhost:{port}", **headers}
        for name, value in sent.items():
            connection.putheader(name, value.replace("PORT", str(port)))
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() or None)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


OWN = "http://localhost:PORT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Content-Type": JSON, "Origin": OWN}, 200),
        ({"Content-Type": f"{JSON}; charset=utf-8", "Origin": OWN}, 200),
        ({"Content-Type": JSON, "Origin": "http://127.0.0.1:PORT", "Host": "127.0.0.1:PORT"}, 200),
        ({"Content-Type": JSON}, 200),  # a tool: browsers name the origin
        ({"Content-Type": JSON, "Origin": "https://evil.example"}, 403),
        ({"Content-Type": JSON, "Origin": "null"}, 403),
        ({"Content-Type": JSON, "Origin": "http://localhost:1"}, 403),
        ({"Content-Type": JSON, "Origin": "http://localhost:PORT.evil.example"}, 403),
        ({"Content-Type": JSON, "Origin": "http://localhost:PORT@evil.example"}, 403),
        ({"Content-Type": JSON, "Origin": "http://["}, 403),
        # A foreign name that resolves to this machine: origin and host agree.
        ({"Content-Type": JSON, "Origin": "http://evil.example", "Host": "evil.example"}, 403),
        ({"Content-Type": JSON, "Host": "localhost.evil.example:PORT"}, 403),
        # Content types that a form, or a script without permission, can send.
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "text/plain; x=application/json", "Origin": OWN}, 415),
        ({"Content-Type": "application/graphql"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
    ],
)  # fmt: skip
def test_only_the_pages_themselves_and_tools_may_run_mutations(served, headers, expected):
    body = json.dumps({"query": MUTATION})
    status, text = request(served.port, "POST", "/graphql", headers, body)
    assert status == expected, text
    if expected == 200:
        assert json.loads(text)["data"] == {"setNuxSeen": True}


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (GET_MUTATION, {"Accept": "image/avif,image/*,*/*;q=0.8"}, 405),
        (GET_MUTATION, {"Origin": OWN}, 405),
        (GET_MUTATION.replace("/graphql", "/graph%71l"), {}, 405),
        (GET_MUTATION, {"Host": "evil.example"}, 403),
        ("/graphql", {"Accept": "text/html"}, 200),
        (GET_MUTATION, {"Accept": "text/html"}, 200),
        ("/server_info", {}, 200),
        ("/server_info", {"Host": "[::1]:PORT"}, 200),
        ("/server_info", {"Host": "evil.example"}, 403),
        ("/runs", {"Host": "localhost"}, 200),
    ],
)
def test_nothing_is_run_by_a_get_request_and_pages_are_shown_to_known_names(
    served, path, headers, expected
):
    status, text = request(served.port, "GET", path, headers)
    assert status == expected, text
    assert '"setNuxSeen"' not in text


@pytest.mark.parametrize("path", ["/report_asset_materialization/a", "/report_asset_check/a"])
def test_other_endpoints_that_write_are_guarded_too(served, path):
    foreign = {"Content-Type": JSON, "Origin": "https://evil.example"}
    assert request(served.port, "POST", path, foreign, "{}")[0] == 403
    form = {"Content-Type": "text/plain", "Origin": OWN}
    assert request(served.port, "POST", path, form, "{}")[0] == 415


def test_a_websocket_is_opened_only_by_the_pages(served):
    address = f"ws://localhost:{served.port}/graphql"

    def opened(origin: str | None) -> str:
        with connect(address, origin=origin, subprotocols=["graphql-ws"]) as socket:  # type: ignore[arg-type, list-item]
            socket.send(json.dumps({"type": "connection_init"}))
            return str(json.loads(socket.recv(timeout=20))["type"])

    assert opened(f"http://localhost:{served.port}") == "connection_ack"
    for foreign in ("https://evil.example", "null", f"http://127.0.0.1:{served.port}", None):
        with pytest.raises(InvalidStatus, match="403"):
            opened(foreign)


@pytest.mark.timeout(180)
def test_viewers_change_nothing(tmp_path):
    launch = 'mutation { setConcurrencyLimit(concurrencyKey: "k", limit: 1) }'
    headers = {"Content-Type": JSON, "Origin": OWN}
    with a_webserver(tmp_path, "--read-only") as viewer:
        body = json.dumps({"query": launch})
        status, text = request(viewer.port, "POST", "/graphql", headers, body)
        assert "errors" in json.loads(text) or status >= 400, text
        query = json.dumps({"query": "{ permissions { permission value } }"})
        status, text = request(viewer.port, "POST", "/graphql", headers, query)
        assert status == 200
        assert {each["value"] for each in json.loads(text)["data"]["permissions"]} == {False}


# --- the reverse proxy ----------------------------------------------------------------------------


class ProxyRules:
    """The two maps of nginx.conf that decide, evaluated as nginx does: the first pattern counts."""

    def __init__(self) -> None:
        text = (CHECKOUT / "deploy" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
        self.uses = text.count("if ($is_refused)")
        self._maps = {
            name: [
                (re.compile(pattern, re.IGNORECASE if star else 0), value)
                for star, pattern, value in re.findall(r'"~(\*?)(.*)" ([01]);', body)
            ]
            for name, body in re.findall(r"map \S+ \$(is_\w+) \{(.*?)\n    \}", text, re.DOTALL)
        }

    def refuses(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        is_graphql = self._value("is_graphql", path, default="0")
        names = ("Upgrade", "Host", "Origin", "Content-Type")
        parts = [is_graphql, method, *(headers.get(name, "") for name in names)]
        return self._value("is_refused", "|".join(parts), default="1") == "1"

    def _value(self, name: str, text: str, *, default: str) -> str:
        return next((value for known, value in self._maps[name] if known.search(text)), default)


HOST = "dagster.example.com:8443"
PAGE = f"https://{HOST}"


@pytest.mark.parametrize(
    ("method", "path", "headers", "is_refused"),
    [
        ("GET", "/", {}, False),
        ("HEAD", "/runs", {}, False),
        ("GET", "/assets/graphql", {}, False),
        ("GET", "/graphql", {}, True),
        ("GET", "/view/graphql", {}, True),
        ("HEAD", "/graphql", {}, True),
        ("GET", "/graphql", {"Upgrade": "websocket", "Origin": PAGE}, False),
        ("GET", "/view/graphql", {"Upgrade": "websocket", "Origin": PAGE}, False),
        ("GET", "/graphql", {"Upgrade": "websocket", "Origin": "https://evil.example"}, True),
        ("GET", "/graphql", {"Upgrade": "websocket"}, True),
        ("GET", "/graphql", {"Upgrade": "h2c", "Origin": PAGE}, True),
        ("POST", "/graphql", {"Origin": PAGE, "Content-Type": JSON}, False),
        ("POST", "/graphql", {"Origin": PAGE, "Content-Type": f"{JSON};charset=utf-8"}, False),
        ("POST", "/graphql", {"Content-Type": JSON}, False),
        ("POST", "/graphql", {"Origin": "https://evil.example", "Content-Type": JSON}, True),
        ("POST", "/graphql", {"Origin": "null", "Content-Type": JSON}, True),
        ("POST", "/graphql", {"Origin": f"{PAGE}.evil.example", "Content-Type": JSON}, True),
        ("POST", "/graphql", {"Origin": f"http://{HOST}", "Content-Type": JSON}, True),
        ("POST", "/graphql", {"Origin": PAGE, "Content-Type": f"text/plain; x={JSON}"}, True),
        ("POST", "/graphql", {"Content-Type": "text/plain"}, True),
        ("POST", "/graphql", {"Content-Type": "application/jsonp"}, True),
        ("POST", "/report_asset_check/|b", {"Origin": "https://e.org", "Content-Type": JSON}, True),
        ("DELETE", "/x", {"Origin": "https://evil.example"}, True),
    ],
)  # fmt: skip
def test_the_proxy_has_the_same_rules(method, path, headers, is_refused):
    rules = ProxyRules()
    assert rules.uses == 2
    assert rules.refuses(method, path, {"Host": HOST, **headers}) is is_refused
