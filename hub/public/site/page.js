// Shows cameras.json as cards and keeps them fresh. All text goes in as text, never as HTML.

import { say, WORDS } from "./words.js";

const REFRESH_SECONDS = 3;
const PAUSE_MAX_SECONDS = 60;
const REQUEST_TIMEOUT_SECONDS = 10;
const STILL_RETRY_SECONDS = 5;
const STILL_TIMEOUT_SECONDS = 60;
const DEFAULT_STALE_SECONDS = 60;
// The hub writes the file again every minute, even when nothing changes.
const OUTDATED_SECONDS = 180;
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

// Object.hasOwn is missing on older phones.
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

function ageSeconds(moment) {
  if (!moment) return null;
  const age = (Date.now() + aheadMilliseconds - Date.parse(moment)) / 1000;
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

function isOlder(age, limit) {
  return age === null || age > limit;
}

// Nothing in an old file says how a place is now: the hub is down, or this phone cut off from it.
function isOutdated() {
  return isOlder(ageSeconds(file.generated_at), OUTDATED_SECONDS);
}

// A still grows old between two files, so staleness is judged here as well.
function stateOf(place, age) {
  const stillLimit = file.stale_seconds ?? DEFAULT_STALE_SECONDS;
  const old = isOutdated() || (place.camera && isOlder(age, stillLimit));
  if (place.state === "online" && old) return "stale";
  return has(WORDS.id, place.state) ? place.state : "offline";
}

function usersText(hotspot) {
  if (isOutdated()) return say(language, "unknownUsers");
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
    shownAddress: null,
    shownTakenAt: null,
    loading: false,
    failures: 0,
    retryAt: 0,
  };
}

function decoded(image) {
  return new Promise((resolve, reject) => {
    setTimeout(reject, STILL_TIMEOUT_SECONDS * 1000);
    image.decode().then(resolve, reject);
  });
}

// A new still is fetched and decoded beside the shown one: no flicker, and never a broken image.
async function load(card, address, takenAt) {
  card.loading = true;
  const fresh = new Image();
  fresh.src = address;
  try {
    await decoded(fresh);
    card.image.src = address;
    card.shownAddress = address;
    card.shownTakenAt = takenAt;
    card.failures = 0;
  } catch {
    fresh.src = ""; // ends what may still be under way
    card.retryAt = performance.now() + pauseMilliseconds(STILL_RETRY_SECONDS, card.failures);
    card.failures += 1;
  }
  card.loading = false;
  render();
}

// One load at a time, then the newest: a slow phone would never finish one that each newer still
// replaces.
function follow(card, place) {
  const address = stillAddress(place);
  if (!address) return;
  if (address === card.shownAddress) card.shownTakenAt = place.updated_at;
  else if (!card.loading && performance.now() >= card.retryAt) {
    load(card, address, place.updated_at);
  }
}

// Only a still of this place and this server is shown, whatever the file says.
function stillAddress(place) {
  const address = new URL(place.still, document.baseURI);
  return address.origin === location.origin ? address.href : null;
}

function renderCard(card, place) {
  let age = ageSeconds(place.updated_at);
  let state = stateOf(place, age);
  const live = state === "online" && Boolean(place.still);
  if (live) follow(card, place);
  const pictured = live && card.shownAddress !== null;
  if (pictured) {
    // What people see counts, not the still that is announced and not here yet.
    age = ageSeconds(card.shownTakenAt);
    state = stateOf(place, age);
  }
  const shown = pictured && state === "online";
  card.image.hidden = !shown;
  card.placeholder.hidden = shown;
  const alt = say(language, "still", { name: place.name });
  if (card.image.alt !== alt) card.image.alt = alt;
  const why =
    state === "offline" ? "whyOffline"
    : !place.camera ? "whyNoCamera"
    : live && card.failures > 0 ? "whyBroken"
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
  const outdated = file !== null && isOutdated();
  summary.classList.toggle("problem", failures > 1 || outdated);
  if (failures > 1) setText(summary, say(language, "unreachable"));
  else if (outdated) setText(summary, say(language, "outdated"));
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
  // AbortSignal.timeout is missing on older phones, where a hanging request would be the last.
  const abort = new AbortController();
  const giveUp = setTimeout(() => abort.abort(), REQUEST_TIMEOUT_SECONDS * 1000);
  try {
    const response = await fetch("cameras.json", {
      // Going back to the page would else bring the kept file, which is as old as its Date says.
      cache: "no-cache",
      signal: abort.signal,
    });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const fresh = await response.json();
    if (!Array.isArray(fresh.cameras)) throw new Error("not a list of cameras");
    noteClock(response);
    file = fresh;
    failures = 0;
  } catch {
    failures += 1;
  } finally {
    clearTimeout(giveUp);
  }
  if (file) render();
  else if (failures > 1) renderSummary(0, 0);
  schedule();
}

function pauseMilliseconds(seconds, failed) {
  const pause = Math.min(seconds * 2 ** failed, PAUSE_MAX_SECONDS);
  // Jitter, so that a thousand phones do not come back at the same moment.
  return pause * (0.85 + 0.3 * Math.random()) * 1000;
}

function schedule() {
  setTimeout(refreshWhenSeen, pauseMilliseconds(REFRESH_SECONDS, failures));
}

function refreshWhenSeen() {
  if (!document.hidden) return refresh();
  // Nobody looks: spare the phone's data until somebody does.
  document.addEventListener("visibilitychange", refreshWhenSeen, { once: true });
}

for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => choose(button.dataset.language));
}
function renderWhenSeen() {
  if (!document.hidden) render();
}

setInterval(renderWhenSeen, 1000);
// Not a second longer: the picture may be from hours ago.
document.addEventListener("visibilitychange", renderWhenSeen);
translate();
refresh();
