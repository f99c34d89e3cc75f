// Keeps what is typed as a draft on the server. Quiet when that fails: the button "Salvar rascunho" is there too.
const DELAY = 4000; // milliseconds from a change to the draft

const said = document.querySelector("[data-draft]");
const { form } = document.querySelector(".request-form button[name=salvar]");

let timer; // while something is not saved
let pending; // the request under way
let sending = false; // the form itself is on its way: its draft goes with it

function typed() {
  const fields = new FormData(form);
  fields.delete("attachments");
  fields.set("protocolo", said.dataset.draftOf);
  return new URLSearchParams(fields);
}

function tell({ at, note }) {
  const words = `Rascunho salvo às ${at}. ${note}`.trim();
  if (said.textContent === words) return;
  said.textContent = words;
  // A screen reader hears it once, and a warning; the hour that changes while somebody types is for the eyes.
  setTimeout(() => said.setAttribute("aria-live", note ? "polite" : "off"), 1000);
}

async function save() {
  clearTimeout(timer);
  timer = undefined;
  if (sending) return;
  pending?.abort();
  pending = new AbortController();
  try {
    const answer = await fetch(said.dataset.draft, {
      method: "POST",
      body: typed(),
      headers: { Accept: "application/json" },
      keepalive: true,
      signal: pending.signal,
    });
    if (answer.ok && !answer.redirected) tell(await answer.json());
  } catch {
    // No network, or the form was sent meanwhile.
  }
}

function changed() {
  timer ??= setTimeout(save, DELAY);
}

for (const sort of ["input", "change", "person-chosen"]) form.addEventListener(sort, changed);
document.addEventListener("visibilitychange", () => {
  if (document.hidden && timer) save();
});
form.addEventListener("submit", () => {
  sending = true;
  clearTimeout(timer);
  timer = undefined;
  pending?.abort();
});
addEventListener("pageshow", () => {
  sending = false;
});
