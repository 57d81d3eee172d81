// Asks what would be said of a new password while it is typed. The form needs none of this.
"use strict";
for (const box of document.querySelectorAll("[data-strength-of]")) {
  const field = document.getElementById(box.dataset.strengthOf);
  const [meter, status] = box.children;
  const words = JSON.parse(box.dataset.words);
  const PAUSE = 400; // milliseconds without a key, so that no key asks by itself
  let timer, asked, quietUntil = 0, shown = "";

  const hide = () => {
    meter.hidden = true;
    status.replaceChildren();
    shown = "";
  };

  const show = (found) => {
    const refused = found.problems.length > 0;
    const said = found.problems.map((problem) => problem.text);
    const advised = found.problems.some((problem) => problem.code === "password_too_weak"); // it holds the advice
    if (!advised) said.push(...[found.warning, ...found.suggestions].filter(Boolean));
    const word = refused ? box.dataset.refused : words[found.score] ?? "";
    meter.hidden = found.score === null;
    meter.value = refused ? Math.min(found.score, 1) : found.score;
    meter.setAttribute("aria-valuetext", word);
    const next = JSON.stringify([word, said]);
    if (next === shown) return; // what has not changed is not read out again
    shown = next;
    const list = document.createElement("ul");
    for (const text of said) list.appendChild(document.createElement("li")).textContent = text;
    const strong = document.createElement("strong");
    strong.textContent = word;
    status.replaceChildren(...(word ? [strong] : []), ...(said.length ? [list] : []));
  };

  const ask = async () => {
    if (Date.now() < quietUntil) return hide();
    const body = { password: field.value };
    for (const name of ["username", "email"]) {
      const other = field.form.elements[name];
      if (other && other.value) body[name] = other.value;
    }
    asked = new AbortController();
    const { signal } = asked;
    try {
      const answer = await fetch(box.dataset.url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        cache: "no-store",
        redirect: "error",
        signal,
      });
      if (!answer.ok) {
        quietUntil = Date.now() + 1000 * (Number(answer.headers.get("Retry-After")) || 0);
        throw new Error(answer.status);
      }
      const found = await answer.json();
      if (!signal.aborted) show(found);
    } catch {
      if (!signal.aborted) hide();
    }
  };

  field.addEventListener("input", () => {
    clearTimeout(timer);
    asked?.abort();
    if (field.value) timer = setTimeout(ask, PAUSE);
    else hide();
  });
}
