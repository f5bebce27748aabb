"use strict";

// Replaces the changing part of the page with what the agent sends, and keeps the ages of what is shown current.

const lost = document.getElementById("lost");
const said = document.getElementById("said");
let ahead = Date.now() - Number(document.getElementById("state").dataset.now); // of this clock over the agent's

function two(n, unit, m, part) {
  return m ? `${n} ${unit} ${m} ${part}` : `${n} ${unit}`;
}

function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000)), min = Math.floor(s / 60), h = Math.floor(min / 60);
  if (s < 60) return `${s} s`;
  if (min < 60) return `${min} min`;
  if (h < 24) return two(h, "h", min % 60, "min");
  return two(Math.floor(h / 24), "d", h % 24, "h");
}

function tick(root) {
  const now = Date.now() - ahead;
  for (const t of root.querySelectorAll("time")) {
    const at = Date.parse(t.dateTime);
    const text = span("left" in t.dataset ? at - now : now - at);
    if (t.textContent !== text) t.textContent = text;
  }
}

// A section that did not change stays, so that a selection or the focus in it survives.
function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("state");
  ahead = Date.now() - Number(fresh.dataset.now);
  const shown = document.getElementById("state");
  tick(shown);
  tick(fresh);
  const kept = new Map([...shown.children].map(section => [section.id, section]));
  shown.replaceChildren(...[...fresh.children].map(section => {
    const old = kept.get(section.id);
    return old && old.isEqualNode(section) ? old : document.adoptNode(section);
  }));
  if (document.title !== fresh.dataset.title) {
    document.title = said.textContent = fresh.dataset.title;
  }
}

// A browser tries again by itself when a connection is lost, but not when the agent, or a proxy before it, refused one.
function listen() {
  const agent = new EventSource("/live");
  agent.addEventListener("state", event => show(event.data));
  agent.addEventListener("open", () => { lost.hidden = true; });
  agent.addEventListener("error", () => {
    lost.hidden = false;
    if (agent.readyState === EventSource.CLOSED) setTimeout(again, 2000);
  });
}

// Whoever is not let in any more is asked anew by the browser, and does not go on trying a password that is wrong.
async function again() {
  const answer = await fetch("/live", {method: "HEAD"}).catch(() => null);
  if (answer && answer.status === 401) location.reload();
  else listen();
}

listen();
setInterval(() => tick(document), 1000);
