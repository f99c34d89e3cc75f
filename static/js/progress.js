// Says how far the server is with a file, and shows the page anew once that has ended.
const EVERY = 2000;
// A page that is left open must not keep the session alive for ever.
const MOST_LOOKS = 300;
let looks = 0;
const line = document.querySelector("[data-progress]");

async function look() {
  try {
    const answer = await fetch(line.dataset.progress, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) return; // the session has ended: the page says so by itself
    const { running, status, told } = await answer.json();
    if (!running || status !== line.dataset.status) {
      location.reload();
      return;
    }
    if (line.textContent !== told) line.textContent = told;
  } catch {
    // The next look may reach it.
  }
  looks += 1;
  if (looks < MOST_LOOKS) setTimeout(look, EVERY);
}

setTimeout(look, EVERY);
