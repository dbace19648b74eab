"use strict";

// Text goes into the page through textContent only, so nothing in it can become markup.
const WORDS = {
  ok: ["✓", "OK"], anomaly: ["✕", "ANOMALY"], uncertain: ["?", "UNCERTAIN"], rejected: ["!", "NO VERDICT"],
};
const POLL_MS = 1000;
const PATIENCE_MS = 4000;
const byId = (id) => document.getElementById(id);
const number = (value, digits = 2) => (typeof value === "number" ? value.toFixed(digits) : "–");

function part(card, name) {
  return card.querySelector(`[data-part="${name}"]`);
}

function put(element, text) {
  // Unchanged text is left alone: a screen reader would read it again each second.
  if (element.textContent !== text) element.textContent = text;
}

function ago(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

function showPicture(card, line, name, there) {
  const image = part(card, name);
  image.hidden = !there;
  part(card, `no-${name}`).hidden = there;
  if (!there || image.dataset.number === String(line.number)) return;
  image.dataset.number = String(line.number);
  image.src = `/lines/${encodeURIComponent(line.name)}/${name}.jpg?n=${line.number}`;
}

function lastFrame(line) {
  const stands = line.reference ? ` · ${line.reference}` : "";
  return `last frame ${ago(line.age_s)}${stands}`;
}

function showBar(card, line) {
  const bar = part(card, "bar");
  const fill = part(card, "fill");
  const known = typeof line.z === "number" && typeof line.threshold === "number";
  part(card, "mark").hidden = !known;
  // The threshold stands at two thirds. The scale is linear in z with zero at the left where the threshold is
  // positive, else one unit of z is a third of the bar.
  let share = 0;
  if (known) {
    share = line.threshold > 0 ? (2 / 3) * (line.z / line.threshold) : 2 / 3 + (line.z - line.threshold) / 3;
  }
  fill.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  bar.setAttribute("aria-label", known ? `z ${number(line.z)}, threshold ${number(line.threshold)}` : "no value");
}

function triggers(counts) {
  const parts = [`${counts.answered} of ${counts.received} triggers answered`];
  for (const name of ["busy", "timeout", "lost"]) if (counts[name]) parts.push(`${counts[name]} ${name}`);
  return parts.join(", ");
}

function showLine(line) {
  const card = document.querySelector(`[data-line="${CSS.escape(line.name)}"]`);
  if (!card) return;
  card.dataset.verdict = line.verdict || "none";
  card.classList.toggle("is-stale", Boolean(line.stale));
  const [sign, word] = WORDS[line.verdict] || ["…", "WAITING"];
  put(part(card, "sign"), sign);
  put(part(card, "verdict"), word);
  const reason = line.reason ? line.reason.replaceAll("_", " ") : "";
  put(part(card, "reason"), line.advice ? `${reason}: ${line.advice}` : reason);
  put(part(card, "mode"), line.mode);
  const stale = part(card, "stale");
  stale.hidden = !line.stale;
  put(stale, line.stale ? "STALE" : "");
  showPicture(card, line, "frame", Boolean(line.has_frame));
  showPicture(card, line, "overlay", Boolean(line.has_map));
  put(part(card, "z"), number(line.z));
  put(part(card, "threshold"), number(line.threshold));
  showBar(card, line);
  for (const name of ["inspected", "rejected", "dropped", "in_flight"]) put(part(card, name), String(line[name]));
  put(part(card, "latency"), typeof line.latency_ms === "number" ? `${Math.round(line.latency_ms)} ms` : "–");
  put(part(card, "health"), line.triggers ? `${line.health} · ${triggers(line.triggers)}` : line.health);
  put(part(card, "age"), typeof line.age_s === "number" ? lastFrame(line) : "no frame yet");
}

function showEvents(events) {
  const rows = events.map((event) => {
    const row = document.createElement("tr");
    const cell = (text, name) => {
      const td = document.createElement("td");
      td.textContent = text;
      if (name) td.className = name;
      row.append(td);
    };
    cell(new Date(event.started).toLocaleString());
    cell(event.line);
    cell(event.kind.replaceAll("_", " "), `kind ${event.kind}`);
    cell(event.ended ? "ended" : "open", event.ended ? "" : "open");
    cell(`${number(event.z)} / ${number(event.threshold)}`);
    cell(event.reason ? event.reason.replaceAll("_", " ") : "");
    return row;
  });
  byId("events").replaceChildren(...rows);
  byId("no-events").hidden = rows.length > 0;
}

function show(state) {
  const known = [...document.querySelectorAll("[data-line]")].map((card) => card.dataset.line).join();
  if (known !== state.lines.map((line) => line.name).join()) {
    location.reload();
    return;
  }
  state.lines.forEach(showLine);
  showEvents(state.events);
  put(byId("mqtt"), state.mqtt);
  put(byId("clock"), new Date(state.ts).toLocaleTimeString());
  const failing = state.problems.length > 0;
  const health = byId("agent-health");
  health.className = failing ? "chip failing" : "chip healthy";
  put(health, failing ? "needs attention" : "running");
  byId("problems").hidden = !failing;
  put(byId("problems"), state.problems.join(" · "));
}

function connected(yes, why) {
  document.body.classList.toggle("is-lost", !yes);
  byId("lost").hidden = yes;
  put(byId("lost"), yes ? "" : why);
}

async function poll() {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), PATIENCE_MS);
  try {
    const answer = await fetch("/api/state", { cache: "no-store", signal: giveUp.signal });
    if (answer.status === 401) {
      connected(false, "Signed out: open the page again with its token");
    } else if (answer.ok) {
      show(await answer.json());
      connected(true);
    } else {
      connected(false, "The agent answers with an error: what is shown is old");
    }
  } catch {
    connected(false, "Connection lost: what is shown is old");
  } finally {
    clearTimeout(timer);
    setTimeout(poll, POLL_MS);
  }
}

poll();
