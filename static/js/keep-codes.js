// The recovery codes, printed or copied: buttons that are there only where they work.
for (const box of document.querySelectorAll("[data-keep-codes]")) {
  const part = (name) => box.querySelector(`[data-keep-codes-${name}]`);
  const codes = [...document.querySelectorAll(".recovery-codes li")].map((code) => code.textContent.trim());

  part("print").addEventListener("click", () => window.print());
  part("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(codes.join("\n"));
      part("said").textContent = "Códigos copiados. Cole em um lugar seguro.";
    } catch {
      part("said").textContent = "O navegador não deixou copiar. Imprima ou anote.";
    }
  });

  part("copy").hidden = !navigator.clipboard;
  box.hidden = false;
}
