"""Telephone numbers: E.164, as SMS providers want them. How a suppression spells one stands in the
database's function suppressed_phone; both give the same for the same number.
"""

from __future__ import annotations

import re
from typing import Final

_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_SEPARATORS: Final = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")


def e164(text: str) -> str | None:
    """The number with country code and plus sign, without separators; None when it is none.

    `00` in front stands for the plus sign. A national number is not guessed at: without the country
    it could be anybody's.
    """
    number = _SEPARATORS.sub("", text)
    if number.startswith("00"):
        number = f"+{number[2:]}"
    return number if number.isascii() and _E164.fullmatch(number) else None
