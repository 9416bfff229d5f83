"use strict";
(() => {
  const source = document.getElementById("data");
  const plane = document.getElementById("plane");
  if (!source || !plane) return;
  const data = JSON.parse(source.textContent);
  const get = (id) => document.getElementById(id);
  const count = data.paths.length;
  const CELLS = 96, REACH = 14, CLICK = 40;  // pixels around the pointer: to point at a picture, to click one

  // Colours that stay apart for most eyes; behind them further hues.
  const BASE = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#009988", "#997700", "#6a51a3", "#b15928", "#17becf"];
  const colourOf = (n) => (n < BASE.length ? BASE[n] : `hsl(${(n * 137.508) % 360} ${55 + (n % 3) * 15}% ${42 + (n % 4) * 7}%)`);

  const groups = {
    label: { title: "Classes", of: (i) => data.label[i], words: data.words },
    predicted: { title: "Predictions", of: (i) => data.predicted[i], words: data.words },
    split: { title: "Splits", of: (i) => data.split[i], words: data.splits },
    wrong: { title: "Right or wrong", of: (i) => (data.known[i] ? data.wrong[i] : 2), words: ["right", "wrong", "class not known"] },
  };
  const decode = (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true) / 65535);
  };
  const places = Object.fromEntries(Object.entries(data.places).map(([name, text]) => [name, decode(text)]));

  let where = new Float32Array(0), spans = [1, 1], group = groups.label, off = new Set(), order = new Map();
  let visible = new Uint8Array(count), grid = new Map(), marked = new Set();
  let scale = 1, left = 0, top = 0, hovered = -1, chosen = -1, waiting = false;

  // --- pictures: a sheet is decoded when one of its pictures is first wanted ---
  const loaded = new Map();
  function sheet(kind, number) {
    const key = `${kind} ${number}`;
    if (!loaded.has(key)) {
      const image = new Image();
      image.src = data[kind][number];
      loaded.set(key, image.decode().then(() => image, () => null));
    }
    return loaded.get(key);
  }
  async function paint(canvas, i, withMap) {
    const [width, height] = data.tile, tile = data.tiles[i];
    canvas.width = width;
    canvas.height = height;
    canvas.dataset.row = String(i);
    if (tile < 0) return;
    const each = data.across * data.across, number = Math.floor(tile / each), inside = tile % each;
    const x = (inside % data.across) * width, y = Math.floor(inside / data.across) * height;
    const map = withMap && data.heats.length ? sheet("heats", number) : null;
    const [photo, heat] = await Promise.all([sheet("sheets", number), map]);
    if (canvas.dataset.row !== String(i)) return;
    const pen = canvas.getContext("2d");
    pen.globalAlpha = 1;
    if (photo) pen.drawImage(photo, x, y, width, height, 0, 0, width, height);
    if (heat) {
      pen.globalAlpha = get("heat") ? get("heat").value / 100 : 0;
      pen.drawImage(heat, x, y, width, height, 0, 0, width, height);
    }
  }

  // --- the plane ---
  const above = get("above");
  const size = () => [plane.clientWidth, plane.clientHeight];
  const at = (i) => [left + where[2 * i] * scale, top + where[2 * i + 1] * scale];
  const radius = () => Math.max(1.6, Math.min(6, (26 / Math.sqrt(count)) * 8 * Math.sqrt(scale / fitted().scale)));
  function fitted() {
    const [width, height] = size();
    const best = Math.min((width - 48) / spans[0], (height - 48) / spans[1]);
    return { scale: best, left: (width - spans[0] * best) / 2, top: (height - spans[1] * best) / 2 };
  }
  function whole() {
    ({ scale, left, top } = fitted());
    redraw();
  }
  function dots(r, ratio) {
    const made = new Map();
    return (n) => {
      if (!made.has(n)) {
        const dot = document.createElement("canvas"), side = Math.ceil(2 * (r + 1) * ratio);
        dot.width = dot.height = side;
        const pen = dot.getContext("2d");
        pen.fillStyle = colourOf(order.get(n));
        pen.globalAlpha = count > 3000 ? 0.75 : 0.9;
        pen.beginPath();
        pen.arc(side / 2, side / 2, r * ratio, 0, 7);
        pen.fill();
        made.set(n, dot);
      }
      return made.get(n);
    };
  }
  function draw() {
    waiting = false;
    const started = performance.now();
    const [width, height] = size(), ratio = window.devicePixelRatio || 1;
    for (const canvas of [plane, above]) {
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
    }
    const pen = plane.getContext("2d"), r = radius(), dot = dots(r, ratio), half = r + 1;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, plane.width, plane.height);
    for (let i = 0; i < count; i++) {
      if (!visible[i]) continue;
      const x = left + where[2 * i] * scale, y = top + where[2 * i + 1] * scale;
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
      pen.drawImage(dot(group.of(i)), (x - half) * ratio, (y - half) * ratio);
    }
    drawAbove();
    plane.dataset.frame = (performance.now() - started).toFixed(1);
  }
  function drawAbove() {
    const pen = above.getContext("2d"), ratio = window.devicePixelRatio || 1, r = radius();
    const ink = getComputedStyle(document.body).color;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, above.width, above.height);
    const ring = (i, extra, wide, colour) => {
      const [x, y] = at(i);
      pen.strokeStyle = colour;
      pen.lineWidth = wide;
      pen.beginPath();
      pen.arc(x, y, r + extra, 0, 7);
      pen.stroke();
    };
    for (const i of marked) if (visible[i]) ring(i, 3, 1.5, ink);
    if (chosen >= 0) {
      for (let k = 0; k < data.neighbours; k++) {
        const i = data.near[chosen * data.neighbours + k], [x, y] = at(i), [a, b] = at(chosen);
        pen.strokeStyle = ink;
        pen.globalAlpha = 0.35;
        pen.lineWidth = 1;
        pen.beginPath();
        pen.moveTo(a, b);
        pen.lineTo(x, y);
        pen.stroke();
        pen.globalAlpha = 1;
        ring(i, 2, 1.2, ink);
      }
      ring(chosen, 4, 2.5, ink);
    }
    if (hovered >= 0) ring(hovered, 3, 2, ink);
  }
  function redraw() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }

  // --- finding points: a grid of cells over the places ---
  function index() {
    grid = new Map();
    for (let i = 0; i < count; i++) {
      if (!visible[i]) continue;
      const cell = Math.floor(where[2 * i] * CELLS) * 4096 + Math.floor(where[2 * i + 1] * CELLS);
      if (!grid.has(cell)) grid.set(cell, []);
      grid.get(cell).push(i);
    }
  }
  function nearest(x, y, reach) {
    const u = (x - left) / scale, v = (y - top) / scale, span = reach / scale;
    let best = -1, least = reach * reach;
    const low = (value) => Math.max(0, Math.floor((value - span) * CELLS));
    const high = (value) => Math.min(CELLS, Math.floor((value + span) * CELLS));
    for (let a = low(u); a <= high(u); a++) {
      for (let b = low(v); b <= high(v); b++) {
        for (const i of grid.get(a * 4096 + b) || []) {
          const [px, py] = at(i), far = (px - x) ** 2 + (py - y) ** 2;
          if (far < least) [best, least] = [i, far];
        }
      }
    }
    return best;
  }

  // --- what is shown ---
  function choose() {
    const only = get("only-wrong").checked;
    let shown = 0;
    for (let i = 0; i < count; i++) {
      visible[i] = !off.has(group.of(i)) && (!only || data.wrong[i]) ? 1 : 0;
      shown += visible[i];
    }
    if (hovered >= 0 && !visible[hovered]) hovered = -1;
    get("count").textContent = `${shown} of ${count} shown`;
    index();
    redraw();
  }
  function verdict(i) {
    const says = `${data.words[data.predicted[i]]} ${(data.sure[i] / 1000).toFixed(2)}`;
    const own = data.words[data.label[i]];
    return data.wrong[i] ? `${own}, says ${says}` : data.known[i] ? says : `(${own}) says ${says}`;
  }
  function show(i) {
    get("verdict").textContent = verdict(i);
    get("verdict").classList.toggle("truth", Boolean(data.wrong[i]));
    get("path").textContent = data.splits.length > 1 ? `${data.splits[data.split[i]]}: ${data.paths[i]}` : data.paths[i];
    get("picture").setAttribute("aria-label", `${data.paths[i]}: ${verdict(i)}`);
    paint(get("picture"), i, true);
  }
  function hover(i) {
    if (i === hovered) return;
    hovered = i;
    if (i >= 0) show(i);
    else if (chosen >= 0) show(chosen);
    drawAbove();
  }
  function pick(i) {
    chosen = i;
    get("neighbours").hidden = i < 0 || !data.neighbours;
    const items = [];
    for (let k = 0; i >= 0 && k < data.neighbours; k++) {
      const j = data.near[i * data.neighbours + k];
      const item = document.createElement("li"), button = document.createElement("button");
      const canvas = document.createElement("canvas"), text = document.createElement("small");
      button.type = "button";
      button.classList.toggle("wrong", Boolean(data.wrong[j]));
      button.title = `${data.paths[j]}: ${verdict(j)}, similarity ${(data.alike[i * data.neighbours + k] / 1000).toFixed(3)}`;
      button.setAttribute("aria-label", button.title);
      button.addEventListener("click", () => pick(j));
      button.addEventListener("pointerenter", () => hover(j));
      button.addEventListener("focus", () => hover(j));
      text.textContent = data.words[data.label[j]];
      button.append(canvas, text);
      item.append(button);
      items.push(item);
      paint(canvas, j, false);
    }
    get("near").replaceChildren(...items);
    if (i >= 0) show(i);
    drawAbove();
  }
  function legend() {
    off = new Set();
    const totals = new Map();
    for (let i = 0; i < count; i++) totals.set(group.of(i), (totals.get(group.of(i)) || 0) + 1);
    get("legend-title").textContent = group.title;
    const present = [...totals.keys()].sort((a, b) => a - b);
    order = new Map(group === groups.wrong ? present.map((n) => [n, n]) : present.map((n, place) => [n, place]));
    get("legend").replaceChildren(...present.map((n) => {
      const line = document.createElement("label"), box = document.createElement("input");
      const dot = document.createElement("span"), name = document.createElement("span"), number = document.createElement("small");
      box.type = "checkbox";
      box.checked = true;
      box.dataset.group = String(n);
      box.addEventListener("change", () => { box.checked ? off.delete(n) : off.add(n); choose(); });
      dot.className = "dot";
      dot.style.background = colourOf(order.get(n));
      name.textContent = group.words[n];
      name.title = group.words[n];
      number.textContent = totals.get(n);
      line.append(box, dot, name, number);
      return line;
    }));
    choose();
  }
  function project() {
    where = places[get("projection").value];
    spans = [0, 0];
    for (let i = 0; i < where.length; i++) spans[i % 2] = Math.max(spans[i % 2], where[i]);
    spans = spans.map((span) => span || 1e-3);
    index();
    whole();
  }
  function zoom(by, x, y) {
    const least = fitted().scale * 0.5, next = Math.max(least, Math.min(least * 400, scale * by));
    [left, top] = [x - (x - left) * (next / scale), y - (y - top) * (next / scale)];
    scale = next;
    redraw();
  }

  // --- hands ---
  const inside = (event) => {
    const box = plane.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const held = new Map();
  let moved = 0, apart = 0;
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    held.set(event.pointerId, inside(event));
    moved = apart = 0;
  });
  plane.addEventListener("pointermove", (event) => {
    const [x, y] = inside(event), before = held.get(event.pointerId);
    if (!before) return hover(nearest(x, y, REACH));
    held.set(event.pointerId, [x, y]);
    if (held.size === 1) {
      moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
      if (moved < 4) return;
      left += x - before[0];
      top += y - before[1];
      redraw();
    } else {
      const [a, b] = [...held.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      moved = 9;
      if (apart) zoom(now / apart, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      apart = now;
    }
  });
  const release = (event) => {
    if (held.delete(event.pointerId) && moved < 4 && event.type === "pointerup") pick(nearest(...inside(event), CLICK));
    apart = 0;
  };
  plane.addEventListener("pointerup", release);
  plane.addEventListener("pointercancel", release);
  plane.addEventListener("pointerleave", () => hover(-1));
  plane.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...inside(event));
  }, { passive: false });
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function step([dx, dy]) {
    const from = hovered >= 0 ? hovered : chosen, [x, y] = from >= 0 ? at(from) : size().map((side) => side / 2);
    let best = -1, least = Infinity;
    for (let i = 0; i < count; i++) {
      if (!visible[i] || i === from) continue;
      const [px, py] = at(i), ahead = (px - x) * dx + (py - y) * dy, aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (from >= 0 && (ahead <= 0 || aside > 2 * ahead)) continue;
      const far = from >= 0 ? ahead + 2 * aside : Math.hypot(px - x, py - y);
      if (far < least) [best, least] = [i, far];
    }
    if (best >= 0) hover(best);
  }
  plane.addEventListener("keydown", (event) => {
    const middle = size().map((side) => side / 2);
    if (ways[event.key]) step(ways[event.key]);
    else if (event.key === "Enter" || event.key === " ") pick(hovered);
    else if (event.key === "Escape") pick(-1);
    else if (event.key === "+" || event.key === "=") zoom(1.4, ...middle);
    else if (event.key === "-") zoom(1 / 1.4, ...middle);
    else if (event.key === "0") whole();
    else return;
    event.preventDefault();
  });
  get("tools").addEventListener("submit", (event) => event.preventDefault());
  get("projection").addEventListener("change", project);
  get("colour").addEventListener("change", () => { group = groups[get("colour").value]; legend(); });
  get("only-wrong").addEventListener("change", choose);
  get("reset").addEventListener("click", whole);
  for (const [id, checked] of [["all", true], ["none", false]]) {
    get(id).addEventListener("click", () => {
      for (const box of get("legend").querySelectorAll("input")) {
        box.checked = checked;
        checked ? off.delete(Number(box.dataset.group)) : off.add(Number(box.dataset.group));
      }
      choose();
    });
  }
  get("find").addEventListener("input", () => {
    const words = get("find").value.toLowerCase();
    marked = new Set();
    for (let i = 0; words && i < count; i++) if (data.paths[i].toLowerCase().includes(words)) marked.add(i);
    if (marked.size) pick([...marked][0]);
    drawAbove();
  });
  if (get("heat")) get("heat").addEventListener("input", () => { if (hovered >= 0 || chosen >= 0) show(hovered >= 0 ? hovered : chosen); });
  new ResizeObserver(() => { if (plane.width) whole(); }).observe(plane);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAbove);
  legend();
  project();
})();
