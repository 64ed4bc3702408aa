// Shows cameras.json as cards and keeps them fresh. All text goes in as text, never as HTML.

import { say, WORDS } from "./words.js";

const REFRESH_SECONDS = 3;
const REFRESH_MAX_SECONDS = 60;
const REQUEST_TIMEOUT_SECONDS = 10;
const DEFAULT_STALE_SECONDS = 60;
const STORED = "simpul-language";

const list = document.getElementById("cards");
const summary = document.getElementById("summary");
const template = document.getElementById("card");
const cards = new Map();

let language = remembered();
let file = null;
let failures = 0;
// How far the server's clock is ahead of this phone's, which may be wrong.
let aheadMilliseconds = 0;

// Object.hasOwn and AbortSignal.timeout are missing on older phones.
function has(object, key) {
  return Object.prototype.hasOwnProperty.call(object, key);
}

function remembered() {
  try {
    const stored = localStorage.getItem(STORED);
    return has(WORDS, stored) ? stored : "id";
  } catch {
    return "id"; // storage is switched off
  }
}

function choose(chosen) {
  language = chosen;
  try {
    localStorage.setItem(STORED, chosen);
  } catch {
    // Not remembered, then.
  }
  translate();
  render();
}

function translate() {
  document.documentElement.lang = language;
  document.title = say(language, "title");
  for (const element of document.querySelectorAll("[data-text]")) {
    setText(element, say(language, element.dataset.text));
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
}

// Unchanged text is left alone, so that screen readers and the layout have no work.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function ageSeconds(place) {
  if (!place.updated_at) return null;
  const age = (Date.now() + aheadMilliseconds - Date.parse(place.updated_at)) / 1000;
  return Number.isNaN(age) ? null : Math.max(0, age);
}

function ageText(place, age) {
  if (!place.still) return say(language, "noStill");
  if (age === null) return say(language, "unknownAge");
  if (age < 2) return say(language, "now");
  for (const [key, seconds, below] of [
    ["seconds", 1, 90],
    ["minutes", 60, 5400],
    ["hours", 3600, 172800],
  ]) {
    if (age < below) return say(language, key, { n: Math.floor(age / seconds) });
  }
  return say(language, "days", { n: Math.floor(age / 86400) });
}

// The file may itself be old (the hub is down), so staleness is judged here as well.
function stateOf(place, age) {
  const limit = file.stale_seconds ?? DEFAULT_STALE_SECONDS;
  if (place.state === "online" && place.camera && (age === null || age > limit)) return "stale";
  return has(WORDS.id, place.state) ? place.state : "offline";
}

function usersText(hotspot) {
  if (Number.isInteger(hotspot.users)) return say(language, "users", { n: hotspot.users });
  if (Number.isInteger(hotspot.fewer_than)) {
    return say(language, "fewUsers", { n: hotspot.fewer_than });
  }
  return say(language, "unknownUsers");
}

function newCard() {
  const root = template.content.firstElementChild.cloneNode(true);
  const find = (selector) => root.querySelector(selector);
  return {
    root,
    image: find(".still"),
    placeholder: find(".placeholder"),
    why: find(".why"),
    simulated: find(".simulated"),
    name: find("h2"),
    state: find(".state"),
    site: find(".site"),
    age: find(".age"),
    hotspot: find(".hotspot"),
    users: find(".users"),
    simulatedRadio: find(".simulated-radio"),
    wanted: null,
    broken: false,
  };
}

// A new still is fetched and decoded beside the shown one: no flicker, and never a broken image.
async function want(card, address) {
  if (card.wanted === address) return;
  card.wanted = address;
  const fresh = new Image();
  fresh.src = address;
  try {
    await fresh.decode();
    if (card.wanted !== address) return;
    card.image.src = address;
    card.broken = false;
  } catch {
    if (card.wanted !== address) return;
    card.broken = true;
    card.wanted = null; // the next round tries again
  }
  render();
}

