"""Access to the environment beside the declared settings: secrets that channels name, and
variables for libraries.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings.kinds import Secret


def hand_to_libraries(variables: Mapping[str, str]) -> None:
    """Set variables in this process's environment, for a library without another way to receive
    them (Dagster)."""
    os.environ.update(variables)


def environment_secret(name: str, environ: Mapping[str, str] | None = None) -> Secret:
    """Return the secret in the variable that a channel's configuration names.

    Raises SettingsError when the variable is not set.
    """
    value = (os.environ if environ is None else environ).get(name, "")
    if not value:
        raise SettingsError(
            name, "is not set, but a channel's configuration needs it", hint=f"Set {name}."
        )
    return Secret(value)
