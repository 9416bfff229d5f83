"use strict";
// The gallery: filters, order, a grid that holds only the cards on screen, and the large view. Its state is in the URL.
(() => {
  const get = (id) => document.getElementById(id);
  const grid = get("gallery"), tools = get("tools"), dialog = get("large");
  if (!grid || !tools) return;
  const data = JSON.parse(get("table").textContent);
  const total = data.path.length;
  const RIGHT = 0, WRONG = 1;
  const ROWS_AROUND = 2, WHOLE = 60, PRINTED = 48;
  const defaults = {
    split: "", label: "", error: "", finding: "", find: "", sort: "given",
    method: data.methods[0] || "", target: "predicted", map: "1", opacity: "50", picture: "",
  };
  const controls = ["split", "label", "error", "finding", "find", "sort", "method", "target", "opacity"];
  let state = { ...defaults }, order = [], focused = 0, current = -1, columns = 1, cell = { w: 1, h: 1 }, opener = null;
  let chosenTarget = null;

  // Helpers

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const percent = (share) => (share === null ? "–" : share === 1 || share === 0 ? `${share * 100}\u202f%`
    : `${(share * 100).toFixed(1)}\u202f%`);
  const number = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const key = (row) => `${data.splits[data.split[row]]}/${data.path[row]}`;
  const said = (row) => `${data.names[data.predicted[row]]} ${percent(data.confidence[row])}`;
  const truth = (row) => (data.state[row] === WRONG ? `is ${data.names[data.label[row]]}`
    : data.state[row] === RIGHT ? "" : `from ${data.names[data.label[row]]}`);

  function tileOf(row, wanted) {
    const tiles = data.tiles[row], method = data.methods.indexOf(state.method);
    const own = tiles.map((tile, place) => ({ tile, place })).filter(({ tile }) => tile[0] === method);
    return own.find(({ tile }) => tile[1] === wanted) || own[0] || null;
  }
  const wantedTarget = (row) => (state.target === "label" ? data.label[row] : data.predicted[row]);
  const words = (tile) => `${data.methods[tile[0]]} map for ${data.names[tile[1]]}, hottest at the ${data.places[tile[2]]}`;

  // A picture with its map in a frame of the given width / height.
  function stage(tag, row, box, found, lazy) {
    const frame = make(tag, "stage"), fit = make("span", "fit");
    frame.style.setProperty("--ratio", data.ratio[row]);
    frame.style.setProperty("--box", box);
    if (data.photos[row]) {
      const photo = make("img", "photo");
      photo.alt = data.path[row];
      photo.decoding = "async";
      if (lazy) photo.loading = "lazy";
      photo.src = data.photos[row];
      photo.addEventListener("error", () => photo.replaceWith(make("span", "nothing", "this picture's file is missing")));
      fit.append(photo);
    } else {
      fit.append(make("span", "nothing", data.words[row][0] || "no picture"));
    }
    if (found && data.strips[row]) {
      const tile = make("span", "tile-of"), strip = make("img", "heat");
      strip.style.setProperty("--tiles", data.tiles[row].length);
      strip.style.setProperty("--tile", found.place);
      strip.alt = `with the ${words(found.tile)}`;
      strip.decoding = "async";
      if (lazy) strip.loading = "lazy";
      strip.src = data.strips[row];
      strip.addEventListener("error", () => tile.remove());
      tile.append(strip);
      fit.append(tile);
    }
    frame.append(fit);
    return frame;
  }

  function card(place) {
    const row = order[place];
    const element = make("div", `card${data.state[row] === WRONG ? " wrong" : ""}`);
    element.setAttribute("role", "listitem");
    element.setAttribute("aria-setsize", order.length);
    element.setAttribute("aria-posinset", place + 1);
    Object.assign(element.dataset, { place, path: data.path[row], split: data.splits[data.split[row]] });
    const found = state.map === "1" ? tileOf(row, wantedTarget(row)) : null;
    const button = stage("button", row, data.box, found, true);
    button.type = "button";
    button.tabIndex = place === focused ? 0 : -1;
    const mark = data.state[row] === WRONG ? "wrong, " : "";
    button.setAttribute("aria-label", [`${mark}${said(row)}`, truth(row), data.path[row]].filter(Boolean).join(", "));
    const text = make("div", "text"), verdict = make("p", "verdict");
    if (data.state[row] === WRONG) verdict.append(make("span", "mark", "wrong"));
    verdict.append(make("b", "", data.names[data.predicted[row]]), ` ${percent(data.confidence[row])}`);
    const below = make("p", "truth", truth(row));
    const chips = make("span", "chips");
    for (const one of data.findings_of[row]) chips.append(make("span", "chip", data.findings[one].id));
    below.append(chips);
    const path = make("p", "path", data.path[row]);
    path.title = data.path[row];
    text.append(verdict, below, path);
    element.append(button, text);
    return element;
  }

  // Choosing and ordering

  function choose() {
    const split = data.splits.indexOf(state.split), label = data.names.indexOf(state.label);
    const finding = data.findings.findIndex((one) => one.id === state.finding);
    const find = state.find.toLowerCase();
    order = [];
    for (let row = 0; row < total; row += 1) {
      if (state.split && data.split[row] !== split) continue;
      if (state.label && data.label[row] !== label) continue;
      if (state.error === "wrong" && data.state[row] !== WRONG) continue;
      if (state.error === "right" && data.state[row] !== RIGHT) continue;
      if (state.finding && !data.findings_of[row].includes(finding)) continue;
      if (find && !data.path[row].toLowerCase().includes(find)) continue;
      order.push(row);
    }
    const sure = (row) => data.confidence[row] ?? -1, loss = (row) => data.loss[row] ?? -1;
    const wrong = (row) => (data.state[row] === WRONG ? 1 : 0);
    const orders = {
      given: (a, b) => data.split[a] - data.split[b] || wrong(b) - wrong(a) || (wrong(a) ? sure(b) - sure(a) : 0) || a - b,
      sure: (a, b) => sure(b) - sure(a) || a - b,
      unsure: (a, b) => sure(a) - sure(b) || a - b,
      loss: (a, b) => loss(b) - loss(a) || a - b,
      easy: (a, b) => (data.loss[a] ?? Infinity) - (data.loss[b] ?? Infinity) || a - b,
      path: (a, b) => (data.path[a] < data.path[b] ? -1 : data.path[a] > data.path[b] ? 1 : a - b),
    };
    order.sort(orders[state.sort] || orders.given);
    focused = 0;
    get("count").textContent = `${number(order.length)} of ${number(total)} shown`;
    get("none").hidden = order.length > 0;
  }

  // The grid: cards have one size, so the place of each is known without making it.

  function measure() {
    const gap = parseFloat(getComputedStyle(grid).getPropertyValue("--gap"));
    const least = parseFloat(getComputedStyle(grid).getPropertyValue("--least"));
    const text = parseFloat(getComputedStyle(grid).getPropertyValue("--text"));
    const width = grid.clientWidth;
    columns = Math.max(1, Math.floor((width + gap) / (least + gap)));
    const side = (width - gap * (columns - 1)) / columns;
    cell = { w: side + gap, h: Math.ceil(side / data.box + text) + gap, side, gap };
    grid.style.height = `${Math.max(0, Math.ceil(order.length / columns) * cell.h - gap)}px`;
  }

  function draw(fresh) {
    if (document.body.classList.contains("printing")) return;
    const top = grid.getBoundingClientRect().top;
    const few = order.length <= WHOLE;
    const first = few ? 0 : Math.max(0, Math.floor(-top / cell.h) - ROWS_AROUND) * columns;
    const last = few ? order.length
      : Math.min(order.length, (Math.ceil((innerHeight - top) / cell.h) + ROWS_AROUND) * columns);
    const there = new Map();
    for (const element of [...grid.children]) {
      const place = Number(element.dataset.place), held = !fresh && element.contains(document.activeElement);
      if (!fresh && ((place >= first && place < last) || held)) there.set(place, element);
      else element.remove();
    }
    let before = null;
    for (let place = first; place < last; place += 1) {
      let element = there.get(place);
      if (!element) {
        element = card(place);
        if (before) before.after(element);
        else grid.prepend(element);
      }
      element.style.width = `${cell.side}px`;
      element.style.height = `${cell.h - cell.gap}px`;
      element.style.transform = `translate(${(place % columns) * cell.w}px, ${Math.floor(place / columns) * cell.h}px)`;
      before = element;
    }
  }

  function focusOn(place) {
    focused = Math.max(0, Math.min(order.length - 1, place));
    for (const button of grid.querySelectorAll("button.stage")) button.tabIndex = -1;
    const covered = getComputedStyle(tools).position === "sticky" ? tools.offsetHeight + tools.offsetTop - window.scrollY : 0;
    const above = Math.max(0, Math.min(covered, 240)) + cell.gap;
    const y = grid.getBoundingClientRect().top + Math.floor(focused / columns) * cell.h;
    if (y < above) window.scrollBy({ top: y - above, behavior: "instant" });
    else if (y + cell.h > innerHeight) window.scrollBy({ top: y + cell.h - innerHeight, behavior: "instant" });
    draw(false);
    const button = grid.querySelector(`[data-place="${focused}"] button.stage`);
    if (button) {
      button.tabIndex = 0;
      button.focus({ preventScroll: true });
    }
  }

  // The large view

  function enlarge(row) {
    if (row !== current) chosenTarget = null;
    current = row;
    const place = order.indexOf(row);
    const wanted = chosenTarget === null ? wantedTarget(row) : chosenTarget;
    const found = tileOf(row, wanted);
    get("large-title").textContent = data.path[row];
    const verdict = get("large-verdict");
    verdict.replaceChildren();
    if (data.state[row] === WRONG) verdict.append(make("span", "mark", "wrong"));
    verdict.append(make("b", "", said(row)));
    if (truth(row)) verdict.append(make("span", "truth", ` ${truth(row)}`));
    get("large-count").textContent = place < 0 ? "" : `${number(place + 1)} of ${number(order.length)}`;
    const frames = [];
    const figure = (what, caption) => {
      const one = make("figure");
      one.append(what, make("figcaption", "", caption));
      return one;
    };
    frames.push(figure(stage("div", row, data.ratio[row], null, false), "picture"));
    if (found) {
      const shown = state.map === "1" ? found : null;
      const caption = shown ? words(found.tile) : "the map is switched off (press M)";
      frames.push(figure(stage("div", row, data.ratio[row], shown, false), caption));
    }
    get("large-stages").replaceChildren(...frames);
    const list = make("ul", "chances plain");
    for (const [name, share] of data.chances[row]) {
      const mapped = data.tiles[row].some((tile) => tile[1] === name && data.methods[tile[0]] === state.method);
      const line = make(mapped ? "button" : "span", mapped ? "" : "row"), bar = make("span", "bar");
      bar.style.setProperty("--share", share ?? 0);
      line.append(make("span", "name", data.names[name]), bar, make("span", "value", percent(share)));
      if (mapped) {
        line.type = "button";
        line.dataset.target = data.names[name];
        line.setAttribute("aria-pressed", String(Boolean(found) && found.tile[1] === name));
        line.title = `Show the map for ${data.names[name]}`;
        line.addEventListener("click", () => {
          chosenTarget = name;
          const again = [...list.querySelectorAll("button")].indexOf(line);
          enlarge(row);
          get("large-facts").querySelectorAll("button")[again]?.focus();
        });
      }
      const item = make("li");
      item.append(line);
      list.append(item);
    }
    const facts = [list];
    const about = [`${data.splits[data.split[row]]} set`];
    if (data.loss[row] !== null) about.push(`loss ${data.loss[row].toPrecision(3)}`);
    facts.push(make("p", "quiet", about.join(" · ")));
    for (const flag of data.words[row]) facts.push(make("p", "flag", flag));
    for (const one of data.findings_of[row]) {
      const line = make("p", "quiet"), link = make("a", "", `${data.findings[one].id} ${data.findings[one].name}`);
      link.href = `#${data.findings[one].anchor}`;
      link.addEventListener("click", () => close());
      line.append("behind ", link);
      facts.push(line);
    }
    get("large-facts").replaceChildren(...facts);
    for (const id of ["map", "large-map"]) if (get(id)) get(id).checked = state.map === "1";
    if (!dialog.open) {
      opener = document.activeElement;
      dialog.showModal();
      get("next").focus({ preventScroll: true });
      dialog.scrollTop = 0;
    } else if (!dialog.contains(document.activeElement)) {
      get("next").focus({ preventScroll: true }); // what had the focus belonged to the picture before
    }
    state.picture = key(row);
    remember();
  }

  function close() {
    if (dialog.open) dialog.close();
  }

  function step(by) {
    if (!order.length) return;
    const place = order.indexOf(current);
    focused = place < 0 ? 0 : (place + by + order.length) % order.length;
    enlarge(order[focused]);
  }

  // The URL

  function remember() {
    const pairs = Object.keys(defaults).filter((name) => state[name] !== defaults[name])
      .map((name) => `${name}=${encodeURIComponent(state[name])}`);
    const hash = pairs.length ? `#pictures?${pairs.join("&")}` : location.hash.startsWith("#pictures?") ? "#pictures" : null;
    if (hash !== null && hash !== location.hash) history.replaceState(null, "", hash);
  }

  function recall() {
    const [anchor, query] = location.hash.slice(1).split("?");
    if (anchor !== "pictures" || query === undefined) return false;
    const next = { ...defaults };
    for (const pair of query.split("&")) {
      const [name, value] = pair.split("=");
      try {
        if (Object.hasOwn(defaults, name)) next[name] = decodeURIComponent(value || "");
      } catch { /* not a value of ours */ }
    }
    state = next;
    show();
    const row = state.picture ? data.path.findIndex((_, place) => key(place) === state.picture) : -1;
    if (row < 0) {
      close();
      get("pictures").scrollIntoView();
    } else {
      enlarge(row);
    }
    return true;
  }

  function show() {
    for (const name of controls) {
      if (!get(name)) continue;
      get(name).value = state[name];
      if (get(name).value !== state[name]) get(name).value = state[name] = defaults[name]; // an address may say anything
    }
    if (get("map")) get("map").checked = state.map === "1";
    opacity();
    choose();
    measure();
    draw(true);
  }

  function opacity() {
    document.documentElement.style.setProperty("--heat", Number(state.opacity) / 100);
    if (get("large-opacity")) get("large-opacity").value = state.opacity;
    if (get("opacity")) get("opacity").value = state.opacity;
  }

  function toggleMap(on) {
    state.map = on ? "1" : "0";
    for (const id of ["map", "large-map"]) if (get(id)) get(id).checked = on;
    draw(true);
    if (dialog.open) enlarge(current);
    remember();
  }

  // Events

  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  for (const name of controls) {
    if (!get(name)) continue;
    get(name).addEventListener(name === "opacity" || name === "find" ? "input" : "change", () => {
      state[name] = get(name).value;
      if (name === "opacity") opacity();
      else if (name === "method" || name === "target") draw(true);
      else show();
      remember();
    });
  }
  if (get("map")) get("map").addEventListener("change", () => toggleMap(get("map").checked));
  if (get("large-map")) get("large-map").addEventListener("change", () => toggleMap(get("large-map").checked));
  if (get("large-opacity")) {
    get("large-opacity").addEventListener("input", () => {
      state.opacity = get("large-opacity").value;
      opacity();
      remember();
    });
  }
  get("clear").addEventListener("click", () => {
    state = { ...defaults, map: state.map, opacity: state.opacity, method: state.method };
    show();
    remember();
  });
  grid.addEventListener("click", (event) => {
    const button = event.target.closest("button.stage");
    if (!button) return;
    focused = Number(button.closest(".card").dataset.place);
    enlarge(order[focused]);
  });
  grid.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(innerHeight / cell.h)) * columns;
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page,
      Home: -order.length, End: order.length,
    };
    if (event.key in moves && event.target.closest(".card")) {
      event.preventDefault();
      focusOn(Number(event.target.closest(".card").dataset.place) + moves[event.key]);
    }
  });
  get("previous").addEventListener("click", () => step(-1));
  get("next").addEventListener("click", () => step(1));
  get("close").addEventListener("click", close);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.type === "range") return;
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === "m" || event.key === "M") toggleMap(state.map !== "1");
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("close", () => {
    state.picture = "";
    remember();
    if (opener && opener.isConnected && !grid.contains(opener) && opener !== document.body) opener.focus();
    else if (order.includes(current)) focusOn(order.indexOf(current));
    opener = null;
  });
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw(false);
    });
  }, { passive: true });
  new ResizeObserver(() => {
    if (document.body.classList.contains("printing")) return;
    measure();
    draw(false);
  }).observe(grid.parentElement);
  addEventListener("beforeprint", () => {
    document.body.classList.add("printing");
    grid.replaceChildren(...order.slice(0, PRINTED).map((_, place) => card(place)));
    for (const image of grid.querySelectorAll("img")) image.loading = "eager";
    get("printed").textContent = order.length > PRINTED
      ? `The first ${PRINTED} of ${number(order.length)} pictures are printed.` : "";
  });
  addEventListener("afterprint", () => {
    document.body.classList.remove("printing");
    measure();
    draw(true);
  });
  addEventListener("hashchange", recall);
  if (!recall()) show();
})();
