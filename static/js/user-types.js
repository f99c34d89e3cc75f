// Tipo Usuário offers only the types of the chosen Sistema solicitado; a type chosen first chooses its system.
const system = document.querySelector("select[name=system]");
const type = document.querySelector("select[name=user_type]");
const groups = [...type.querySelectorAll("optgroup")];
const systemOf = (group) => group.querySelector("option").dataset.system;

function offer() {
  // Taken out, not hidden: not every browser hides options.
  for (const group of groups) group.remove();
  type.append(...groups.filter((group) => !system.value || systemOf(group) === system.value));
  if (type.selectedIndex === -1) type.selectedIndex = 0;
}

system.addEventListener("change", () => {
  const chosen = type.selectedOptions[0];
  const fits = !system.value || chosen?.dataset.system === system.value;
  offer();
  type.value = fits && chosen ? chosen.value : "";
});
type.addEventListener("change", () => {
  const { system: wanted } = type.selectedOptions[0].dataset;
  if (!wanted || system.value === wanted) return;
  const { value } = type;
  system.value = wanted;
  offer();
  type.value = value;
});

// After an error, or where the browser filled the fields in: only where the two agree, so that nothing typed is lost.
if (!type.value || type.selectedOptions[0].dataset.system === system.value) {
  const { value } = type;
  offer();
  type.value = value;
}
