// Single keys that lead to the buttons and fields of the decision; Enter then presses what they led to.
// Off inside fields, and off for good where somebody says so (WCAG 2.2, 2.1.4).
const STORED = "decision-keys";
const FIELDS = "textarea, select, input:not([type=checkbox]), [contenteditable]";
const legend = document.querySelector("[data-keys]");
const toggle = legend.querySelector("input");
const form = document.querySelector("form[data-decision]");
const places = new Map([
  ["m", form.querySelector("select[data-reasons]")],
  ["t", form.querySelector("textarea[name=note]")],
  ["p", form.querySelector("input[name=opens_next]")],
  ["?", legend.querySelector("summary")],
]);
for (const button of form.querySelectorAll("[data-key]")) places.set(button.dataset.key, button);

// Some browsers keep nothing for a page that they do not trust: then the keys are on.
function remembered() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}

function remember(on) {
  try {
    localStorage.setItem(STORED, on ? "on" : "off");
  } catch {
    // For this page only.
  }
}

function mark(on) {
  for (const button of form.querySelectorAll("[data-key]")) {
    if (on) button.setAttribute("aria-keyshortcuts", button.dataset.key);
    else button.removeAttribute("aria-keyshortcuts");
  }
  form.toggleAttribute("data-keys-on", on);
}

document.addEventListener("keydown", (event) => {
  if (!toggle.checked || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (event.target.closest(FIELDS)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const place = places.get(event.key.toLowerCase());
  if (!place) return;
  event.preventDefault();
  if (legend.contains(place)) legend.open = true;
  place.focus();
});

toggle.checked = remembered();
toggle.addEventListener("change", () => {
  remember(toggle.checked);
  mark(toggle.checked);
});
mark(toggle.checked);
legend.hidden = false;
