// Words and worker for ALTCHA. Loads after pt-br.js, which makes $altcha, and before the widget, which reads it.
const { algorithms, i18n } = globalThis.$altcha;

const words = {
  ...i18n.get("pt-br"),
  label: "Não sou um robô",
  verifying: "Verificando…",
  verified: "Verificado: você não é um robô",
  waitAlert: "Verificando. Aguarde um instante.",
  error: "Não foi possível verificar. Confira a sua conexão e tente de novo, ou ligue para a Coordenadoria.",
  expired: "O tempo da verificação acabou. Marque a caixa de novo.",
};
i18n.set("pt-br", words);

// The worker's address changes with its content, so the page tells it.
algorithms.set("PBKDF2/SHA-256", () => new Worker(document.querySelector("[data-captcha-worker]").dataset.captchaWorker));

// Screen readers do not notice that the label changed; errors are announced by the widget itself.
for (const status of document.querySelectorAll("[data-captcha-status]")) {
  status.previousElementSibling.addEventListener("statechange", ({ detail }) => {
    status.textContent = { verifying: words.verifying, verified: words.verified }[detail.state] ?? "";
  });
}
