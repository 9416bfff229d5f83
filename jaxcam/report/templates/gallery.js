"use strict";
(() => {
  const gallery = document.getElementById("gallery");
  const tools = document.getElementById("tools");
  if (!gallery || !tools) return;
  const get = (id) => document.getElementById(id);
  const value = (id) => (get(id) ? get(id).value : "");
  const cards = [...gallery.children];
  const dialog = get("large");
  let current = null;

  const orders = {
    given: (a, b) => b.dataset.wrong - a.dataset.wrong || a.dataset.order - b.dataset.order,
    sure: (a, b) => b.dataset.confidence - a.dataset.confidence,
    unsure: (a, b) => a.dataset.confidence - b.dataset.confidence,
    path: (a, b) => (a.dataset.path < b.dataset.path ? -1 : a.dataset.path > b.dataset.path ? 1 : 0),
  };

  const visible = () => [...gallery.children].filter((card) => !card.hidden);

  function choose() {
    const split = value("by-split"), label = value("by-label"), wrong = get("only-wrong").checked;
    for (const card of cards) {
      card.hidden = Boolean((split && card.dataset.split !== split) || (label && card.dataset.label !== label)
        || (wrong && card.dataset.wrong !== "1"));
    }
    gallery.append(...[...cards].sort(orders[value("sort")]));
    const count = visible().length;
    get("count").textContent = `${count} of ${cards.length} shown`;
    get("none").hidden = count > 0;
  }

  function showHeat(card) {
    const method = value("by-method");
    const pressed = card.querySelector('.chances [aria-pressed="true"]');
    const heats = [...card.querySelectorAll(".heat")].filter((heat) => heat.dataset.method === method);
    const target = heats.some((heat) => pressed && heat.dataset.target === pressed.dataset.target)
      ? pressed.dataset.target : heats.length ? heats[0].dataset.target : null;
    for (const heat of card.querySelectorAll(".heat")) {
      heat.hidden = heat.dataset.method !== method || heat.dataset.target !== target;
    }
    for (const button of card.querySelectorAll(".chances button")) {
      button.setAttribute("aria-pressed", String(button.dataset.target === target));
    }
  }

  function stage(card, heat, caption) {
    const figure = document.createElement("figure");
    const box = document.createElement("div");
    const fit = document.createElement("span");
    const text = document.createElement("figcaption");
    const ratio = card.querySelector(".stage").style.getPropertyValue("--ratio");
    box.className = "stage";
    fit.className = "fit";
    for (const name of ["--ratio", "--box"]) box.style.setProperty(name, ratio);
    for (const part of [card.querySelector(".photo, .nothing"), heat]) {
      if (!part) continue;
      const copy = part.cloneNode(true);
      copy.hidden = false;
      fit.append(copy);
    }
    box.append(fit);
    text.textContent = caption;
    figure.append(box, text);
    return figure;
  }

  function enlarge(card) {
    current = card;
    const method = value("by-method");
    get("large-title").textContent = card.dataset.path;
    get("large-verdict").textContent = card.dataset.verdict;
    const stages = [stage(card, null, "picture")];
    for (const heat of card.querySelectorAll(".heat")) {
      if (heat.dataset.method === method) stages.push(stage(card, heat, `${method} for ${heat.dataset.target}`));
    }
    get("large-stages").replaceChildren(...stages);
    if (!dialog.open) dialog.showModal();
  }

  function step(by) {
    const list = visible();
    if (list.length) enlarge(list[(list.indexOf(current) + by + list.length) % list.length]);
  }

  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["by-split", "by-label", "sort", "only-wrong"]) get(id).addEventListener("change", choose);
  if (get("by-method")) get("by-method").addEventListener("change", () => cards.forEach(showHeat));
  if (get("strength")) {
    const strength = () => document.documentElement.style.setProperty("--heat", get("strength").value / 100);
    get("strength").addEventListener("input", strength);
    strength();
  }
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const card = button.closest(".card");
    if (button.classList.contains("stage")) return enlarge(card);
    for (const other of card.querySelectorAll(".chances button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    showHeat(card);
  });
  get("previous").addEventListener("click", () => step(-1));
  get("next").addEventListener("click", () => step(1));
  get("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("close", () => { if (current) current.querySelector(".stage").focus(); });
  choose();
})();
