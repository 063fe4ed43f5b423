"""DAGSTER_HOME inside DRIP_HOME: Dagster's configuration, its workspace file and its environment.
The processes are started by `up.py` and `supervisor.py`.
"""

from __future__ import annotations

from pathlib import Path

from drip_pipeline.db.dagster.storage import storage_url
from drip_pipeline.settings import CHECKOUT, Settings

SHIPPED_CONFIGURATION = CHECKOUT / "deploy" / "dagster" / "dagster.yaml"
LOCATION_NAME = "drip_pipeline"

_WORKSPACE = """\
# Rewritten by `drip up` at every start.
load_from:
  - grpc_server:
      host: 127.0.0.1
      port: {port}
      location_name: {location}
"""


def dagster_home(settings: Settings) -> Path:
    """Create Dagster's folder with the configuration of this release, and return it."""
    folder = settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    text = SHIPPED_CONFIGURATION.read_text(encoding="utf-8")
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")
    return folder


def dagster_environment(settings: Settings, engine_url: str) -> dict[str, str]:
    """Return the environment variables of Dagster's processes; create its database if needed.

    DAGSTER_PG_URL contains a password and must not be logged.
    """
    return {
        "DAGSTER_HOME": str(dagster_home(settings)),
        "DAGSTER_PG_URL": storage_url(settings, engine_url),
    }


def write_workspace(home: Path, code_server_port: int) -> Path:
    """Write the file that tells the webserver and the daemon the code server's address."""
    path = home / "workspace.yaml"
    text = _WORKSPACE.format(port=code_server_port, location=LOCATION_NAME)
    path.write_text(text, encoding="utf-8")
    return path
