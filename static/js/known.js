// As soon as person and user type are chosen: says that the access is there already, asked for, or was refused lately.
const form = document.querySelector(".request-form");
const region = form.querySelector("[data-known]");
const FIELDS = ["beneficiary", "user_type", "unit"];
let asked; // what is shown, or under way
let pending;

function chosen() {
  const filled = new FormData(form);
  const wanted = new URLSearchParams(FIELDS.map((name) => [name, filled.get(name) ?? ""]));
  if (region.dataset.corrects) wanted.set("corrige", region.dataset.corrects);
  return wanted;
}

function say({ text, link, address }) {
  if (!text) {
    region.replaceChildren();
    return;
  }
  const sentence = document.createElement("p");
  sentence.className = "notice notice-warning";
  sentence.textContent = text;
  if (address) {
    const way = document.createElement("a");
    way.href = address;
    way.textContent = link;
    sentence.append(" ", way);
  }
  region.replaceChildren(sentence);
}

async function look() {
  const wanted = chosen();
  if (`${wanted}` === asked) return;
  asked = `${wanted}`;
  pending?.abort();
  say({});
  if (!wanted.get("beneficiary") || !wanted.get("user_type")) return;
  pending = new AbortController();
  try {
    const response = await fetch(`${region.dataset.known}?${wanted}`, {
      headers: { Accept: "application/json" },
      signal: pending.signal,
    });
    // It only spares work: what cannot be said now is said when the form is sent.
    if (response.ok && !response.redirected) say(await response.json());
  } catch (failure) {
    if (failure.name !== "AbortError" && `${wanted}` === asked) say({});
  }
}

// The other scripts have settled the fields when an event arrives here.
for (const event of ["change", "input", "person-chosen"]) form.addEventListener(event, look);
if (region.textContent.trim()) asked = `${chosen()}`;
else look();
