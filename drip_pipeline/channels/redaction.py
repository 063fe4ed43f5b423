"""Taking people's data out of a provider's words before they are stored or logged."""

from __future__ import annotations

import re
from typing import Final

from drip_pipeline.channels.protocol import MAX_ERROR_CHARACTERS

_ADDRESS: Final = re.compile(r"""[^\s<>"'(),;:\[\]]+@[^\s<>"'(),;:\[\]]+""")
# With its plus sign: without one, IP addresses and queue ids would go too.
_PHONE: Final = re.compile(r"(?<![\w+])\+\(?\d(?:[ ().-]{0,2}\d){7,14}(?!\w)")
_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f]+")
_SHORTEST_NAME: Final = 3
_LONGEST_READ: Final = 4 * MAX_ERROR_CHARACTERS
REDACTED: Final = "<address>"


def redacted(words: str, *known: str) -> str:
    """One line of at most 500 characters without e-mail addresses, telephone numbers and the
    `known` texts.

    Of a known address its local part is taken out too: servers write "user ada unknown".
    """
    line = _BLANKS.sub(" ", words[:_LONGEST_READ]).strip()
    for text in known:
        for secret in (text, text.partition("@")[0]):
            if len(secret) >= _SHORTEST_NAME:
                pattern = rf"(?<!\w){re.escape(secret)}(?!\w)"
                line = re.sub(pattern, REDACTED, line, flags=re.IGNORECASE)
    line = _PHONE.sub(REDACTED, _ADDRESS.sub(REDACTED, line))
    return line if len(line) <= MAX_ERROR_CHARACTERS else line[: MAX_ERROR_CHARACTERS - 1] + "…"
