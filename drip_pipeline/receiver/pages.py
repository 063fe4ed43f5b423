"""HTML pages of links in messages: self-contained, without external content or scripts."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Final

from starlette.responses import HTMLResponse

from drip_pipeline.channels.email.headers import split_mailbox

_STYLE: Final = """
:root { color-scheme: light dark; --back: #f4f5f7; --card: #fff; --text: #1c2330; --soft: #5b6472;
  --line: #e3e6eb; --act: #1f5fd6; --on-act: #fff; --good: #1a7f4b; --bad: #b4541a; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --card: #1d2127; --text: #e9ecf1;
  --soft: #a3acba; --line: #2d333c; --act: #6fa1ff; --on-act: #0c1626; --good: #5fd197;
  --bad: #f0a36b; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100svh; display: flex; align-items: center; justify-content: center;
  padding: 24px 16px; background: var(--back); color: var(--text);
  font: 17px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 460px; padding: 40px 36px; background: var(--card);
  border: 1px solid var(--line); border-radius: 16px;
  box-shadow: 0 8px 32px rgba(20, 30, 50, .07); }
.mark { width: 52px; height: 52px; margin: 0 0 22px; border-radius: 50%; display: flex;
  align-items: center; justify-content: center; border: 2px solid currentColor; }
.mark svg { width: 26px; height: 26px; }
.ask { color: var(--act); } .done { color: var(--good); } .sorry { color: var(--bad); }
h1 { margin: 0 0 10px; font-size: 25px; line-height: 1.25; letter-spacing: -.01em;
  text-wrap: balance; }
p { margin: 0 0 14px; overflow-wrap: anywhere; text-wrap: pretty; }
p:last-child { margin-bottom: 0; }
.soft { color: var(--soft); font-size: 15px; }
form { margin: 26px 0 20px; }
button { width: 100%; padding: 14px 20px; border: 0; border-radius: 10px; background: var(--act);
  color: var(--on-act); font: inherit; font-weight: 600; cursor: pointer; }
button:hover { filter: brightness(1.07); }
button:focus-visible { outline: 3px solid var(--act); outline-offset: 3px; }
form + form { margin-top: -6px; }
form:last-child { margin-bottom: 0; }
.quiet { background: transparent; color: var(--act); border: 1px solid var(--line); }
.status { padding: 12px 16px; border-radius: 10px; border: 1px solid var(--line);
  border-left: 4px solid var(--good); }
fieldset { margin: 0 0 24px; padding: 0; border: 0; min-width: 0; }
legend { padding: 0; margin: 0 0 12px; overflow-wrap: anywhere; }
.topics { list-style: none; margin: 0; padding: 0; border-top: 1px solid var(--line); }
.topics li { position: relative; display: flex; gap: 14px; padding: 14px 0;
  border-bottom: 1px solid var(--line); }
.topics div { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.topics input { flex: none; width: 22px; height: 22px; margin: 2px 0 0; accent-color: var(--act);
  cursor: pointer; }
.topics input:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
.topics label { display: block; font-weight: 600; cursor: pointer; }
.topics label::after { content: ""; position: absolute; inset: 0; }
.topics input:disabled, .topics input:disabled + div label { cursor: not-allowed;
  color: var(--soft); }
.note { display: block; color: var(--soft); font-size: 15px; }
@media (max-width: 480px) { body { padding: 12px; } main { padding: 30px 24px; }
  h1 { font-size: 23px; } }
"""
_STYLE_HASH: Final = base64.b64encode(sha256(_STYLE.encode()).digest()).decode("ascii")
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_STROKE: Final = (
    'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" '
    'stroke-linejoin="round"'
)
_ICONS: Final = {
    "ask": '<rect x="3" y="5" width="18" height="14" rx="2"/><path d="m3 7 9 6 9-6"/>',
    "done": '<path d="m5 13 4.5 4.5L19 7"/>',
    "sorry": '<path d="M12 6v8"/><path d="M12 18h.01"/>',
}


def sender_name(mail_from: str) -> str:
    """Return the display name of the sender, or the domain of the address."""
    name, address = split_mailbox(mail_from)
    return name or address.rpartition("@")[2] or "us"


def unknown_link(status: int) -> HTMLResponse:
    """Return the page for an invalid or unknown link."""
    return page(
        "sorry",
        "This link does not work",
        "<p>It may have been cut off when it was copied, or the message it came from is no longer "
        'known.</p><p class="soft">To unsubscribe, please use the link in the latest message, or '
        "answer it and say so.</p>",
        status,
    )


def test_link() -> HTMLResponse:
    """Return the page for the unsubscribe and confirmation links of previews and test messages."""
    return page(
        "ask",
        "This was a test message",
        "<p>Here the recipient unsubscribes or confirms. The link of a test changes nothing.</p>",
    )


def page(mark: str, title: str, content: str, status: int = 200) -> HTMLResponse:
    """Return a page: its mark is ask, done or sorry; the content is HTML."""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>"
        f'<div class="mark {mark}" aria-hidden="true"><svg viewBox="0 0 24 24" {_STROKE}>'
        f"{_ICONS[mark]}</svg></div><h1>{title}</h1>{content}</main></body></html>"
    )
    return HTMLResponse(text, status, {"content-security-policy": _POLICY})
