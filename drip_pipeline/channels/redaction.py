"""Taking people's data out of a provider's words before they are stored or logged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Final

from drip_pipeline.channels.protocol import MAX_ERROR_CHARACTERS

_ADDRESS: Final = re.compile(r"""[^\s<>"'(),;:\[\]]+@[^\s<>"'(),;:\[\]]+""")
# With its plus sign: without one, IP addresses and queue ids would go too.
_PHONE: Final = re.compile(r"(?<![\w+])\+\(?\d(?:[ ().-]{0,2}\d){7,14}(?!\w)")
_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f]+")
_SHORTEST_NAME: Final = 3
_LONGEST_READ: Final = 4 * MAX_ERROR_CHARACTERS
_SHORTEST_QUOTE: Final = 16
REDACTED: Final = "<address>"
MESSAGE: Final = "<message>"


def redacted(words: str, *known: str, texts: Iterable[str | None] = ()) -> str:
    """One line of at most 500 characters without email addresses, telephone numbers, the `known`
    texts, and whatever it quotes of the message's `texts`.

    Of a known address its local part is taken out too: servers write "user ada unknown".
    """
    line = _BLANKS.sub(" ", words[:_LONGEST_READ]).strip()
    for text in texts:
        if text:
            line = _without_quotes(line, _BLANKS.sub(" ", text))
    line = _PHONE.sub(REDACTED, _ADDRESS.sub(REDACTED, line))
    for text in known:
        for secret in (text, text.partition("@")[0]):
            if len(secret) >= _SHORTEST_NAME:
                pattern = rf"(?<!\w){re.escape(secret)}(?!\w)"
                line = re.sub(pattern, REDACTED, line, flags=re.IGNORECASE)
    return line if len(line) <= MAX_ERROR_CHARACTERS else line[: MAX_ERROR_CHARACTERS - 1] + "…"


def _without_quotes(line: str, text: str) -> str:
    """The line without stretches of `text` (at least 16 characters of it, or the whole of it)."""
    length = min(_SHORTEST_QUOTE, len(text.strip()))
    if length < _SHORTEST_NAME:
        return line
    quoted = [False] * len(line)
    for start in range(len(line) - length + 1):
        if line[start : start + length] in text:
            quoted[start : start + length] = [True] * length
    pieces = [
        MESSAGE if is_quote else "".join(line[place] for place, _ in places)
        for is_quote, places in groupby(enumerate(quoted), key=itemgetter(1))
    ]
    return "".join(pieces)
