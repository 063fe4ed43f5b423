"""DAGSTER_HOME inside DRIP_HOME: Dagster's configuration, its workspace file and its environment.
The processes are started by `up.py` and `supervisor.py`.
"""

from __future__ import annotations

from pathlib import Path

from drip_pipeline.db.dagster.storage import storage_url
from drip_pipeline.engine.replace_file import replace_file
from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import CHECKOUT, Settings

SHIPPED_CONFIGURATION = CHECKOUT / "deploy" / "dagster" / "dagster.yaml"
LOCATION_NAME = "drip_pipeline"

_WRITTEN_HERE = """\
# Written by `drip up` at every start from the configuration of this release. Put your own settings
# for Dagster into {own}: they are merged into it.
"""
_SHIPPED = "# Dagster's instance: storage, concurrency, cleanup."
"""How the shipped file begins, in every release."""
# Sections that name a class with its own configuration.
_WHOLE_SECTIONS = frozenset(
    {
        "storage", "compute_logs", "run_coordinator", "run_launcher", "scheduler",
        "local_artifact_storage", "run_storage", "event_log_storage", "schedule_storage", "secrets",
    }
)  # fmt: skip

_WORKSPACE = """\
# Rewritten by `drip up` at every start.
load_from:
  - grpc_server:
      host: 127.0.0.1
      port: {port}
      location_name: {location}
"""


def operators_configuration(settings: Settings) -> Path:
    """Return the path of the operator's part of Dagster's configuration; it may not exist."""
    return settings.home / "dagster.yaml"


def dagster_home(settings: Settings) -> Path:
    """Create Dagster's folder with its configuration, and return it.

    The configuration is that of this release, merged with the operator's file. A file in the folder
    that was not written here is the operator's, and is moved to where the operator's file belongs.
    Raises SettingsError if the operator's file is not a YAML mapping, or there are two.
    """
    folder = settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    path, own = folder / "dagster.yaml", operators_configuration(settings)
    shipped = SHIPPED_CONFIGURATION.read_text(encoding="utf-8")
    if path.exists() and _is_operators(path.read_text(encoding="utf-8")):
        if own.exists():
            raise SettingsError(
                "DRIP_HOME",
                f"has two of your files for Dagster, {path} and {own}",
                hint=f"Put what you need into {own}, and delete the other: `drip up` writes it.",
            )
        path.rename(own)
    replace_file(path, _WRITTEN_HERE.format(own=own) + merged_configuration(shipped, own))
    return folder


def merged_configuration(shipped: str, own: Path) -> str:
    """Return the shipped configuration, or its merge with the operator's file if there is one.

    Mappings are merged, and other values are replaced. Sections that name a class (storage,
    run_launcher …) are replaced as a whole. Limits by tag are added to the shipped ones.
    Raises SettingsError.
    """
    import yaml

    if not own.exists():
        return shipped
    try:
        override = yaml.safe_load(own.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(
            "DRIP_HOME", f"{own} is not YAML: {str(error).splitlines()[0]}"
        ) from None
    if not isinstance(override, dict):
        raise SettingsError("DRIP_HOME", f"{own} is not a YAML mapping, such as `concurrency: …`")
    merged = yaml.safe_load(shipped)
    for section, value in override.items():
        is_whole = section in _WHOLE_SECTIONS
        merged[section] = value if is_whole else _merge(merged.get(section), value)
    return yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)


def _merge(shipped: object, own: object) -> object:
    if isinstance(shipped, dict) and isinstance(own, dict):
        return {
            key: _merge(shipped[key], own[key]) if key in shipped and key in own
            else own.get(key, shipped.get(key))
            for key in {**shipped, **own}
        }  # fmt: skip
    if _is_limits(shipped) and _is_limits(own):
        assert isinstance(shipped, list)
        assert isinstance(own, list)
        named = {_limit(item) for item in own}
        return [*own, *(item for item in shipped if _limit(item) not in named)]
    return own


def _is_limits(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(i, dict) and "key" in i for i in value)


def _limit(item: dict[str, object]) -> tuple[str, str]:
    return str(item["key"]), repr(item.get("value"))


def _is_operators(text: str) -> bool:
    """Return whether `drip up` did not write the file: earlier releases copied the shipped one."""
    return not text.startswith((_WRITTEN_HERE.partition("{")[0], _SHIPPED))


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
