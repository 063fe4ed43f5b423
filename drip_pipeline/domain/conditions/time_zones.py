"""Time zones as people and programs write them: IANA names in any case, Windows names, offsets.

The only source of their rules is the package `tzdata`, which is pinned. The operating system and
PostgreSQL have rules of their own, of other dates, which differ in a dozen zones; `drip doctor`
names those of the database. Therefore no other module imports `zoneinfo`, and times of contacts are
not computed in SQL.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

WORKSPACE_ZONE: Final = "workspace_time_zone"
"""The attribute of a contact with the time zone of its workspace."""
_OFFSET: Final = re.compile(
    r"(?:UTC|GMT)?\s*(?:([+-])(\d{1,2})(?::?([0-5]\d))?)?|Z", re.IGNORECASE | re.ASCII
)
_FURTHEST: Final = timedelta(hours=14)

# Without a path, zoneinfo reads the package tzdata instead of the files of the operating system.
# Another library may have read a zone before.
zoneinfo.reset_tzpath([])
ZoneInfo.clear_cache()


def find_zone(name: object) -> tzinfo | None:
    """Return the time zone of a name or offset; None if it is neither."""
    return _zone_named(name) if isinstance(name, str) and name else None


def zone_name(of_contact: object, of_workspace: str | None) -> str | None:
    """Return the time zone of a contact, or that of its workspace if it has none or an unknown
    one."""
    if isinstance(of_contact, str) and find_zone(of_contact) is not None:
        return of_contact
    return of_workspace


def effective_zone(attributes: Mapping[str, object]) -> str | None:
    """Return the time zone of a contact, or that of its workspace if it has none or an unknown
    one."""
    of_workspace = attributes.get(WORKSPACE_ZONE)
    return zone_name(
        attributes.get("timezone"), of_workspace if isinstance(of_workspace, str) else None
    )


def zone_of(name: object) -> tzinfo:
    """Return the time zone of a name or offset; UTC for None and for an unknown name."""
    return find_zone(name) or UTC


def iana_name(name: str) -> str | None:
    """Return the IANA name of a name in any case, or of a Windows name; None for others."""
    key = re.sub(r"\s+", " ", name.strip()).casefold()
    return _iana_names().get(key.replace(" ", "_")) or _windows_names().get(key)


@lru_cache(maxsize=1024)
def _zone_named(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a valid key, a folder of zones
        pass
    text = name.strip()
    match = _OFFSET.fullmatch(text)
    if match is not None and text:
        hours, minutes = int(match[2] or 0), int(match[3] or 0)
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if match[1] == "-" else 1)
        return timezone(offset) if abs(offset) <= _FURTHEST else None
    iana = iana_name(text)
    return None if iana is None else ZoneInfo(iana)


@lru_cache(maxsize=1)
def _iana_names() -> dict[str, str]:
    return {name.casefold(): name for name in zoneinfo.available_timezones()}


@lru_cache(maxsize=1)
def _windows_names() -> dict[str, str]:
    # Imported here: most contacts have IANA names.
    from tzlocal.windows_tz import win_tz

    return {name.casefold(): iana for name, iana in win_tz.items()}
