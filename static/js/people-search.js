// "Efetuar cadastro para": a list to choose from while somebody types. Without this script there is a search button.
const DELAY = 200; // milliseconds after the last key
const HINT = "Digite a matrícula ou pelo menos 3 letras do nome.";
const NOBODY = "Ninguém foi encontrado com esta matrícula ou este nome.";
const SIGNED_OUT = "A sua sessão terminou. Entre de novo em outra aba e volte a esta.";
const UNAVAILABLE = "A busca não respondeu. Confira a conexão e tente de novo.";

const SEARCHING = "Buscando…";

const box = document.querySelector("[data-people-search]");
const original = box.querySelector("input[name=beneficiary_search]");

// --- Asking ---------------------------------------------------------------------------------------------------------
let nothingToShow = HINT; // what the empty list says
let timer;
let pending; // the request under way

const searchable = (query) => /\d/.test(query) || query.replace(/[^\p{L}]/gu, "").length >= 3;
const describe = ({ nome, matricula, cargo, lotacao }) => [nome, matricula, cargo, lotacao].join(" — ");

async function ask(query) {
  pending = new AbortController();
  const address = `${box.dataset.peopleSearch}?${new URLSearchParams({ q: query })}`;
  const response = await fetch(address, { headers: { Accept: "application/json" }, signal: pending.signal });
  if (response.redirected) return { results: [], error: SIGNED_OUT };
  if (!response.ok && response.status !== 403 && response.status !== 429) return { results: [], error: UNAVAILABLE };
  return response.json();
}

function source(query, show) {
  clearTimeout(timer);
  pending?.abort();
  // What stood in the field when the page came is looked up when somebody goes there.
  if (document.activeElement !== input) {
    input.addEventListener("focus", () => source(query, show), { once: true });
    return;
  }
  if (!searchable(query)) {
    nothingToShow = HINT;
    show([]);
    return;
  }
  nothingToShow = SEARCHING;
  timer = setTimeout(async () => {
    try {
      const { results, error } = await ask(query.trim());
      nothingToShow = error ?? NOBODY;
      show(results);
    } catch (failure) {
      if (failure.name === "AbortError") return;
      nothingToShow = UNAVAILABLE;
      show([]);
    }
  }, DELAY);
}

// The list is written as HTML: what comes from the directory must be text in it.
function escaped(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element.innerHTML;
}

// --- What is chosen -------------------------------------------------------------------------------------------------
const hidden = document.createElement("input");
hidden.type = "hidden";
hidden.name = "beneficiary";

const card = document.createElement("p");
card.className = "chosen-person";
card.hidden = true;

function choose(id, person) {
  hidden.value = id;
  card.textContent = id ? `Pessoa escolhida: ${person}` : "";
  card.hidden = !id;
}

// Radios that came with the page: one chosen before becomes the hidden field, several stay to be chosen from.
const radios = box.querySelector("[data-people-choices]");
const chosenBefore = radios?.querySelector("input:checked");
if (chosenBefore) {
  choose(chosenBefore.value, chosenBefore.labels[0].textContent.trim());
  radios.remove();
}
for (const radio of radios?.querySelectorAll("input") ?? []) radio.name = "person"; // the hidden field alone is read
radios?.addEventListener("change", ({ target }) => choose(target.value, target.labels[0].textContent.trim()));

function chooseNobody() {
  choose("", "");
  for (const radio of radios?.querySelectorAll("input") ?? []) radio.checked = false;
}

// --- The field itself -----------------------------------------------------------------------------------------------
const words = (id) => document.getElementById(id)?.textContent.replace(/\s+/g, " ").trim() ?? "";
const help = [words("id_beneficiary_error"), words("id_beneficiary_helptext")].filter(Boolean).join(" ");

const container = document.createElement("div");
box.querySelector("[data-people-search-row]").replaceWith(container);
box.append(card, hidden);

globalThis.accessibleAutocomplete({
  element: container,
  id: original.id,
  name: original.name,
  source,
  minLength: 1,
  confirmOnBlur: false,
  displayMenu: "overlay",
  inputClasses: "form-control",
  templates: { inputValue: (person) => person?.nome ?? "", suggestion: (person) => escaped(describe(person)) },
  onConfirm(person) {
    if (!person) return;
    radios?.remove();
    choose(person.id, describe(person));
    box.dispatchEvent(new CustomEvent("person-chosen", { bubbles: true, detail: person }));
  },
  tNoResults: () => nothingToShow,
  tStatusNoResults: () => nothingToShow,
  tStatusQueryTooShort: () => HINT,
  tStatusSelectedOption: (name, length, index) => `${name}: ${index + 1} de ${length}`,
  tStatusResults: (length, chosen) => `${length === 1 ? "1 pessoa encontrada" : `${length} pessoas encontradas`}. ${chosen}`,
  tAssistiveHint: () => `${help} Quando houver resultados, use as setas para cima e para baixo e Enter para escolher.`,
});

const input = container.querySelector("input");
input.value = original.value;
input.maxLength = original.maxLength;
input.spellcheck = false;
if (original.ariaInvalid) input.ariaInvalid = original.ariaInvalid;
input.addEventListener("input", chooseNobody);

let dismissed = false;
container.addEventListener("keydown", (event) => {
  // Enter chooses from the list; it never sends a form that is half filled in.
  if (event.key === "Enter") event.preventDefault();
  if (event.key === "Escape") dismissed = true;
});
input.addEventListener("input", () => {
  // After Escape the list believes that the focus is gone, and would not say that nobody was found.
  if (dismissed) input.dispatchEvent(new FocusEvent("focus"));
  dismissed = false;
});
