// What every page does: the header's state, local times, what people say and change.
// Text goes into the page through textContent only, so nothing in it can become markup; what is fetched anew is the
// agent's own page.

export const byId = (id) => document.getElementById(id);
// Characters that nobody sees are spelled out: they turn the text beside them around, or hide.
export const visible = (text) =>
  String(text ?? "").replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`);
export const words = (text) => visible(text).replaceAll("_", " ");
export const number = (value, digits = 2) => (typeof value === "number" ? value.toFixed(digits) : "–");
const SAID = { normal: "good part", anomalous: "defect" };
// States come each second: a few that are missing mean that nobody sends any more.
const PATIENCE_MS = 4000;
const AGAIN_MS = 2000;
// Nobody has seen what was shown for a shorter time before they touched it.
const LOOK_MS = 700;
const FRESH_MS = 10000;

export function put(element, text) {
  // Unchanged text is left alone: a screen reader would read it again each second.
  const shown = text.split("\n").map(visible).join("\n");
  if (element.textContent !== shown) element.textContent = shown;
}

export const saidWord = (label) => SAID[label] ?? "";

export function localise(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.valueOf())) return;
  element.title = `${moment.toISOString()} (UTC)`;
  put(element, moment.toLocaleString());
}

export function timeOf(iso) {
  const element = document.createElement("time");
  element.dateTime = iso;
  localise(element);
  return element;
}

function toast(text, failed = false) {
  const element = byId("toast");
  element.classList.toggle("failed", failed);
  element.hidden = false;
  element.textContent = visible(text);
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { element.hidden = true; }, failed ? 10000 : 4000);
}

export async function command(verb, body) {
  // Returns whether it was done; the answer is shown either way.
  const headers = { "content-type": "application/json",
    "x-csrf-token": document.querySelector("meta[name=csrf]").content };
  try {
    const answer = await fetch(`/api/ctl/${verb}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.status === 401) {
      location.assign("/login");
      return false;
    }
    const found = await answer.json();
    toast(found.text, !found.ok);
    return found.ok;
  } catch {
    toast("The agent does not answer: nothing was done", true);
    return false;
  }
}

function whoSays(form) {
  const field = form?.elements.by;
  if (document.body.dataset.name) return {};
  const name = (field ? field.value : localStorage.getItem("name") ?? "").trim();
  if (field) localStorage.setItem("name", name);
  return name ? { by: name } : {};
}

async function judge(button) {
  const group = button.closest("[data-inspection]");
  if (performance.now() - Number(group.dataset.since ?? -Infinity) < LOOK_MS) {
    toast("A newer alarm has just come: look at it first", true);
    return;
  }
  const form = button.closest("form");
  const note = form?.elements.note?.value.trim();
  const body = { inspection_id: Number(group.dataset.inspection), label: button.dataset.label, ...whoSays(form) };
  for (const one of group.querySelectorAll("button")) one.disabled = true;
  const done = await command("feedback", note ? { ...body, note } : body);
  for (const one of group.querySelectorAll("button")) one.disabled = false;
  if (!done) return;
  if (form) {
    location.reload();
    return;
  }
  const said = group.parentElement.querySelector("[data-said], [data-part=alarm-said]");
  if (said) put(said, saidWord(button.dataset.label));
}

async function change(form, submitter) {
  if (submitter?.dataset.sure && !confirm(submitter.dataset.sure)) return;
  const body = { line: form.dataset.line, ...whoSays(null) };
  for (const [key, value] of new FormData(form)) body[key] = value === "true" ? true : value;
  if (await command(form.dataset.command, body)) setTimeout(() => location.reload(), 1500);
}

function prepareFilters(form) {
  form.addEventListener("submit", () => {
    for (const name of ["from", "to"]) {
      const value = form.elements[name].value;
      form.elements[`${name}_tz`].value = value ? String(new Date(value).getTimezoneOffset()) : "";
    }
    for (const field of form.elements) if (!field.value) field.disabled = true;
  });
}

function connected(yes, why) {
  document.body.classList.toggle("is-lost", !yes);
  byId("lost").hidden = yes;
  put(byId("lost"), yes ? "" : why);
}

function showHeader(state) {
  put(byId("mqtt"), state.mqtt);
  const clock = byId("clock");
  clock.dateTime = state.ts;
  clock.title = `${state.ts} (UTC)`;
  put(clock, new Date(state.ts).toLocaleTimeString());
  const failing = state.problems.length > 0;
  const health = byId("agent-health");
  health.className = failing ? "chip failing" : "chip healthy";
  put(health, failing ? "needs attention" : "running");
  byId("problems").hidden = !failing;
  put(byId("problems"), state.problems.join("\n"));
  const newer = byId("newer");
  if (newer) newer.hidden = state.newest_event <= Number(newer.dataset.newest);
}

let stream = null;
let watchdog = 0;

function lost() {
  connected(false, "Connection lost: what is shown is old");
}

async function whyClosed() {
  // The stream does not tell why it was refused.
  try {
    const answer = await fetch("/api/state", { cache: "no-store" });
    if (answer.status === 401) location.assign("/login");
    else if (answer.ok) connected(false, "Too many viewers watch already; trying again");
    else lost();
  } catch {
    lost();
  }
}

export function watch(show = () => {}) {
  const expectNews = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, PATIENCE_MS);
  };
  const open = () => {
    if (stream) stream.close();
    stream = null;
    // A page that nobody sees costs the agent nothing.
    if (document.hidden) return;
    expectNews();
    stream = new EventSource("/api/stream");
    const own = stream;
    own.onmessage = (message) => {
      expectNews();
      const state = JSON.parse(message.data);
      showHeader(state);
      show(state);
      connected(true);
    };
    own.onerror = () => {
      // After the end of a stream the browser asks again by itself.
      if (own.readyState !== EventSource.CLOSED || own !== stream) return;
      whyClosed();
      setTimeout(() => { if (own === stream) open(); }, AGAIN_MS);
    };
  };
  document.addEventListener("visibilitychange", open);
  open();
}

async function refresh() {
  // Parts that are marked are fetched anew, with the page around them; what somebody is busy with is left alone.
  const parts = [...document.querySelectorAll("[data-fresh]")];
  if (document.hidden || !parts.length) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const newer = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts) {
      const other = newer.getElementById(part.id);
      if (!other || part.contains(document.activeElement)) continue;
      for (const element of other.querySelectorAll("time")) localise(element);
      if (part.textContent !== other.textContent) part.replaceWith(document.adoptNode(other));
    }
  } catch {
    // The banner says that nobody answers.
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-inspection] button[data-label]");
  if (button) judge(button);
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("[data-feedback]")) event.preventDefault();
  if (!form.matches("[data-command]")) return;
  event.preventDefault();
  change(form, event.submitter);
});
for (const element of document.querySelectorAll("main time")) localise(element);
for (const form of document.querySelectorAll("[data-filters]")) prepareFilters(form);
for (const field of document.querySelectorAll("input[name=by]")) field.value = localStorage.getItem("name") ?? "";
for (const link of document.querySelectorAll("#newer a")) link.href = location.pathname;
if (document.querySelector("[data-fresh]")) setInterval(refresh, FRESH_MS);
if (byId("agent-health") && document.body.dataset.path !== "/") watch();
