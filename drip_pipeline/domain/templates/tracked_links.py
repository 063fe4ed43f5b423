"""Putting links of our own into the HTML of a message: a picture that tells of its opening, and
links that lead on by way of us. Pure; what the links are is handed in.
"""

from __future__ import annotations

import html as html_escapes
import re
from collections.abc import Callable, Collection
from typing import Final

LONGEST_URL: Final = 2_000
"""Longer ones are left as they are: mail programs cut what is too long."""

# A start tag of an anchor, attribute values in quotes or not.
_ANCHOR: Final = re.compile(r"<a(?=\s)(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE)
_HREF: Final = re.compile(r"(\shref\s*=\s*)(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)


def with_tracked_links(
    html: str, leads_by: Callable[[str], str], keep: Collection[str] = ()
) -> str:
    """The HTML with every link to a web page replaced by `leads_by(its URL)`, but for those to
    `keep`. Links of other kinds (mailto, parts of the page, no full URL) stay.
    """

    def link(found: re.Match[str]) -> str:
        given = found[2] if found[2] is not None else found[3]
        url = html_escapes.unescape(given).strip()
        is_web = url.lower().startswith(("https://", "http://"))
        if not is_web or url in keep or len(url) > LONGEST_URL or not url.isprintable():
            return found[0]
        return f'{found[1]}"{html_escapes.escape(leads_by(url))}"'

    return _ANCHOR.sub(lambda anchor: _HREF.sub(link, anchor[0], count=1), html)


def with_tracking_pixel(html: str, url: str) -> str:
    """The HTML with a picture at its end that nobody sees."""
    picture = (
        f'<img src="{html_escapes.escape(url)}" width="1" height="1" alt="" border="0" '
        'style="display:block;width:1px;height:1px;border:0">'
    )
    ends = list(_BODY_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + picture + html[at:]
