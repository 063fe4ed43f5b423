"""Add tracking to the HTML of a message: a pixel for opens and redirected links for clicks.

Pure; the caller passes the URLs.
"""

from __future__ import annotations

import html as html_escapes
import re
from collections.abc import Callable, Collection
from typing import Final

LONGEST_URL: Final = 2_000
"""Longer URLs stay unchanged, because email clients truncate long links."""

# A start tag of an anchor, attribute values in quotes or not.
_ANCHOR: Final = re.compile(r"<a(?=\s)(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE)
_HREF: Final = re.compile(r"(\shref\s*=\s*)(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)


def with_tracked_links(
    html: str, tracked_url: Callable[[str], str], excluded: Collection[str] = ()
) -> str:
    """Replace the URL of every web link in the HTML by `tracked_url(URL)`.

    The URLs in `excluded` and links of other kinds (mailto, fragments, relative URLs) stay.
    """
    return map_links(html, tracked_url, excluded)


def map_links(html: str, changed: Callable[[str], str], excluded: Collection[str] = ()) -> str:
    """Replace the URL of every web link in the HTML by `changed(URL)`, as `with_tracked_links`."""

    def link(match: re.Match[str]) -> str:
        href = next(value for value in match.groups()[1:] if value is not None)
        url = html_escapes.unescape(href).strip()
        is_web = url.lower().startswith(("https://", "http://"))
        if not is_web or url in excluded or len(url) > LONGEST_URL or not url.isprintable():
            return match[0]
        return f'{match[1]}"{html_escapes.escape(changed(url))}"'

    return _ANCHOR.sub(lambda anchor: _HREF.sub(link, anchor[0], count=1), html)


def with_tracking_pixel(html: str, url: str) -> str:
    """Add an invisible image at the end of the HTML body."""
    pixel = (
        f'<img src="{html_escapes.escape(url)}" width="1" height="1" alt="" border="0" '
        'style="display:block;width:1px;height:1px;border:0">'
    )
    ends = list(_BODY_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + pixel + html[at:]
