"""DAGSTER_HOME under DRIP_HOME: Dagster's configuration, how its processes find the code, and the
environment that they need. Starting them is the business of `up.py` and `supervisor.py`.
"""

from __future__ import annotations

from pathlib import Path

from drip_pipeline.db.dagster.storage import storage_url
from drip_pipeline.settings import CHECKOUT, Settings

SHIPPED_CONFIGURATION = CHECKOUT / "deploy" / "dagster" / "dagster.yaml"
LOCATION_NAME = "drip_pipeline"

_WORKSPACE = """\
# Written anew by `drip up` at every start.
load_from:
  - grpc_server:
      host: 127.0.0.1
      port: {port}
      location_name: {location}
"""


def dagster_home(settings: Settings) -> Path:
    """Dagster's folder, made if need be, with the configuration that this release ships."""
    folder = settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    text = SHIPPED_CONFIGURATION.read_text(encoding="utf-8")
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")
    return folder


def dagster_environment(settings: Settings, engine_url: str) -> dict[str, str]:
    """The variables that Dagster's processes, and Dagster in this process, need. The storage's
    database is made if it is missing. DAGSTER_PG_URL holds a password: never log it.
    """
    return {
        "DAGSTER_HOME": str(dagster_home(settings)),
        "DAGSTER_PG_URL": storage_url(settings, engine_url),
    }


def write_workspace(home: Path, code_server_port: int) -> Path:
    """The file by which webserver and daemon find the code server."""
    path = home / "workspace.yaml"
    text = _WORKSPACE.format(port=code_server_port, location=LOCATION_NAME)
    path.write_text(text, encoding="utf-8")
    return path
