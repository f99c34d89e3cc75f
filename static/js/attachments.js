// Files that are too large, or too many, are told of before they are sent, and not chosen.
const block = document.querySelector("[data-attachments]");
const input = block.querySelector("input[type=file]");
const { largest, most } = block.dataset;

function faultOf(files) {
  const large = files.find(({ size }) => size > Number(largest));
  if (large) return `O arquivo “${large.name}” tem mais de ${Number(largest) / 1024 ** 2} MB. Escolha um menor.`;
  const listed = block.querySelectorAll("li").length;
  if (files.length + listed > Number(most)) return `Um pedido leva no máximo ${most} arquivos. Escolha menos.`;
  return "";
}

// Empty, and there from the start: only then do screen readers read out what comes.
const complaint = document.createElement("div");
complaint.id = "id_attachments_told";
complaint.setAttribute("role", "alert");
input.before(complaint);
input.setAttribute("aria-describedby", `${input.getAttribute("aria-describedby") ?? ""} ${complaint.id}`.trim());

input.addEventListener("change", () => {
  const fault = faultOf([...input.files]);
  complaint.textContent = fault;
  complaint.className = fault ? "invalid-feedback" : "";
  input.removeAttribute("aria-invalid");
  if (!fault) return;
  input.value = "";
  input.setAttribute("aria-invalid", "true");
});
