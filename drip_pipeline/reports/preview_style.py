"""The style sheet and the script of preview pages."""

from __future__ import annotations

PREVIEW_STYLE = """
main{max-width:1240px}
header.top{display:flex;flex-wrap:wrap;gap:4px 24px;align-items:baseline;margin-bottom:14px}
header.top h1{margin:0}
.chips{display:flex;flex-wrap:wrap;gap:6px;margin:0}
.chip{display:inline-block;border-radius:999px;padding:1px 10px;font-size:.82rem;
background:#e8edf2;color:#33414f;white-space:nowrap}
.chip.ok{background:#dff1e7;color:#14613b}.chip.warn{background:#fdf0cf;color:#7a5200}
.chip.bad{background:#fadedb;color:#8e1d16}
.layout{display:grid;gap:16px;grid-template-columns:minmax(0,1fr)}
nav{position:sticky;top:0;z-index:2;background:var(--ground);padding:8px 0;display:grid;gap:8px;
grid-template-columns:minmax(0,1fr) minmax(0,1fr)}
nav label{display:block;font-size:.78rem;color:var(--faint);min-width:0}
nav select{width:100%;font:inherit;padding:8px;border:1px solid var(--rule);border-radius:8px;
background:var(--paper);color:var(--ink)}
nav ol{display:none}
.m{display:none;background:none;border:0;padding:0;margin:0}.m.on{display:block}
.card{background:var(--paper);border:1px solid var(--rule);border-radius:10px;padding:14px 16px;
margin:0 0 14px}
.card h3{font-size:.95rem;margin:0 0 8px}
.inbox{display:flex;gap:12px;align-items:center}
.avatar{flex:none;width:40px;height:40px;border-radius:50%;background:#0067a5;color:#fff;
display:grid;place-items:center;font-weight:600;font-size:1.1rem}
.inbox div{min-width:0}
.inbox p{margin:0;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.inbox .from{font-size:.85rem;color:var(--faint)}
.inbox .subject{font-weight:600}
.inbox .pre{color:var(--faint);font-size:.92rem}
.tabs{display:flex;flex-wrap:wrap;gap:4px;margin:0 0 10px}
.tabs button{font:inherit;font-size:.9rem;border:1px solid var(--rule);background:var(--paper);
color:var(--ink);border-radius:8px;padding:6px 12px;cursor:pointer;white-space:nowrap}
.tabs button[aria-selected=true]{background:#0067a5;border-color:#0067a5;color:#fff}
.tabs button:focus-visible,nav select:focus-visible,nav li:focus-visible{outline:3px solid #7db8dd;
outline-offset:1px}
.stage{background:#e4e9ee;border:1px solid var(--rule);border-radius:10px;padding:12px;
margin:0 0 14px}
.stage iframe{display:block;width:100%;height:560px;border:0;background:#fff;border-radius:6px;
margin:0 auto;box-shadow:0 1px 3px #0002}
.stage.phone iframe{width:375px;max-width:100%;height:640px;border-radius:18px;
box-shadow:0 0 0 8px #1d2733}
.stage.phone{padding:20px 12px}
@media(max-width:600px){.stage.phone{padding:8px}.stage.phone iframe{box-shadow:none;width:100%}}
.stage pre,.bubble{background:#fff;border-radius:6px;padding:16px;margin:0;white-space:pre-wrap;
overflow-wrap:anywhere;font:14px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.bubble{font:15px/1.4 system-ui,sans-serif;background:#dff1e7;border-radius:16px 16px 16px 4px;
max-width:340px}
.pane{display:none}.pane.on{display:block}
.warn li{margin:.35em 0}.warn code,.list code{font-size:.82em;color:#7a5200}
.warn{background:#fffaf0;border-color:#ecd9a6}
.fine{background:#f3faf6;border-color:#bfe0cd;color:#14613b}
.grid{width:100%;border-collapse:collapse;font-size:.88rem}
.grid th,.grid td{text-align:left;white-space:normal;overflow-wrap:anywhere;vertical-align:top;
padding:5px 8px}
.grid th{color:var(--faint);font-weight:400;width:11em}
.grid td small{display:block;white-space:normal;margin:0;font-size:.8rem;
overflow-wrap:anywhere}
.facts{display:flex;flex-wrap:wrap;gap:6px;margin:12px 0 0}
p.facts{margin-top:12px}
@media(min-width:900px){
.layout{grid-template-columns:290px minmax(0,1fr)}
nav{position:static;display:block;padding:0}
nav label{display:none}
nav h2{font-size:.8rem;color:var(--faint);margin:0 0 6px;font-weight:600}
nav ol{display:block;list-style:none;margin:0 0 18px;padding:0;background:var(--paper);
border:1px solid var(--rule);border-radius:10px;overflow:hidden}
nav li{margin:0;padding:8px 12px;cursor:pointer;border-left:3px solid transparent;font-size:.92rem;
line-height:1.35;overflow-wrap:anywhere}
nav li+li{margin:0;border-top:1px solid var(--rule)}
nav li.on{border-left-color:#0067a5;background:#eef5fa}
nav li small{display:block;white-space:normal;font-size:.78rem;margin:0}
.two{display:grid;grid-template-columns:1fr 1fr;gap:14px}.two .card{margin-bottom:14px}
}
@media(max-width:899px){nav h2{display:none}header.top h1{font-size:1.3rem}}
@media(max-width:600px){.grid th{display:block;width:auto;padding-bottom:0;border:0}
.grid td{display:block;padding-top:0}
.stage{padding:4px}.tabs button{padding:6px 10px}}
@media print{nav{display:none}.m{display:block;break-after:page}.layout{display:block}}
"""

PREVIEW_SCRIPT = """
(function(){
var node=document.getElementById('node'),person=document.getElementById('person'),view=
 innerWidth<600?'phone':'mail';
function all(q,f){Array.prototype.forEach.call(document.querySelectorAll(q),f)}
function show(){
 all('.m',function(s){s.classList.toggle('on',
  s.dataset.node===node.value&&s.dataset.person===person.value)});
 all('nav li',function(l){var on=l.dataset.node?l.dataset.node===node.value:
  l.dataset.person===person.value;l.classList.toggle('on',on);
  l.setAttribute('aria-current',on?'true':'false')});
 var m=document.querySelector('.m.on');if(!m)return;
 var names=[];m.querySelectorAll('.tabs button').forEach(function(b){names.push(b.dataset.view)});
 var now=names.indexOf(view)<0?names[0]:view;
 m.querySelectorAll('.tabs button').forEach(function(b){
  b.setAttribute('aria-selected',b.dataset.view===now?'true':'false')});
 m.querySelectorAll('.pane').forEach(function(p){
  p.classList.toggle('on',p.dataset.views.split(' ').indexOf(now)>=0)});
 m.querySelectorAll('.stage').forEach(function(p){p.classList.toggle('phone',now==='phone')});
 m.querySelectorAll('iframe[data-src]').forEach(function(f){
  if(!f.getAttribute('src'))f.setAttribute('src',f.dataset.src)});
}
node.onchange=person.onchange=show;
all('nav li',function(l){l.onclick=function(){
 if(l.dataset.node)node.value=l.dataset.node;else person.value=l.dataset.person;show()};
 l.onkeydown=function(e){if(e.key==='Enter'||e.key===' '){e.preventDefault();l.onclick()}}});
all('.tabs button',function(b){b.onclick=function(){view=b.dataset.view;show()}});
show();
})();
"""