// Only a still of this place and this server is shown, whatever the file says.
function stillAddress(place) {
  const address = new URL(place.still, document.baseURI);
  return address.origin === location.origin ? address.href : null;
}

function renderCard(card, place) {
  const age = ageSeconds(place);
  const state = stateOf(place, age);
  if (state === "online" && place.still) {
    const address = stillAddress(place);
    if (address) want(card, address);
  }
  const shown = state === "online" && card.image.hasAttribute("src") && !card.broken;
  card.image.hidden = !shown;
  card.placeholder.hidden = shown;
  const alt = say(language, "still", { name: place.name });
  if (card.image.alt !== alt) card.image.alt = alt;
  const why =
    state === "offline" ? "whyOffline"
    : !place.camera ? "whyNoCamera"
    : card.broken && state === "online" ? "whyBroken"
    : "whyStale";
  setText(card.why, say(language, why));
  card.simulated.hidden = !place.simulated || !place.camera;
  setText(card.simulated, say(language, "simulated"));
  setText(card.name, place.name);
  card.state.className = `state ${state}`;
  setText(card.state, say(language, state));
  setText(card.site, place.site);
  card.age.hidden = !place.camera;
  setText(card.age, ageText(place, age));
  card.hotspot.hidden = !place.hotspot;
  if (place.hotspot) {
    setText(card.users, usersText(place.hotspot));
    card.simulatedRadio.hidden = !place.hotspot.simulated;
    setText(card.simulatedRadio, say(language, "simulated"));
  }
  return state;
}

function render() {
  if (!file) return;
  const present = new Set(file.cameras.map((place) => place.id));
  for (const [id, card] of cards) {
    if (!present.has(id)) {
      card.root.remove();
      cards.delete(id);
    }
  }
  let online = 0;
  file.cameras.forEach((place, index) => {
    let card = cards.get(place.id);
    if (!card) {
      card = newCard();
      cards.set(place.id, card);
    }
    if (list.children[index] !== card.root) list.insertBefore(card.root, list.children[index] ?? null);
    if (renderCard(card, place) !== "offline") online += 1;
  });
  renderSummary(online, file.cameras.length);
}

function renderSummary(online, all) {
  delete summary.dataset.text;
  summary.classList.toggle("problem", failures > 1);
  if (failures > 1) setText(summary, say(language, "unreachable"));
  else if (all === 0) setText(summary, say(language, "none"));
  else setText(summary, say(language, "summary", { online, all }));
}

function noteClock(response) {
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (Number.isNaN(date)) return;
  // A cache sends the date of its own copy and how many seconds it has had it (RFC 9111, 5.1).
  const cached = Number(response.headers.get("Age") ?? 0) || 0;
  const ahead = date + cached * 1000 - Date.now();
  // The header counts whole seconds: a smaller difference says nothing.
  aheadMilliseconds = Math.abs(ahead) > 2000 ? ahead : 0;
}

async function refresh() {
  try {
    const response = await fetch("cameras.json", {
      signal: AbortSignal.timeout?.(REQUEST_TIMEOUT_SECONDS * 1000),
    });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const fresh = await response.json();
    if (!Array.isArray(fresh.cameras)) throw new Error("not a list of cameras");
    noteClock(response);
    file = fresh;
    failures = 0;
  } catch {
    failures += 1;
  }
  if (file) render();
  else if (failures > 1) renderSummary(0, 0);
  schedule();
}

function schedule() {
  const pause = Math.min(REFRESH_SECONDS * 2 ** failures, REFRESH_MAX_SECONDS);
  // Jitter, so that a thousand phones do not come back at the same moment.
  setTimeout(refreshWhenSeen, pause * (0.85 + 0.3 * Math.random()) * 1000);
}

function refreshWhenSeen() {
  if (!document.hidden) return refresh();
  // Nobody looks: spare the phone's data until somebody does.
  document.addEventListener("visibilitychange", refreshWhenSeen, { once: true });
}

for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => choose(button.dataset.language));
}
setInterval(() => { if (!document.hidden) render(); }, 1000);
translate();
refresh();
