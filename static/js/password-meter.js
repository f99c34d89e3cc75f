// How long the new password is so far, and whether both fields agree: seen at once, said when the typing pauses.
// Nothing leaves the page. The length is all that is known here: whether a password is common is for the server to say.
const PAUSE = 1200;

const lengthOf = (text) => [...text.normalize("NFC")].length;
const characters = (count) => `${count} ${count === 1 ? "caractere" : "caracteres"}`;

function aboutLength(length, least, most) {
  if (length > most) return `${characters(length)}: o máximo é ${most}. Tire ${length - most}.`;
  if (length >= least) return `${characters(length)}: o tamanho basta. Só o tamanho foi conferido aqui.`;
  const left = least - length;
  return `${length} de ${least} caracteres. ${left === 1 ? "Falta" : "Faltam"} ${left}.`;
}

function aboutBoth(first, second) {
  if (!second) return "";
  return first === second ? " As duas senhas são iguais." : " As duas senhas ainda não são iguais.";
}

for (const box of document.querySelectorAll("[data-password-meter]")) {
  const part = (name) => box.querySelector(`[data-password-${name}]`);
  const first = document.getElementById(box.dataset.passwordMeter);
  const second = document.getElementById(box.dataset.passwordAgain);
  const least = Number(box.dataset.passwordLeast);
  const most = Number(box.dataset.passwordMost);
  let pause;

  const look = () => {
    const length = lengthOf(first.value);
    const bar = part("bar");
    const told = aboutLength(length, least, most);
    bar.value = Math.min(length, least);
    // Full is best; past the maximum the best is at the empty end, and full is worst.
    bar.optimum = length > most ? 0 : least;
    bar.low = bar.high = length > most ? 1 : least;
    bar.setAttribute("aria-valuetext", told);
    part("seen").textContent = told + aboutBoth(first.value, second.value);
  };
  const typed = () => {
    look();
    clearTimeout(pause);
    pause = setTimeout(() => {
      part("said").textContent = part("seen").textContent;
    }, PAUSE);
  };
  first.addEventListener("input", typed);
  second.addEventListener("input", typed);

  look();
  box.hidden = false;
}
