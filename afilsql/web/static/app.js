// Draws the charts from the tables below them, and says when a refresh fails. Everything works without it.
"use strict";
(() => {
  const drawn = [];
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function rows(table) {
    const scale = 1 / Number(table.dataset.minutes);
    const x = [], sent = [], failed = [];
    for (const row of table.tBodies[0].rows) {
      x.push(Number(row.cells[0].dataset.at));
      sent.push(Number(row.cells[1].textContent) * scale);
      failed.push(Number(row.cells[2].textContent) * scale);
    }
    return [x, sent, failed];
  }

  function draw(box) {
    const table = document.getElementById(box.dataset.table);
    if (!table || !box.clientWidth) return;
    box.replaceChildren();
    const width = box.clientWidth;
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
    const clock = (_, value) => value === null ? "–" : new Date(value * 1000).toISOString().slice(11, 16);
    const rate = (_, value) => value === null ? "–" : String(Math.round(value * 10) / 10);
    const data = rows(table);
    const most = Math.max(1, ...data[1], ...data[2]);
    drawn.push(new uPlot({
      width, height: 180,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      scales: { y: { range: [0, most * 1.1] } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toISOString().slice(11, 16)), space: 60 },
        { ...axis, size: 56, values: (_, ticks) => ticks.map((t) => t.toLocaleString("en")) },
      ],
      series: [
        { label: "From", value: clock },
        { label: "Sent a minute", stroke: color("--good"), width: 2, fill: color("--good-bg"), points: { show: false }, value: rate },
        { label: "Failed a minute", stroke: color("--bad"), width: 2, dash: [6, 3], points: { show: false }, value: rate },
      ],
      cursor: { drag: { x: false, y: false } },
    }, data, box));
  }

  function drawAll() {
    while (drawn.length) drawn.pop().destroy();
    document.querySelectorAll(".chart").forEach(draw);
  }

  function notice(text) {
    const place = document.getElementById("notice");
    place.textContent = text;
    place.hidden = !text;
  }

  drawAll();
  let width = window.innerWidth, later;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(later);
    later = setTimeout(drawAll, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

  // What was open stays open when the tables are told again.
  let open = [];
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    open = [...event.detail.target.querySelectorAll("details[open] table[id]")].map((table) => table.id);
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    for (const id of open) document.getElementById(id)?.closest("details").setAttribute("open", "");
    if (event.detail.target.id === "charts") drawAll();
    notice("");
  });
  document.body.addEventListener("htmx:responseError", () => notice("The figures could not be refreshed: the page answers with an error."));
  document.body.addEventListener("htmx:sendError", () => notice("The page cannot be reached; what you see may be old."));
})();
