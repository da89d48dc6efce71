"use strict";
// The map: plotly's axes, and the paths on a canvas behind them. No trace type of plotly takes
// 20,000 paths with a colour for every frame quickly enough.
(() => {
  const BINS = 11, NO_SCORE = 255, SLICE_MS = 40, REACH_PX = 10, TINY_PX = 2, STEP_PX = 0.7;
  const MARGIN = { l: 58, r: 6, t: 6, b: 44 }, ROOM = 0.03, QUIET = "#c9c9c9";
  const map = (SPT.map = {});
  let holder, axes, canvas, front, back, work, drawn = null, run = 0, bins = null, home;
  let shown = null, mode = "class", chosen = -1, picked = () => {};
  const binColours = [];

  function view() {
    const { xaxis: xa, yaxis: ya } = axes._fullLayout;
    const [x0, x1] = xa.range, [y0, y1] = ya.range, w = xa._length, h = ya._length;
    const kx = w / (x1 - x0), ky = -h / (y1 - y0);
    return { w, h, left: xa._offset, top: ya._offset, kx, ky, bx: -x0 * kx, by: h - y0 * ky };
  }

  // Score of each frame as one of a few colours, the same scale for all tracks.
  function binScores() {
    const { A, n, meta } = SPT, out = new Uint8Array(A.score.length);
    for (let t = 0; t < n; t++) {
      const scale = A.score_size[t] / meta.limit;
      for (let i = A.frame_start[t], k = A.frame_count[t]; k--; i++) {
        const share = SPT.relative("score", i) * scale;
        out[i] = Number.isNaN(share) ? NO_SCORE :
          Math.round(((Math.max(-1, Math.min(1, share)) + 1) / 2) * (BINS - 1));
      }
    }
    return out;
  }

  function drawTrack(c, t, v) {
    const { X, Y, A, box } = SPT, b = 4 * t;
    const left = v.kx * box[b] + v.bx, right = v.kx * box[b + 2] + v.bx;
    const one = v.ky * box[b + 1] + v.by, two = v.ky * box[b + 3] + v.by;
    const top = Math.min(one, two), bottom = Math.max(one, two);
    if (!(right >= 0 && left <= v.w && bottom >= 0 && top <= v.h)) return;
    const from = A.frame_start[t], to = from + A.frame_count[t];
    const scored = mode === "score" && A.overlay[t] === 1;
    const plain = mode === "score" ? QUIET : map.colourOf(t);
    if (right - left < TINY_PX && bottom - top < TINY_PX) {
      const bin = scored ? bins[(from + to) >> 1] : NO_SCORE;
      c.fillStyle = bin === NO_SCORE ? plain : binColours[bin];
      c.fillRect(left - 0.5, top - 0.5, TINY_PX, TINY_PX);
      return;
    }
    let px = NaN, py = NaN, bin = -1, open = false;
    c.strokeStyle = plain;
    c.beginPath();
    for (let i = from; i < to; i++) {
      const x = v.kx * X[i] + v.bx, y = v.ky * Y[i] + v.by;
      if (Number.isNaN(x)) { px = NaN; continue; }
      if (Number.isNaN(px)) { c.moveTo(x, y); px = x; py = y; continue; }
      const far = Math.abs(x - px) + Math.abs(y - py) > STEP_PX;
      if (!far && i < to - 1) continue;
      if (scored) {
        const a = bins[i - 1], z = bins[i];
        const next = a === NO_SCORE || z === NO_SCORE ? NO_SCORE : (a + z) >> 1;
        if (next !== bin) {
          if (open) { c.stroke(); c.beginPath(); c.moveTo(px, py); }
          c.strokeStyle = next === NO_SCORE ? plain : binColours[next];
          bin = next;
        }
      }
      c.lineTo(x, y);
      open = true;
      px = x; py = y;
    }
    if (open) c.stroke();
  }

  function fit(one, v) {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const w = Math.max(1, Math.round(v.w * ratio)), h = Math.max(1, Math.round(v.h * ratio));
    if (one.width !== w || one.height !== h) { one.width = w; one.height = h; }
    const c = one.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    return c;
  }

  // What is drawn already, moved to the present view, and the chosen track on top.
  function present() {
    const v = view();
    Object.assign(canvas.style, { left: `${v.left}px`, top: `${v.top}px`, width: `${v.w}px`,
      height: `${v.h}px` });
    front = fit(canvas, v);
    front.clearRect(0, 0, v.w, v.h);
    if (drawn) {
      const sx = v.kx / drawn.kx, sy = v.ky / drawn.ky;
      front.drawImage(back, v.bx - drawn.bx * sx, v.by - drawn.by * sy, drawn.w * sx, drawn.h * sy);
    }
    if (chosen >= 0) highlight(front, chosen, v);
  }

  function highlight(c, t, v) {
    const { X, Y, A, box } = SPT, from = A.frame_start[t], to = from + A.frame_count[t];
    if (Number.isNaN(box[4 * t]) || from === to) return;
    const x = [0, 2].map((k) => v.kx * box[4 * t + k] + v.bx);
    const y = [1, 3].map((k) => v.ky * box[4 * t + k] + v.by);
    for (const [width, colour] of [[6, "#fff"], [2.5, "#000"]]) {
      c.lineWidth = width;
      c.strokeStyle = colour;
      c.lineJoin = "round";
      c.beginPath();
      let pen = false;
      for (let i = from; i < to; i++) {
        if (Number.isNaN(X[i])) { pen = false; continue; }
        const at = [v.kx * X[i] + v.bx, v.ky * Y[i] + v.by];
        if (pen) c.lineTo(...at); else c.moveTo(...at);
        pen = true;
      }
      c.stroke();
      if (Math.hypot(x[1] - x[0], y[1] - y[0]) < 40) {
        c.beginPath();
        c.arc((x[0] + x[1]) / 2, (y[0] + y[1]) / 2, 24, 0, 2 * Math.PI);
        c.stroke();
      }
    }
  }

  // Draw all shown tracks in slices, so that the page stays quick, and show them when done.
  function redraw() {
    const mine = ++run, v = view(), c = fit(work, v);
    if (mode === "score") bins ??= binScores();
    c.clearRect(0, 0, v.w, v.h);
    c.lineWidth = 1;
    c.lineJoin = "bevel";
    let t = 0;
    return new Promise((done) => {
      const slice = () => {
        if (mine !== run) { done(false); return; }
        const end = performance.now() + SLICE_MS;
        for (; t < SPT.n; t++) {
          if (!shown[t]) continue;
          drawTrack(c, t, v);
          if ((t & 63) === 63 && performance.now() > end) { t++; break; }
        }
        if (t < SPT.n) { requestAnimationFrame(slice); return; }
        [back, work] = [work, back];
        drawn = v;
        present();
        done(true);
      };
      slice();
    });
  }

  function pick(event) {
    const v = view(), corner = holder.getBoundingClientRect(), { X, Y, A, box } = SPT;
    const mx = event.clientX - corner.left - v.left, my = event.clientY - corner.top - v.top;
    if (mx < 0 || my < 0 || mx > v.w || my > v.h) return -1;
    const x = (mx - v.bx) / v.kx, y = (my - v.by) / v.ky;
    const rx = REACH_PX / Math.abs(v.kx), ry = REACH_PX / Math.abs(v.ky);
    let best = REACH_PX ** 2, found = -1;
    for (let t = 0; t < SPT.n; t++) {
      const b = 4 * t;
      if (!shown[t] || !(x >= box[b] - rx && x <= box[b + 2] + rx && y >= box[b + 1] - ry &&
        y <= box[b + 3] + ry)) continue;
      let px = NaN, py = NaN;
      for (let i = A.frame_start[t], k = A.frame_count[t]; k--; i++) {
        const ax = (X[i] - x) * v.kx, ay = (Y[i] - y) * v.ky;
        if (Number.isNaN(ax)) { px = NaN; continue; }
        let d = ax * ax + ay * ay;
        if (!Number.isNaN(px)) {
          const dx = px - ax, dy = py - ay, size = dx * dx + dy * dy;
          const part = size ? Math.max(0, Math.min(1, -(ax * dx + ay * dy) / size)) : 0;
          d = (ax + part * dx) ** 2 + (ay + part * dy) ** 2;
        }
        if (d < best) { best = d; found = t; }
        px = ax; py = ay;
      }
    }
    return found;
  }

  function extent(tracks) {
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const t of tracks) {
      const b = SPT.box.subarray(4 * t, 4 * t + 4);
      if (Number.isNaN(b[0])) continue;
      x0 = Math.min(x0, b[0]); y0 = Math.min(y0, b[1]);
      x1 = Math.max(x1, b[2]); y1 = Math.max(y1, b[3]);
    }
    if (!(x1 - x0 < Infinity && y1 - y0 < Infinity)) return [0, 0, 1, 1];
    const room = ROOM * Math.max(x1 - x0, y1 - y0) || 1;
    return [x0 - room, y0 - room, x1 + room, y1 + room];
  }

  const ordered = (y0, y1) => (SPT.meta.y_down ? [y1, y0] : [y0, y1]);
  const go = (x, y) => Plotly.relayout(axes, { "xaxis.range": x, "yaxis.range": y });

  function show([x0, y0, x1, y1]) { return go([x0, x1], ordered(y0, y1)); }

  function zoom(factor, fx = 0.5, fy = 0.5) {
    const scaled = ([a, b], at) => {
      const fixed = a + (b - a) * at;
      return [fixed + (a - fixed) * factor, fixed + (b - fixed) * factor];
    };
    const { xaxis, yaxis } = axes._fullLayout;
    return go(scaled(xaxis.range, fx), scaled(yaxis.range, 1 - fy));
  }

  function listen() {
    let down = null, over = null, waiting = false;
    holder.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; },
      true);
    window.addEventListener("pointerup", (event) => {
      if (down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 4) {
        const t = pick(event);
        if (t >= 0) picked(t);
      }
      down = null;
    }, true);
    const tip = document.getElementById("tip");
    holder.addEventListener("pointermove", (event) => {
      over = event;
      if (waiting || event.buttons) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        const t = over ? pick(over) : -1;
        holder.classList.toggle("over", t >= 0);
        tip.hidden = t < 0;
        if (t < 0) return;
        tip.textContent = map.nameOf(t);
        const corner = holder.getBoundingClientRect();
        const x = over.clientX - corner.left, y = over.clientY - corner.top;
        tip.style.left = `${Math.max(0, Math.min(x + 12, corner.width - tip.offsetWidth))}px`;
        tip.style.top = `${y > corner.height / 2 ? y - tip.offsetHeight - 8 : y + 16}px`;
      });
    });
    holder.addEventListener("pointerleave", () => { over = null; tip.hidden = true; });
    holder.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const v = view(), corner = holder.getBoundingClientRect();
      zoom(Math.exp(0.002 * event.deltaY), (event.clientX - corner.left - v.left) / v.w,
        (event.clientY - corner.top - v.top) / v.h);
    }, { passive: false });
    holder.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (step[event.key]) {
        const moved = ([a, b], by) => [a + 0.15 * by * (b - a), b + 0.15 * by * (b - a)];
        const { xaxis, yaxis } = axes._fullLayout, [dx, dy] = step[event.key];
        go(moved(xaxis.range, dx), moved(yaxis.range, dy));
      } else if (event.key === "+" || event.key === "=") zoom(0.7);
      else if (event.key === "-") zoom(1 / 0.7);
      else if (event.key === "0") map.whole();
      else return;
      event.preventDefault();
    });
    axes.on("plotly_relayouting", present);
    axes.on("plotly_relayout", () => { present(); redraw(); });
    new ResizeObserver(() => {
      const size = axes._fullLayout, w = holder.clientWidth, h = holder.clientHeight;
      if (w && h && (w !== size.width || h !== size.height)) {
        Plotly.relayout(axes, { width: w, height: h });
      }
    }).observe(holder);
  }

  map.start = async (mask, onPick) => {
    holder = document.getElementById("map");
    axes = document.getElementById("axes");
    canvas = document.getElementById("canvas");
    [back, work] = [0, 1].map(() => document.createElement("canvas"));
    shown = mask;
    picked = onPick;
    for (let k = 0; k < BINS; k++) binColours.push(SPT.signed((2 * k) / (BINS - 1) - 1));
    home = extent(Array(SPT.n).keys());
    const axis = { zeroline: false, showgrid: false, ticks: "outside", showline: true,
      linecolor: "#888", tickcolor: "#888", exponentformat: "none" };
    const unit = SPT.text(SPT.meta.unit);
    await Plotly.newPlot(axes, [{ x: [], y: [], type: "scatter" }], {
      width: holder.clientWidth, height: holder.clientHeight, margin: MARGIN, dragmode: "pan",
      hovermode: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: SPT.font, showlegend: false,
      xaxis: { ...axis, title: { text: `x (${unit})`, standoff: 6 }, range: [home[0], home[2]] },
      yaxis: { ...axis, title: { text: `y (${unit})`, standoff: 4 }, scaleanchor: "x",
        range: ordered(home[1], home[3]) },
    }, { displayModeBar: false, doubleClick: "reset", scrollZoom: false });
    listen();
    return redraw();
  };
  map.filter = () => redraw();
  map.colourBy = (name) => { mode = name; return redraw(); };
  map.whole = () => show(home);
  map.zoom = zoom;
  map.toTrack = () => {
    if (chosen < 0) return null;
    const [x0, y0, x1, y1] = extent([chosen]), room = Math.max(x1 - x0, y1 - y0);
    return show([x0 - room, y0 - room, x1 + room, y1 + room]);
  };
  map.choose = (t) => {
    chosen = t;
    if (t >= 0 && !Number.isNaN(SPT.box[4 * t])) {
      const v = view(), b = SPT.box.subarray(4 * t, 4 * t + 4);
      const x = (b[0] + b[2]) / 2, y = (b[1] + b[3]) / 2;
      const px = v.kx * x + v.bx, py = v.ky * y + v.by;
      if (px < 0 || py < 0 || px > v.w || py > v.h) {
        const dx = v.w / v.kx / 2, dy = Math.abs(v.h / v.ky) / 2;
        show([x - dx, y - dy, x + dx, y + dy]);
        return;
      }
    }
    present();
  };
  // For tests: where a frame of a track lies on the screen.
  map.where = (t, k) => {
    const v = view(), corner = holder.getBoundingClientRect(), i = SPT.A.frame_start[t] + k;
    return [corner.left + v.left + v.kx * SPT.X[i] + v.bx,
      corner.top + v.top + v.ky * SPT.Y[i] + v.by];
  };
  map.pick = pick;
})();
