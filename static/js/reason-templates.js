// Shows the text of the chosen "Modelo de motivo" below it. Without this the texts stand in a list of their own.
const list = document.querySelector("select[data-reasons]");
const texts = document.querySelector("[data-reason-texts]");
const preview = document.querySelector("[data-reason-preview]");

function show() {
  const chosen = [...texts.querySelectorAll("[data-reason]")].find(({ dataset }) => dataset.reason === list.value);
  preview.hidden = !chosen;
  preview.textContent = chosen ? `Quem pediu vai ler: ${chosen.textContent.trim()}` : "";
}

if (list && texts && preview) {
  texts.hidden = true;
  list.addEventListener("change", show);
  show();
}
