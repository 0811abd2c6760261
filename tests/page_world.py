"""The page as tests see it: what it says and where, and what a browser makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

from serving import page, page_data, words
from serving.page import Tried, render
from serving.page_data import Decided
from serving.page_monitoring import Monitoring

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)",
    "</textarea></title></svg><script>alert(1)</script>",
    "{{7*7}} {% raw %}",
    "\u202egnp.exe\u2066 \u200fabc",
    "&lt;b&gt; &#60;",
)


class Reader(HTMLParser):
    """A page as its elements, and where every piece of text stands."""

    VOID = ("meta", "link", "input", "br", "img", "line", "circle", "rect")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> ends nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    @property
    def text(self) -> str:
        """All of it as one line."""
        return " ".join(" ".join(text for _, text in self.texts).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def html_of(**changes: Any) -> str:
    """The page over a service that is well and has answered nothing yet, but for the changes."""
    view: dict[str, Any] = {
        "now": NOW,
        "installed": "0.1.0",
        "health": SimpleNamespace(status="ok"),
        "problems": {},
        "platforms": [("tiktok", "TikTok")],
        "tried": Tried(page.typed_into({}, NOW)),
        "heat_map": None,
        "cards": [],
        "traffic": page_data.Traffic(*["0"] * 7),
        "monitoring": Monitoring([], [], [], None, NOW),
        "log": SimpleNamespace(written=0, waiting=0, dropped=0),
        "decisions": [],
        "decided": Decided(at=NOW),
    }
    return render(**{**view, **changes})


def shown(**changes: Any) -> Reader:
    """The same page, read."""
    reader = Reader(html_of(**changes))
    assert reader.open == []
    return reader


def plain(text: str) -> str:
    return text.replace(words.THIN, " ").replace(words.MINUS, "-")


class Tab:
    """A page of a browser, and what it complained of."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def focused(self) -> str:
        """The name of the field that has the focus, or the words of what else has it."""
        name: str = self.page.evaluate("document.activeElement.name || document.activeElement.textContent")
        return name

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


BROKEN = """
() => [...document.querySelectorAll('label, button, h2 > :not(bdi), dt, tbody th bdi, .kind')].filter(e => {
  const words = document.createRange();
  words.selectNodeContents(e);
  const lines = new Set([...words.getClientRects()].map(line => Math.round(line.top)));
  return lines.size > e.textContent.trim().split(/\\s+/).length;
}).map(e => e.textContent)
"""
"""Words of our own that are broken within."""


LUMINANCE = """
() => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const found = parts(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest('.unseen, title, desc, datalist, option')) continue;
    const style = getComputedStyle(e), ink = parts(e.closest('svg') ? style.fill : style.color);
    const [high, low] = [light(ink), light(behind(e))].sort((a, b) => b - a);
    found.push([Math.round(100 * (high + 0.05) / (low + 0.05)) / 100, walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}
"""


AUDIT = """
() => {
  const all = selector => [...document.querySelectorAll(selector)], found = [];
  const fault = (what, e) => found.push(what + ': ' + e.outerHTML.slice(0, 100));
  const ids = all('[id]').map(e => e.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach(id => found.push('two elements are called ' + id));
  for (const name of ['aria-labelledby', 'aria-describedby'])
    all(`[${name}]`).forEach(e => e.getAttribute(name).split(' ').forEach(
      id => document.getElementById(id)?.textContent.trim() || fault(name + ' names nothing', e)));
  all('input, select, textarea').forEach(e => e.labels.length === 1 && e.labels[0].textContent.trim()
    || fault('no label', e));
  all('a, button').forEach(e => e.textContent.trim() || fault('no name', e));
  all('a[href^="#"]').forEach(e => document.getElementById(e.hash.slice(1)) || fault('leads nowhere', e));
  all('svg').forEach(e => e.getAttribute('aria-hidden') === 'true'
    || e.getAttribute('role') === 'img' && e.querySelector('title') && e.querySelector('desc') || fault('no words', e));
  all('img').forEach(e => e.alt || fault('no alt', e));
  all('table').forEach(e => e.caption?.textContent.trim() || fault('no caption', e));
  all('th').forEach(e => ['col', 'row'].includes(e.scope) && e.textContent.trim() || fault('no scope', e));
  all('section').forEach(e => e.hasAttribute('aria-labelledby') || fault('no name', e));
  let level = 0;
  all('h1, h2, h3, h4, h5, h6').forEach(e => {
    if (+e.tagName[1] > level + 1) fault('a level is left out', e);
    level = +e.tagName[1];
  });
  for (const one of ['h1', 'main', 'body > header', 'body > footer'])
    if (all(one).length !== 1) found.push('not one ' + one);
  if (!document.documentElement.lang) found.push('no language');
  all('input, select, textarea, button').forEach(e => e.getBoundingClientRect().height >= 44 || fault('small', e));
  all('[style], script, style').forEach(e => fault('inline', e));
  return found;
}
"""
