// What every form has: it is sent once, its errors take the focus, its passwords can be shown.
const SENDING = "Enviando…";

function sendOnce(form) {
  let sent = false;
  let restore = () => {};
  form.addEventListener("submit", (event) => {
    if (sent) {
      event.preventDefault();
      return;
    }
    sent = true;
    const button = event.submitter;
    // A moment later: a button disabled now would not be sent with the form.
    setTimeout(() => {
      sent = !event.defaultPrevented;
      if (!sent || !button) return;
      const words = [...button.childNodes];
      button.disabled = true;
      button.replaceChildren(SENDING);
      restore = () => {
        button.disabled = false;
        button.replaceChildren(...words);
      };
    });
  });
  // Back to this page by the browser's button: it comes as it was left.
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    sent = false;
    restore();
  });
}

function showPassword(input) {
  const button = document.createElement("button");
  const field = document.createElement("span");
  field.className = "visually-hidden";
  field.textContent = ` (${input.labels[0]?.textContent.replace(/[*:]/g, "").trim() ?? "senha"})`;
  button.type = "button";
  button.className = "btn btn-outline-primary";
  button.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-controls", input.id);
  button.append("Mostrar senha", field);
  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  };
  button.addEventListener("click", () => show(input.type === "password"));
  // Browsers remember what was typed in text fields.
  input.form?.addEventListener("submit", () => show(false));

  const row = document.createElement("div");
  row.className = "input-group";
  input.replaceWith(row);
  row.append(input, button);
}

document.querySelectorAll("form[method=post]").forEach(sendOnce);
document.querySelectorAll("input[data-password]").forEach(showPassword);
document.querySelector("[data-error-summary]")?.focus();
