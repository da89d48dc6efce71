"use strict";
// Filters, the list of tracks, the keyboard, and what ties them to the map and the figures.
(() => {
  const ROW_PX = 28, SPARE_ROWS = 4;
  const el = (id) => document.getElementById(id);
  const list = el("list"), rows = el("rows"), form = el("filter-form");
  const narrow = window.matchMedia("(max-width: 52rem)");
  SPT.timing = {};
  let mask, order, place, chosen = -1;

  const make = (tag, props = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };
  const swatch = (colour) => {
    const node = make("span", { className: "swatch" });
    node.style.background = colour;
    node.setAttribute("aria-hidden", "true");
    return node;
  };

  // ---- filters
  function choices(name, legend, entries) {
    const group = make("fieldset", {}, make("legend", { textContent: legend }));
    group.dataset.filter = name;
    for (const { value, text, note, colour, n } of entries) {
      if (!n) continue;
      const box = make("input", { type: "checkbox", name, value: String(value), checked: true,
        defaultChecked: true });
      const label = make("label", { className: "choice" }, box,
        ...(colour ? [swatch(colour)] : []), make("span", { className: "name", textContent: text }),
        make("span", { className: "count", textContent: n.toLocaleString("en") }));
      if (note) label.append(make("small", { textContent: note }));
      group.append(label);
    }
    return group;
  }

  function span(name, legend, low, high, step) {
    const field = (which, value, label) => {
      const input = make("input", { type: "number", name: `${name}-${which}`, step, min: low,
        max: high, defaultValue: value });
      input.setAttribute("aria-label", `${legend}, ${label}`);
      return input;
    };
    const group = make("fieldset", {}, make("legend", { textContent: legend }),
      make("div", { className: "span" }, field("from", low, "from"), "to", field("to", high, "to")));
    group.dataset.filter = name;
    return group;
  }

  const tally = (codes, size) => {
    const counts = new Array(size).fill(0);
    for (const code of codes) if (code < size) counts[code]++;
    return counts;
  };

  function buildFilters() {
    const { meta, A } = SPT, parts = [], none = meta.classes.length;
    const coded = Array.from(A.class, (code) => Math.min(code, none));
    const perClass = tally(coded, none + 1);
    parts.push(choices("class", "Class", [
      ...meta.classes.map((one, k) => ({ value: k, text: one.name, note: one.description,
        colour: one.colour, n: perClass[k] })),
      { value: none, text: "no class", colour: meta.neutral, n: perClass[none] }]));
    const worded = (name, legend) => {
      const texts = meta.words[name], counts = tally(A[name], texts.length);
      return choices(name, legend, texts.map((text, k) => ({ value: k, text: text || "not given",
        n: counts[k] })));
    };
    parts.push(span("probability", "Probability of the class", 0, 1, 0.01));
    let most = 0;
    for (const n of A.n_points) if (n > most) most = n;
    parts.push(span("n_points", "Length (points)", 0, Math.ceil(most), 1));
    parts.push(worded("check", "Check of the scores"), worded("status", "Status"));
    const files = make("select", { name: "file", id: "file" }, make("option",
      { value: "", textContent: `all ${meta.words.file.length.toLocaleString("en")} files` }));
    meta.files.forEach((name, k) => files.append(make("option",
      { value: String(k), textContent: name || "not named", title: meta.words.file[k] })));
    if (meta.words.file.length > 1) {
      const group = make("fieldset", {}, make("legend", {}, make("label",
        { htmlFor: "file", textContent: "File" })), files);
      group.dataset.filter = "file";
      parts.push(group);
    }
    el("filter-groups").replaceChildren(...parts);
  }

  function readFilters() {
    const { A, n, meta } = SPT, given = new FormData(form), none = meta.classes.length;
    const chosenOf = (name) => new Set(given.getAll(name).map(Number));
    const [kinds, checks, states] = ["class", "check", "status"].map(chosenOf);
    const file = given.get("file") || null;
    const limits = (name) => ["from", "to"].map((which) => {
      const input = form.elements[`${name}-${which}`];
      // as it was given, or emptied: no limit, and what has no value is shown, too
      return input.value === "" || input.value === input.defaultValue ? null : Number(input.value);
    });
    const within = (value, [from, to]) => (from === null || value >= from) &&
      (to === null || value <= to);
    const p = limits("probability"), lengths = limits("n_points");
    // what is shown as 0.87 is found by 0.87
    const shares = p.map((one, k) => (one === null ? null : one + (k ? 5e-7 : -5e-7)));
    let shown = 0;
    for (let t = 0; t < n; t++) {
      const yes = kinds.has(Math.min(A.class[t], none)) && checks.has(A.check[t]) &&
        states.has(A.status[t]) && (file === null || A.file[t] === Number(file)) &&
        within(A.probability[t], shares) && within(A.n_points[t], lengths);
      mask[t] = yes ? 1 : 0;
      shown += mask[t];
    }
    const total = n.toLocaleString("en"), several = meta.words.file.length > 1 && file === null;
    el("shown").textContent = shown === n ? `All ${total} track${n === 1 ? "" : "s"} shown.` :
      `${shown.toLocaleString("en")} of ${total} tracks shown.`;
    if (several) {
      el("shown").textContent += " Tracks of several files lie over one another: choose a file " +
        "to see one.";
    }
  }

  // ---- list
  function sort() {
    const { A, n } = SPT, by = el("sort").value;
    const gain = (t) => A.loss_top[t] - A.loss_random[t];
    const value = { doubtful: (t) => A.probability[t], sure: (t) => -A.probability[t],
      long: (t) => -A.n_points[t], check: (t) => -gain(t) }[by];
    const kept = [];
    for (let t = 0; t < n; t++) if (mask[t]) kept.push(t);
    if (value) {
      const keys = Float64Array.from({ length: n }, (_, t) => {
        const key = value(t);
        return Number.isNaN(key) ? Infinity : key;
      });
      kept.sort((a, b) => (keys[a] === keys[b] ? a - b : keys[a] < keys[b] ? -1 : 1));
    }
    order = kept;
    place = new Int32Array(n).fill(-1);
    order.forEach((t, k) => { place[t] = k; });
    rows.style.height = `${order.length * ROW_PX}px`;
    paint();
  }

  function rowOf(t, k) {
    const { A, meta } = SPT, kind = SPT.classOf("class", t);
    const outcome = { passed: "✓ passed", "no better than random": "✗ no better" };
    const cells = [SPT.nameOf(t), kind?.name ?? "–", SPT.percent(A.probability[t]),
      SPT.plain(A.n_points[t], 9), outcome[SPT.word("check", t)] ?? "not checked"];
    const row = make("div", { className: "row", id: `row-${t}` },
      swatch(kind?.colour ?? meta.neutral),
      ...cells.map((text) => make("span", { textContent: text })));
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(t === chosen));
    row.setAttribute("aria-posinset", String(k + 1));
    row.setAttribute("aria-setsize", String(order.length));
    row.style.top = `${k * ROW_PX}px`;
    row.dataset.track = String(t);
    return row;
  }

  function paint() {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW_PX) - SPARE_ROWS);
    const to = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_PX) +
      SPARE_ROWS);
    rows.replaceChildren(...order.slice(from, to).map((t, k) => rowOf(t, from + k)));
    const there = chosen >= 0 && el(`row-${chosen}`);
    if (there) list.setAttribute("aria-activedescendant", there.id);
    else list.removeAttribute("aria-activedescendant");
  }

  function reveal(k) {
    if (k < 0) return;
    const top = k * ROW_PX, room = list.clientHeight;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW_PX > list.scrollTop + room) list.scrollTop = top + ROW_PX - room;
  }

  // ---- choosing
  function choose(t) {
    if (t === chosen) return;
    chosen = t;
    el("zoom-track").disabled = t < 0;
    SPT.detail.show(t);
    SPT.map.choose(t);
    if (t >= 0) reveal(place[t]);
    paint();
  }

  let wanted = null;
  function chooseSoon(t) {
    if (wanted === null) {
      requestAnimationFrame(() => {
        const last = wanted;
        wanted = null;
        choose(last);
      });
    }
    wanted = t;
  }

  function goToDetail() {
    el("detail-title").focus({ preventScroll: true });
    el("detail").scrollIntoView({ block: "start" });
  }

  function onListKey(event) {
    const now = wanted ?? chosen, at = now >= 0 ? place[now] : -1;
    const page = Math.max(1, Math.floor(list.clientHeight / ROW_PX) - 1), last = order.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? last : at - 1, PageDown: at + page,
      PageUp: at - page, Home: 0, End: last }[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (to !== undefined && last >= 0) chooseSoon(order[Math.max(0, Math.min(last, to))]);
    else if ((event.key === "Enter" || event.key === " ") && chosen >= 0) goToDetail();
    else return;
    event.preventDefault();
  }

  function onEscape(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    if (el("detail").contains(document.activeElement)) {
      list.focus({ preventScroll: true });
      list.scrollIntoView({ block: "nearest" });
    } else choose(-1);
  }

  function drawLegend(mode) {
    const { meta, A } = SPT, legend = el("legend");
    const item = (colour, text) => make("span", {}, swatch(colour), text);
    if (mode === "class") {
      const used = new Set(A.class);
      legend.replaceChildren(...meta.classes.flatMap((one, k) => (used.has(k) ?
        [item(one.colour, one.name)] : [])),
      ...(used.has(255) ? [item(meta.neutral, "no class")] : []));
      return;
    }
    legend.replaceChildren(...SPT.scale(meta.limit, "the class"),
      item("#c9c9c9", "scores not to be drawn"));
  }

  function showPopulations() {
    const groups = SPT.meta.populations, select = el("condition");
    el("populations").hidden = !groups.length;
    if (!groups.length) return;
    el("condition-label").hidden = groups.length < 2;
    select.replaceChildren(...groups.map((group, k) => make("option",
      { value: String(k), textContent: group.name || "all tracks" })));
    select.addEventListener("change", () => SPT.draw.populations(groups[Number(select.value)]));
    SPT.draw.populations(groups[0]);
  }

  async function start() {
    SPT.timing.started = performance.now();
    await SPT.load();
    SPT.timing.read = performance.now();
    const { A, meta } = SPT;
    mask = new Uint8Array(SPT.n).fill(1);
    SPT.map.colourOf = (t) => meta.classes[A.class[t]]?.colour ?? meta.neutral;
    SPT.map.nameOf = (t) => {
      const kind = SPT.classOf("class", t);
      return `${SPT.nameOf(t)}${kind ? `: ${kind.name}, ${SPT.percent(A.probability[t])}` : ""}`;
    };
    buildFilters();
    if (narrow.matches) el("filters-fold").open = false;
    readFilters();
    sort();
    drawLegend("class");
    SPT.timing.listed = performance.now();
    const drawn = SPT.map.start(mask, (t) => {
      choose(t);
      if (narrow.matches) goToDetail();
    });
    form.addEventListener("input", () => { readFilters(); sort(); SPT.map.filter(); });
    form.addEventListener("reset", () => setTimeout(() => {
      readFilters(); sort(); SPT.map.filter();
    }));
    form.addEventListener("submit", (event) => event.preventDefault());
    el("sort").addEventListener("change", () => { list.scrollTop = 0; sort(); });
    el("colour-by").addEventListener("change", (event) => {
      drawLegend(event.target.value);
      SPT.map.colourBy(event.target.value);
    });
    el("zoom-in").addEventListener("click", () => SPT.map.zoom(0.6));
    el("zoom-out").addEventListener("click", () => SPT.map.zoom(1 / 0.6));
    el("zoom-all").addEventListener("click", () => SPT.map.whole());
    el("zoom-track").addEventListener("click", () => SPT.map.toTrack());
    list.addEventListener("scroll", paint, { passive: true });
    list.addEventListener("keydown", onListKey);
    rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (!row) return;
      choose(Number(row.dataset.track));
      if (narrow.matches) goToDetail();
    });
    document.addEventListener("keydown", onEscape);
    new ResizeObserver(paint).observe(list);
    await drawn;
    SPT.timing.ready = performance.now();
    document.body.dataset.ready = "yes";
    setTimeout(showPopulations, 0);
  }

  start().catch((error) => {
    const trouble = el("trouble");
    trouble.textContent = error.message;
    trouble.hidden = false;
    document.body.dataset.ready = "no";
  });
})();
