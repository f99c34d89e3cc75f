// "Unidade" stands in the form only while the chosen system asks for it; the person's own unit comes first in it.
const form = document.querySelector(".request-form");
const { system, unit } = form.elements;
const field = document.getElementById("div_id_unit");

function show() {
  field.hidden = !system.selectedOptions[0]?.hasAttribute("data-asks-unit");
}

form.addEventListener("change", show);
show();

// --- The person's own unit --------------------------------------------------------------------------------------------
const FIRST = "Lotação da pessoa";
// The search names a unit with its comarca; the list has the comarca above it.
const isNamed = (option, name) => [option.text, `${option.text} – ${option.parentElement.label}`].includes(name);

form.addEventListener("person-chosen", ({ detail: { lotacao } }) => {
  const { value } = unit;
  unit.querySelector(`optgroup[label="${FIRST}"]`)?.remove();
  const own = [...unit.querySelectorAll("optgroup > option")].find((option) => isNamed(option, lotacao));
  if (own) {
    const group = document.createElement("optgroup");
    group.label = FIRST;
    group.append(new Option(lotacao, own.value));
    unit.options[0].after(group);
  }
  unit.value = value;
});
