() => {
  const found = [];
  const say = (what, element) => found.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
  const seen = (e) => e.checkVisibility() && !e.closest(".unseen, .skip");

  // Structure: language, title, landmarks, one heading, no level left out.
  if (document.documentElement.lang !== "en") found.push("no language");
  if (!document.title.endsWith("– afilsql")) found.push(`title: ${document.title}`);
  for (const [what, count] of [["main", 1], ["h1", 1], ["header", 1]])
    if (document.querySelectorAll(what).length !== count) found.push(`not ${count} ${what}`);
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3")) {
    if (Number(h.tagName[1]) > level + 1) say("heading leaves out a level", h);
    level = Number(h.tagName[1]);
  }
  for (const nav of document.querySelectorAll("nav")) if (!nav.getAttribute("aria-label")) say("nav without a name", nav);

  // Names: fields, buttons, links, tables.
  for (const e of document.querySelectorAll("input:not([type=hidden]), select")) if (!e.labels.length) say("field without a label", e);
  for (const e of document.querySelectorAll("a, button, summary")) if (!e.textContent.trim()) say("nothing to read", e);
  for (const e of document.querySelectorAll("table")) {
    if (e.classList.contains("u-legend")) continue;
    if (!e.caption?.textContent.trim()) say("table without a caption", e);
    for (const th of e.querySelectorAll("th")) if (!th.scope) say("heading of a table without a scope", th);
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids)) if (ids.filter((i) => i === id).length > 1) found.push(`id twice: ${id}`);

  // Contrast of every text with what is behind it: 4.5, or 3 where it is large.
  const parse = (c) => { const v = c.match(/[\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
  const light = ([r, g, b]) => {
    const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const behind = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] === 1) return color;
    }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !seen(e) || e.closest("option, script, noscript")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(style.color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) say(`contrast ${ratio.toFixed(2)}`, e);
  }
  return found;
}
