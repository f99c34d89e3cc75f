// Folds the panel of filters on a narrow screen, as long as no filter is in use. Without this it stays open.
const panel = document.querySelector("details[data-filters]");
const narrow = matchMedia("(max-width: 48rem)");

function fit() {
  panel.open = !(narrow.matches && "folds" in panel.dataset);
}

narrow.addEventListener("change", fit);
fit();
