// The cards of the lines and the recent events, from each state that comes.
import { byId, number, put, saidWord, timeOf, watch, words } from "./page.js";

const WORDS = {
  ok: ["✓", "OK"], anomaly: ["✕", "ANOMALY"], uncertain: ["?", "UNCERTAIN"], rejected: ["!", "NO VERDICT"],
};
const SPAN_S = 300;
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 70;

const part = (card, name) => card.querySelector(`[data-part="${name}"]`);

function ago(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

function chip(card, name, text) {
  const element = part(card, name);
  element.hidden = !text;
  put(element, text);
}

function showPicture(card, line) {
  const image = part(card, "picture");
  const there = Boolean(line.has_frame);
  const button = part(card, "heat");
  const heat = line.has_map && button.getAttribute("aria-pressed") === "true";
  image.hidden = !there;
  const none = part(card, "no-picture");
  none.hidden = there;
  if (line.verdict && !line.reference && none.dataset.private === undefined) put(none, "no picture came with this verdict");
  button.hidden = !line.has_map;
  put(part(card, "picture-is"), heat ? "Last picture, heat on the profile's fixed scale" : "Last picture");
  const link = part(card, "picture-link");
  if (line.picture_inspection) link.href = `/inspections/${line.picture_inspection}`;
  else link.removeAttribute("href");
  // What nobody sees costs the agent nothing.
  if (!there || card.dataset.unseen) return;
  const kind = heat ? "overlay" : "frame";
  const wanted = `/lines/${encodeURIComponent(line.name)}/${kind}.jpg?n=${line.picture}`;
  // One at a time: a slow line of viewers gets the newest next, not all of them.
  if (image.getAttribute("src") === wanted || image.dataset.loading) return;
  image.dataset.loading = "1";
  image.onload = image.onerror = () => delete image.dataset.loading;
  image.alt = `${heat ? "Heat map" : "Picture"} of ${line.name}, ${words(line.picture_verdict)}`;
  image.src = wanted;
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

function showTrend(card, line) {
  const svg = part(card, "trend");
  const known = line.trend.filter(([, z]) => z !== null);
  const threshold = typeof line.threshold === "number" ? line.threshold : null;
  put(part(card, "z"), number(line.z));
  put(part(card, "threshold"), number(line.threshold));
  if (!known.length) {
    svg.replaceChildren();
    svg.setAttribute("aria-label", "no values in the last minutes");
    return;
  }
  const all = known.map(([, z]) => z).concat(threshold ?? []);
  const low = Math.min(0, ...all);
  // A value far above everything must not flatten the rest.
  const high = Math.min(Math.max(...all), threshold === null ? Infinity : low + 3 * Math.max(threshold - low, 0.5));
  const x = (age) => 300 * (1 - age / SPAN_S);
  const y = (z) => HEIGHT - 4 - (HEIGHT - 8) * Math.min(1, Math.max(0, (z - low) / (high - low || 1)));
  const drawn = [];
  if (threshold !== null) {
    drawn.push(make("line", { class: "limit", x1: 0, x2: 300, y1: y(threshold), y2: y(threshold) }));
  }
  drawn.push(make("polyline", { class: "curve", points: known.map(([age, z]) => `${x(age)},${y(z)}`).join(" ") }));
  for (const [age, z, verdict] of line.trend) {
    if (verdict === "o") continue;
    const top = z === null ? HEIGHT - 10 : y(z);
    drawn.push(make("rect", { class: `dot ${verdict}`, x: x(age) - 1.5, y: top - 3, width: 3, height: 6 }));
  }
  svg.replaceChildren(...drawn);
  const most = Math.max(...known.map(([, z]) => z));
  svg.setAttribute("aria-label", `z in the last 5 minutes, highest ${number(most)}, threshold ${number(threshold)}`);
}

function showAlarm(card, alarm) {
  const box = part(card, "alarm");
  box.hidden = !alarm || !alarm.inspection_id;
  if (box.hidden) return;
  const link = part(card, "alarm-link");
  link.href = `/inspections/${alarm.inspection_id}`;
  const shadow = alarm.mode && alarm.mode !== "live" ? ` (${alarm.mode})` : "";
  const when = new Date(alarm.started).toLocaleTimeString();
  put(link, `Last ${words(alarm.kind)}${shadow} ${when}, z ${number(alarm.z)}`);
  const judge = box.querySelector(".judge");
  if (judge && judge.dataset.inspection !== String(alarm.inspection_id)) {
    if (judge.dataset.inspection !== "0") judge.dataset.since = String(performance.now());
    judge.dataset.inspection = String(alarm.inspection_id);
  }
  put(part(card, "alarm-said"), saidWord(alarm.said));
}

function shadowText(shadow) {
  if (!shadow) return "";
  const more = `alarms: this profile ${shadow.live.anomaly}, shadow ${shadow.shadow.anomaly}`;
  return `Shadow profile: ${shadow.agree} of ${shadow.judged} verdicts agree; ${more}`;
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
  const reason = line.verdict ? words(line.reason) : "for the first picture";
  put(part(card, "reason"), line.advice ? `${reason}: ${line.advice}` : reason);
  chip(card, "mode", line.mode);
  chip(card, "state", line.state === "running" ? "" : words(line.state));
  chip(card, "stale", line.stale ? "STALE" : "");
  showPicture(card, line);
  showTrend(card, line);
  put(part(card, "fps"), number(line.fps, line.fps < 10 ? 1 : 0));
  for (const name of ["inspected", "rejected", "dropped"]) put(part(card, name), String(line[name]));
  put(part(card, "latency"), typeof line.latency_ms === "number" ? `${Math.round(line.latency_ms)} ms` : "–");
  const advice = part(card, "advice");
  advice.hidden = !line.line_advice;
  put(advice, line.line_advice ?? "");
  showAlarm(card, line.alarm);
  const shadow = part(card, "shadow");
  shadow.hidden = !line.shadow;
  put(shadow, shadowText(line.shadow));
  put(part(card, "health"), line.triggers ? `${line.health} · ${triggers(line.triggers)}` : line.health);
  const stands = line.reference ? ` · ${line.reference}` : "";
  const what = line.verdict === "rejected" ? "last verdict" : "last picture";
  put(part(card, "age"), typeof line.age_s === "number" ? `${what} ${ago(line.age_s)}${stands}` : "no picture yet");
}

function eventRow(event) {
  const row = document.createElement("tr");
  const cell = (...content) => {
    const td = document.createElement("td");
    td.append(...content);
    row.append(td);
  };
  const span = (name, text) => Object.assign(document.createElement("span"), { className: name, textContent: text });
  cell(timeOf(event.started));
  cell(event.line);
  const kind = [span(`kind ${event.kind}`, words(event.kind))];
  if (event.mode && event.mode !== "live") kind.push(" ", span("chip", event.mode));
  cell(...kind);
  cell(event.ended ? `ended: ${words(event.end_reason)}` : span("open", "open"));
  cell(`${number(event.z)} / ${number(event.threshold)}`);
  const cause = words(event.reason) || (typeof event.z === "number" ? "above threshold" : "–");
  if (event.inspection_id) {
    const link = document.createElement("a");
    link.href = `/inspections/${event.inspection_id}`;
    link.textContent = cause;
    cell(link);
  } else {
    cell(cause);
  }
  return row;
}

let shownEvents = "";

function show(state) {
  const known = [...document.querySelectorAll("[data-line]")].map((card) => card.dataset.line).join();
  if (known !== state.lines.map((line) => line.name).join()) {
    location.reload();
    return;
  }
  state.lines.forEach(showLine);
  const events = JSON.stringify(state.events);
  if (events !== shownEvents) {
    // Left alone while nothing happens, so that a focus or a selection stays.
    shownEvents = events;
    byId("events").replaceChildren(...state.events.map(eventRow));
    byId("no-events").hidden = state.events.length > 0;
  }
}

for (const button of document.querySelectorAll("[data-part=heat]")) {
  const wanted = localStorage.getItem("heat") !== "off";
  button.setAttribute("aria-pressed", String(wanted));
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    localStorage.setItem("heat", pressed ? "on" : "off");
  });
}
const eyes = new IntersectionObserver((seen) => {
  for (const one of seen) {
    if (one.isIntersecting) delete one.target.dataset.unseen;
    else one.target.dataset.unseen = "1";
  }
}, { rootMargin: "300px" });
for (const card of document.querySelectorAll("[data-line]")) eyes.observe(card);
for (const group of document.querySelectorAll("[data-part=alarm] .judge")) group.dataset.inspection = "0";
watch(show);
