// What pages do with a script, and only then: readings of charts, and live progress.
"use strict";

// a chart tells its readings at the cursor, by mouse, touch or arrow keys
function readable(plot) {
  const rows = JSON.parse(plot.dataset.readings);
  const names = JSON.parse(plot.dataset.names);
  const drawing = plot.querySelector(".drawing");
  const cursor = plot.appendChild(document.createElement("div"));
  const tip = plot.appendChild(document.createElement("div"));
  cursor.className = "cursor";
  tip.className = "tip";
  cursor.hidden = tip.hidden = true;
  tip.setAttribute("role", "status");
  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", `${plot.dataset.title}: arrow keys read values`);
  let at = rows.length - 1;

  function box() {
    const style = getComputedStyle(drawing);
    const left = parseFloat(style.paddingLeft);
    const width = drawing.clientWidth - left - parseFloat(style.paddingRight);
    const below = drawing.querySelector(".axis").getAttribute("y1");
    return {left, width, height: Number(below)};
  }

  function show(place) {
    at = Math.min(Math.max(place, 0), rows.length - 1);
    const [share, moment, ...values] = rows[at];
    const {left, width, height} = box();
    const x = left + share * width;
    const head = document.createElement("b");
    head.textContent = moment;
    tip.replaceChildren(head, ...values.map((value, i) => {
      const line = document.createElement("span");
      line.textContent = `${names[i]}: ${value}`;
      return line;
    }));
    cursor.hidden = tip.hidden = false;
    cursor.style.left = `${x}px`;
    cursor.style.height = `${height}px`;
    const beside = x + 12 + tip.offsetWidth > plot.clientWidth ? x - 12 - tip.offsetWidth : x + 12;
    tip.style.left = `${Math.max(0, beside)}px`;
  }

  function hide() {
    cursor.hidden = tip.hidden = true;
  }

  function nearest(share) {
    let low = 0, high = rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle][0] < share) low = middle + 1; else high = middle;
    }
    return low > 0 && share - rows[low - 1][0] < rows[low][0] - share ? low - 1 : low;
  }

  plot.addEventListener("pointermove", (event) => {
    const {left, width} = box();
    show(nearest((event.clientX - plot.getBoundingClientRect().left - left) / width));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("focus", () => plot.matches(":focus-visible") && show(at));
  const moves = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity};
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(at + moves[event.key]);
  });
}

// a training tells how far it is; when it ends, its page is read again
function follow(section) {
  const part = (name) => section.querySelector(`[data-live="${name}"]`);
  const before = part("status").textContent.trim().split(/\s+/).pop();
  const source = new EventSource(section.dataset.events);
  part("note").textContent = " – or wait: this page follows by itself.";

  function told(event) {
    let session;
    try { session = JSON.parse(event.data); } catch { return; }
    if (typeof session.progress !== "number") return;
    part("progress").value = session.progress;
    part("share").textContent = `${Math.round(100 * session.progress)} %`;
    part("jobs").textContent = `${session.done} of ${session.jobs || "?"} fits done`;
    if (session.status !== before) {
      source.close();
      location.replace(location.pathname);
    }
  }

  for (const name of ["message", "progress", "session", "status", "end"]) source.addEventListener(name, told);
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) part("note").textContent = "";
  });
}

document.querySelectorAll(".plot[data-readings]").forEach(readable);
document.querySelectorAll("[data-events]").forEach(follow);
