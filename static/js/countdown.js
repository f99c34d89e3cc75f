// "Em {n} segundos você será redirecionado": counts, can be stopped, and leaves the way back in the browser's history.
for (const box of document.querySelectorAll("[data-countdown]")) {
  const part = (name) => box.querySelector(`[data-countdown-${name}]`);
  const stop = part("stop");
  let left = Number(box.dataset.countdown);

  const show = () => {
    part("number").textContent = left;
    part("unit").textContent = left === 1 ? "segundo" : "segundos";
  };
  const timer = setInterval(() => {
    left -= 1;
    show();
    if (left <= 0) {
      clearInterval(timer);
      location.assign(box.dataset.countdownTarget);
    }
  }, 1000);
  stop.addEventListener("click", () => {
    clearInterval(timer);
    part("text").hidden = true;
    stop.hidden = true;
    part("stopped").textContent = "Você fica nesta página. Quando quiser, use o link para ir ao login.";
  });

  show();
  part("text").hidden = false;
  stop.hidden = false;
}
