"""Phone numbers in E.164 form, as SMS providers require.

The database function suppressed_phone normalizes the numbers of suppressions; both return the same
for the same number.
"""

from __future__ import annotations

import re
from typing import Final

_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_SEPARATORS: Final = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")


def e164(text: str) -> str | None:
    """Normalize a number to E.164: plus sign, country code, no separators; None if it is invalid.

    A leading `00` is read as the plus sign. A national number is invalid, because its country is
    unknown.
    """
    number = _SEPARATORS.sub("", text)
    if number.startswith("00"):
        number = f"+{number[2:]}"
    return number if number.isascii() and _E164.fullmatch(number) else None
