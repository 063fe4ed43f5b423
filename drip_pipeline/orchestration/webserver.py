"""Run Dagster's webserver behind the guard: `python -m drip_pipeline.orchestration.webserver`.

Takes the options of `dagster-webserver`, and `--any-host` where a reverse proxy checks the Host
header.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from dagster_webserver import cli as dagster_cli
from starlette.types import ASGIApp

from drip_pipeline.orchestration.ui_guard import LOOPBACK_NAMES, UiGuard

ANY_HOST: Final = "--any-host"
_CREATE_APP: Final = "create_app_from_workspace_process_context"


def main(arguments: list[str]) -> None:
    """Serve the pages until a signal stops the process."""
    hosts = None if ANY_HOST in arguments else LOOPBACK_NAMES
    create_app = vars(dagster_cli)[_CREATE_APP]

    def create_guarded_app(*args: Any, **options: Any) -> ASGIApp:
        return UiGuard(create_app(*args, **options), hosts)

    # Dagster's command has no option for middleware; it looks this function up at run time.
    setattr(dagster_cli, _CREATE_APP, create_guarded_app)
    dagster_cli.cli(
        [argument for argument in arguments if argument != ANY_HOST],
        auto_envvar_prefix="DAGSTER_WEBSERVER",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
