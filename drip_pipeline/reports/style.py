"""The style sheet and the HTML frame of report pages: phone first, columns on a desktop, no colors
in print.
"""

from __future__ import annotations

from html import escape

STYLE = """
:root{color-scheme:light;--ink:#1d2733;--faint:#5b6875;--rule:#dfe4ea;--paper:#fff;--ground:#f4f6f8}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,'Segoe UI','Helvetica Neue',Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:20px 16px 40px}
article+article{margin-top:48px;border-top:2px solid var(--rule);padding-top:28px}
h1{font-size:1.6rem;line-height:1.2;margin:.1em 0 .6em;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:0 0 .5em}
h3{font-size:1rem;margin:0 0 .4em;overflow-wrap:anywhere}
.where{margin:0;color:var(--faint);overflow-wrap:anywhere}
section{background:var(--paper);border:1px solid var(--rule);border-radius:8px;padding:16px;
margin:0 0 16px}
.verdict{border-left:6px solid #7a8794}
.verdict.good{border-left-color:#1b7f4d}.verdict.bad{border-left-color:#b3261e}
.badge{margin:0;font-weight:600;color:var(--faint)}
.good .badge{color:#1b7f4d}.bad .badge{color:#b3261e}
.sentence{font-size:1.2rem;line-height:1.4;margin:.2em 0 .8em}
dl{margin:0;display:grid;gap:2px 20px}
dt{color:var(--faint);font-size:.875rem}dd{margin:0 0 .5em}
.warnings{background:#fff8e6;border-color:#e8cf8a}
ul{margin:0;padding-left:1.2em}li+li{margin-top:.4em}
.charts{columns:3 300px;column-gap:16px;background:none;border:0;padding:0;margin:0}
figure{margin:0 0 16px;background:var(--paper);border:1px solid var(--rule);border-radius:8px;
padding:14px;break-inside:avoid}
.charts figure{display:inline-block;width:100%;vertical-align:top}
figure svg{display:block;width:100%;height:auto}
figcaption{color:var(--faint);font-size:.85rem;margin-top:.4em}
.card p{margin:.2em 0}.card h3{font-size:1.15rem;margin:.1em 0}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:6px 8px;text-align:right;vertical-align:top;border-bottom:1px solid var(--rule)}
thead th{vertical-align:bottom}
th[scope=row]{text-align:left;font-weight:400;color:var(--faint)}
tbody tr:last-child>*{border-bottom:0}
small{color:var(--faint);font-weight:400;white-space:nowrap}
td small{margin-left:.5em}
thead small{display:block;margin:0;white-space:normal}
@media(max-width:600px){td small{display:block;margin:0}th,td{padding:5px 4px}
section{padding:14px 12px}
.stack thead{display:none}
.stack tr{display:block;padding:.4em 0;border-bottom:1px solid var(--rule)}
.stack tr:last-child{border:0}.stack th,.stack td{display:flex;justify-content:space-between;
border:0;padding:2px 0}.stack th[scope=row]{color:var(--ink);font-weight:600}
.stack td::before{content:attr(data-label);color:var(--faint);padding-right:1em}}
td{white-space:nowrap}.list td{text-align:left;white-space:normal}
a{color:#0067a5}
.note{color:var(--faint);font-size:.85rem;margin:.6em 0 0}
footer{color:var(--faint);font-size:.85rem}
@media(min-width:700px){dl{grid-template-columns:repeat(3,1fr)}dt{grid-row:1}dd{grid-row:2}}
@media print{body{background:#fff;font-size:10pt}main{max-width:none;padding:0}
section,figure{border-color:#bbb;break-inside:avoid}.charts{columns:2;break-inside:auto}
.wide{overflow:visible}article+article{break-before:page;border:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def html_page(title: str, body: str, *, style: str = "") -> str:
    """Return a self-contained page. `style` is added to the common style sheet."""
    html = (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body><main>"
        f"{body}</main></body></html>"
    )
    return html.replace(" %", "\N{NO-BREAK SPACE}%")  # no line break between a number and %
