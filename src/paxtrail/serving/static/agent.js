// Keeps the view of a customer as it is now, and the keyboard short.
const customer = document.getElementById("customer");

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const value = document.getElementById("value");
  if (value) value.focus();
  else location.assign("/agent");
});

async function renew(newest) {
  const shown = customer.querySelector("[data-newest]");
  if (shown && Number(shown.dataset.newest) >= newest) return;
  const answer = await fetch(customer.dataset.part, { headers: { accept: "text/html" } });
  if (answer.status === 401) return location.assign("/agent");
  if (!answer.ok) return tell(`Not renewed: the server answered ${answer.status}.`);
  customer.innerHTML = await answer.text();
  tell(`Renewed at ${new Date().toLocaleTimeString()}.`);
}

function tell(text) {
  document.getElementById("told").textContent = text;
}

// A browser comes again by itself when a stream ends, but not once it was refused: by a server that is away, or for a session that ended.
async function again() {
  const answer = await fetch(customer.dataset.changes).catch(() => null);
  await answer?.body?.cancel();
  if (answer?.status === 401) return location.assign("/agent");
  setTimeout(answer?.ok ? listen : again, 3000);
}

let renewing = Promise.resolve();

function listen() {
  const changes = new EventSource(customer.dataset.changes);
  changes.addEventListener("changed", (event) => {
    renewing = renewing.then(() => renew(Number(event.data))).catch(() => tell("Not renewed: no connection."));
  });
  changes.addEventListener("age", (event) => {
    const age = JSON.parse(event.data);
    document.getElementById("age").textContent = age === null ? "no data yet" : `data ${Math.round(age)} s old`;
  });
  changes.addEventListener("error", () => {
    tell("No live connection: trying again.");
    if (changes.readyState === EventSource.CLOSED) again();
  });
  changes.addEventListener("open", () => tell(""));
}

if (customer) listen();
