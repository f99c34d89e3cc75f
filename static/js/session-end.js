// Warns before a session ends, keeps it while somebody types, and says how to go on once it has ended.
// Tabs tell each other of use and of a new sign-in, whose form token they then share.
const WARNED_BEFORE = 2 * 60_000;
const THANKED_FOR = 10_000;
const LOOKED_EVERY = 1000;

const box = document.querySelector("[data-session-end]");
const { person, use, door } = box.dataset;
const milliseconds = (name) => Number(box.dataset[name]) * 1000;
const idle = milliseconds("idle");
// The server notes use once a minute: asking more often would change nothing.
const notedEvery = Math.max(60_000, idle / 6);
const states = [...box.querySelectorAll("[data-session-end-state]")];
const tokens = () => [...document.querySelectorAll("input[name=csrfmiddlewaretoken]")];
const tabs = new BroadcastChannel("session");

let idleEnd = Date.now() + milliseconds("unused");
let lastEnd = Date.now() + milliseconds("left");
let thanks = { state: "", until: 0 };
let asking = false;
let cameFrom = null;

const isOver = () => Date.now() >= Math.min(idleEnd, lastEnd);

function state() {
  const left = Math.min(idleEnd, lastEnd) - Date.now();
  if (left <= 0) return "over";
  if (left <= WARNED_BEFORE) return idleEnd < lastEnd ? "idle" : "last";
  return Date.now() < thanks.until ? thanks.state : "";
}

function show() {
  const now = state();
  for (const part of states) {
    const hidden = part.dataset.sessionEndState !== now;
    if (part.hidden !== hidden) part.hidden = hidden;
  }
  if (box.contains(document.activeElement?.closest("[hidden]") ?? null)) cameFrom?.focus();
}

function thank(words) {
  thanks = { state: words, until: Date.now() + THANKED_FOR };
}

function tell() {
  const now = Date.now();
  tabs.postMessage({ person, token: tokens()[0]?.value, unused: idleEnd - now, left: lastEnd - now });
}

async function noteUse() {
  if (asking || isOver() || idleEnd - Date.now() > idle - notedEvery) return;
  asking = true;
  const warned = state() === "idle";
  try {
    const answer = await fetch(use, { method: "POST", headers: { "X-CSRFToken": tokens()[0]?.value ?? "" } });
    if (answer.redirected && new URL(answer.url).pathname === door) {
      idleEnd = 0; // ended from elsewhere
    } else if (answer.ok) {
      idleEnd = Date.now() + idle;
      if (warned) thank("on");
      tell();
    }
  } catch {
    // No network: the warning stays, and the next key asks again.
  } finally {
    asking = false;
    show();
  }
}

tabs.addEventListener("message", ({ data }) => {
  if (data.person !== person) {
    idleEnd = 0; // somebody else has signed in: this page is nobody's any more
  } else {
    if (isOver()) thank("back");
    idleEnd = Date.now() + data.unused;
    lastEnd = Date.now() + data.left;
    for (const input of tokens()) input.value = data.token ?? input.value;
  }
  show();
});
for (const sort of ["input", "keydown", "click"]) addEventListener(sort, noteUse, { passive: true });
for (const sort of ["visibilitychange", "pageshow"]) addEventListener(sort, show);
box.addEventListener("focusin", ({ relatedTarget }) => {
  if (!box.contains(relatedTarget)) cameFrom = relatedTarget;
});
setInterval(show, LOOKED_EVERY);
tell();
show();
