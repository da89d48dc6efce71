"use strict";
// The chosen track's figures, and the fractions, drawn by plotly.
(() => {
  const INK = "#222", FAINT = "#8c8c8c", GRID = "#ececec", BINS = 11;
  const MANY_POINTS = 150, FEW_POINTS = 300;
  const WIDTHS = [1.2, 3.6], MOST_LAGS = 40, ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  const draw = (SPT.draw = {});
  // Plotly reads some tags in texts: names from files are shown as they are.
  SPT.text = (text) => String(text).replace(/[&<>]/g, (sign) => ENTITIES[sign]);
  SPT.font = { family: 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif',
    size: 12, color: INK };
  const CONFIG = { displaylogo: false, responsive: true, doubleClick: "reset",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
    toImageButtonOptions: { format: "svg" } };
  const AXIS = { zeroline: false, gridcolor: GRID, linecolor: FAINT, showline: true,
    ticks: "outside", ticklen: 4, tickcolor: FAINT, exponentformat: "power" };
  const LAYOUT = { font: SPT.font, showlegend: false, hovermode: "closest",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: "zoom",
    hoverlabel: { font: { family: SPT.font.family } } };
  const title = (text, standoff = 6) => ({ text: SPT.text(text), standoff });
  const put = (id, label, traces, layout) => {
    const box = document.getElementById(id);
    box.setAttribute("aria-label", label);
    return Plotly.react(box, traces, { ...LAYOUT, ...layout }, CONFIG);
  };
  const line = (x, y, more = {}) => ({ type: "scatter", mode: "lines", x, y, hoverinfo: "skip",
    ...more });
  const finite = (values) => values.filter(Number.isFinite);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  // The path in pieces of one colour and width each, by the mean score of a piece's two ends.
  function pieces(f, most) {
    const found = Array.from({ length: BINS }, () => ({ x: [], y: [], last: -2 }));
    const none = { x: [], y: [], last: -2 };
    for (let i = 1; i < f.n; i++) {
      const share = (f.score[i - 1] + f.score[i]) / 2 / most;
      const one = Number.isFinite(share) ?
        found[Math.round(((Math.max(-1, Math.min(1, share)) + 1) / 2) * (BINS - 1))] : none;
      if (one.last !== i - 1) { one.x.push(null, f.x[i - 1]); one.y.push(null, f.y[i - 1]); }
      one.x.push(f.x[i]);
      one.y.push(f.y[i]);
      one.last = i;
    }
    const traces = found.map((one, k) => line(one.x, one.y, { line: {
      color: SPT.signed((2 * k) / (BINS - 1) - 1),
      width: WIDTHS[0] + ((WIDTHS[1] - WIDTHS[0]) * k) / (BINS - 1) } }));
    return [line(none.x, none.y, { line: { color: SPT.meta.neutral, width: 1.4 } }), ...traces]
      .filter((trace) => trace.x.length);
  }

  draw.path = (f, scored, most, label) => {
    const unit = SPT.meta.unit, ends = [f.x.findIndex(Number.isFinite),
      f.x.findLastIndex(Number.isFinite)];
    const traces = scored ? pieces(f, most) :
      [line(f.x, f.y, { line: { color: SPT.meta.neutral, width: 1.4 } })];
    const dots = { type: "scatter", mode: "markers", x: f.x, y: f.y, customdata: f.frame,
      text: f.score.map((value) => (scored ? `<br>score ${SPT.plain(value)}` : "")),
      hovertemplate: `frame %{customdata}<br>x %{x:.5~g}, y %{y:.5~g}%{text}<extra></extra>`,
      marker: { size: 5, color: SPT.meta.neutral } };
    // a dot for each of thousands of frames is slow, and hides the path
    if (f.n > FEW_POINTS) Object.assign(dots, { mode: "lines", line: { color: "rgba(0,0,0,0)" } });
    if (scored) {
      Object.assign(dots.marker, { color: f.score.map((value) => (Number.isFinite(value) ?
        SPT.signed(value / most) : SPT.meta.neutral)) });
    }
    traces.push(dots);
    if (ends[0] >= 0) {
      traces.push({ type: "scatter", mode: "markers", x: ends.map((i) => f.x[i]),
        y: ends.map((i) => f.y[i]), hoverinfo: "skip", cliponaxis: false,
        marker: { symbol: ["circle-open", "square-open"], size: 13, color: INK,
          line: { width: 2 } } });
    }
    return put("path", label, traces, { margin: { l: 56, r: 12, t: 10, b: 42 },
      xaxis: { ...AXIS, showgrid: false, title: title(`x (${unit})`), nticks: 6 },
      yaxis: { ...AXIS, showgrid: false, title: title(`y (${unit})`, 4), scaleanchor: "x",
        autorange: SPT.meta.y_down ? "reversed" : true } });
  };

  draw.score = (f, w, words, label) => {
    const { meta } = SPT, resolution = words.resolution, dense = f.n > MANY_POINTS;
    const above = f.score.map((v) => (Number.isFinite(v) ? Math.max(v, 0) : null));
    const below = f.score.map((v) => (Number.isFinite(v) ? Math.min(v, 0) : null));
    const fill = (y, colour) => line(f.frame, y, { fill: "tozeroy", fillcolor: colour,
      line: { width: 0, shape: "hvh" } });
    const hover = (name) => ({ hovertemplate: `frame %{x}<br>${name} %{y:.3g}<extra></extra>`,
      hoverinfo: undefined });
    const traces = [fill(above, meta.signed.at(-2)), fill(below, meta.signed[1])];
    const contrasted = f.contrast.some(Number.isFinite);
    if (contrasted) {
      traces.push(line(f.frame, f.contrast, { ...hover("contrast"),
        line: { color: "#0072b2", width: dense ? 1 : 1.6, dash: "4px,3px" } }));
    }
    traces.push(line(f.frame, f.score, { line: { color: INK, width: dense ? 0.8 : 1.6, shape: "hvh" },
      ...hover("score") }));
    const values = [...finite(f.score), ...finite(f.contrast), 0];
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    const room = (high - low || 1) * 0.08, roof = high + (high - low || 1) * 0.16;
    const annotations = [];
    if (resolution >= 2 && f.n > 1) {
      const from = f.frame[0], to = Math.min(f.frame[0] + resolution - 1, f.frame[f.n - 1]);
      traces.push(line([from, to], [roof, roof], { line: { color: INK, width: 4 } }));
      annotations.push({ x: from, y: roof, xanchor: "left", yanchor: "bottom", showarrow: false,
        text: `one score: about ${SPT.plain(resolution)} frames`, font: { size: 11 } });
    }
    const names = ["score", ...meta.statistics.map((one) => one[0])];
    const rows = w.n ? names.filter((name) => finite(w.values[name]).length) : [];
    const ticks = [];
    const middle = w.first.map((from, i) => (from + w.last[i]) / 2);
    const all = { x: [], y: [], text: [] };
    rows.forEach((name, k) => {
      const known = finite(w.values[name]), base = rows.length - 1 - k;
      const least = Math.min(...known), most = Math.max(...known);
      const place = (v) => (Number.isFinite(v) ?
        base + (most > least ? 0.12 + (0.76 * (v - least)) / (most - least) : 0.5) : null);
      all.x.push(...middle, null);
      all.y.push(...w.values[name].map(place), null);
      const meaning = name === "score" ? "mean score" :
        `${name}: ${meta.statistics.find((one) => one[0] === name)[1]}`;
      all.text.push(...w.values[name].map((v, i) => `${SPT.text(meaning)}<br>${SPT.plain(v)}` +
        `<br>frames ${w.first[i]} to ${w.last[i]}`), "");
      const range = `<br>${SPT.plain(least, 2)} to ${SPT.plain(most, 2)}`;
      ticks.push([base + 0.5, (name === "score" ? "score" : name) + range]);
    });
    const split = rows.length ? 0.56 : 0;
    if (rows.length) {
      traces.push({ type: "scatter", mode: "lines", x: all.x, y: all.y, yaxis: "y2",
        text: all.text, hovertemplate: "%{text}<extra></extra>", connectgaps: false,
        line: { color: INK, width: 1.3 } });
    }
    document.getElementById("score").classList.toggle("short", !rows.length);
    return put("score", label, traces, { annotations, margin: { l: 92, r: 10, t: 8, b: 42 },
      xaxis: { ...AXIS, title: title("frame"), range: [f.frame[0] - 0.5, f.frame[f.n - 1] + 0.5],
        anchor: rows.length ? "y2" : "y" },
      yaxis: { ...AXIS, domain: [split, 1], range: [low - room, roof + 2.2 * room],
        title: title("score"), zeroline: true, zerolinecolor: INK, zerolinewidth: 1, nticks: 6 },
      ...(rows.length ? { yaxis2: { ...AXIS, domain: [0, split - 0.05], range: [0, rows.length],
        tickvals: ticks.map((one) => one[0]), ticktext: ticks.map((one) => one[1]), ticks: "",
        tickfont: { size: 10 }, showgrid: false },
      shapes: rows.slice(1).map((_, k) => ({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y2",
        y0: k + 1, y1: k + 1, line: { color: GRID, width: 1 } })) } : {}) });
  };

  // Mean over all pairs of measured positions that lie a lag apart, for a few lags up to half the
  // track.
  SPT.displacements = (f) => {
    const at = new Map();
    f.frame.forEach((frame, i) => {
      if (!f.filled[i] && Number.isFinite(f.x[i] + f.y[i])) at.set(frame, i);
    });
    const span = f.n ? f.frame[f.n - 1] - f.frame[0] : 0, most = Math.max(4, Math.floor(span / 2));
    const lags = [...new Set(Array.from({ length: MOST_LAGS }, (_, k) =>
      (k < 10 ? k + 1 : Math.round(10 * (most / 10) ** ((k - 9) / (MOST_LAGS - 10))))))]
      .filter((lag) => lag <= most && lag <= span);
    return lags.map((lag) => {
      let sum = 0, pairs = 0;
      for (const [frame, i] of at) {
        const k = at.get(frame + lag);
        if (k === undefined) continue;
        sum += (f.x[k] - f.x[i]) ** 2 + (f.y[k] - f.y[i]) ** 2;
        pairs++;
      }
      return [lag, pairs ? sum / pairs : NaN];
    }).filter((one) => one[1] > 0 && Number.isFinite(one[1]));
  };

  // 1, 2, 5, 10…; powers of ten alone where they are many.
  function logTicks(values) {
    const good = values.filter((value) => value > 0);
    if (!good.length) return [];
    const low = Math.floor(Math.log10(Math.min(...good)));
    const high = Math.ceil(Math.log10(Math.max(...good)));
    const every = Math.max(1, Math.ceil((high - low) / 6)), ticks = [];
    for (let power = low; power <= high; power += every) {
      for (const digit of high - low > 2 ? [1] : [1, 2, 5]) ticks.push(Number(`${digit}e${power}`));
    }
    return ticks;
  }

  draw.msd = (n, points, slope, label) => {
    const { unit, interval, msd: [fewest, most, share] } = SPT.meta, step = interval ?? 1;
    const last = Math.max(fewest, Math.min(most, Math.floor(n / share)));
    const used = points.filter(([lag]) => lag <= last);
    const colours = points.map(([lag]) => (lag <= last ? INK : "#fff"));
    const traces = [{ type: "scatter", mode: "markers", x: points.map(([lag]) => lag * step),
      y: points.map((one) => one[1]), hovertemplate: "lag %{x:.4~g}<br>MSD %{y:.3~g}<extra></extra>",
      marker: { color: colours, size: 6, line: { color: INK, width: 1 } } }];
    if (Number.isFinite(slope) && used.length > 1) {
      const height = mean(used.map((one) => Math.log(one[1])));
      const middle = mean(used.map((one) => Math.log(one[0])));
      const ends = [used[0][0], used.at(-1)[0]];
      traces.push(line(ends.map((lag) => lag * step), ends.map((lag) =>
        Math.exp(height + slope * (Math.log(lag) - middle))),
      { line: { color: "#c2410c", width: 2 } }));
    }
    const log = (values) => ({ ...AXIS, type: "log", tickvals: logTicks(values),
      ticktext: logTicks(values).map((value) => SPT.plain(value)) });
    return put("msd", label, traces, { margin: { l: 62, r: 10, t: 8, b: 42 },
      xaxis: { ...log(points.map(([lag]) => lag * step)),
        title: title(interval ? "lag (s)" : "lag (frames)") },
      yaxis: { ...log(points.map((one) => one[1])), title: title(`MSD (${unit}²)`, 4) } });
  };

  draw.time = (s, label) => {
    const middle = s.first.map((from, i) => (from + s.last[i]) / 2);
    const traces = SPT.meta.classes.map((one, k) => line(middle, s.p[k], { stackgroup: "p",
      fillcolor: one.colour, line: { width: 0 }, hoverinfo: undefined,
      hovertemplate: `${SPT.text(one.name)} %{y:.0%}<br>around frame %{x}<extra></extra>` }));
    const cuts = s.change.flatMap((yes, i) => (yes && i ? [(middle[i] + middle[i - 1]) / 2] : []));
    return put("time", label, traces.filter((trace) => trace.y.some(Number.isFinite)), {
      margin: { l: 56, r: 10, t: 8, b: 42 },
      shapes: cuts.map((x) => ({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1,
        line: { color: "#000", width: 2, dash: "dash" } })),
      xaxis: { ...AXIS, title: title("frame (middle of the window)") },
      yaxis: { ...AXIS, range: [0, 1], tickformat: ".0%", title: title("probability", 4) } });
  };

  draw.populations = (group) => {
    const rows = group.rows.filter((row) => row[1] !== null).reverse();
    const box = document.getElementById("populations");
    const note = document.getElementById("populations-note");
    note.textContent = (group.n_tracks === null ? "" : `${SPT.plain(group.n_tracks, 9)} ` +
      `track${group.n_tracks === 1 ? "" : "s"} counted.`) + (group.note ? ` Note: ${group.note}.` : "");
    note.hidden = !note.textContent;
    box.hidden = !rows.length;
    if (!rows.length) return null;
    const colour = (name) => SPT.meta.classes.find((one) => one.name === name)?.colour ?? "#8c8c8c";
    const to = (value, fraction) => (value === null ? 0 : Math.abs(value - fraction));
    const text = rows.map(([, part, low, high]) => `${SPT.percent(part)}` +
      (low === null ? "" : ` (${SPT.percent(low)} to ${SPT.percent(high)})`));
    const top = Math.max(...rows.map((row) => row[3] ?? row[1]));
    return Plotly.react(box, [
      { type: "bar", orientation: "h", y: rows.map((row) => SPT.text(row[0])),
        x: rows.map((row) => row[1]), marker: { color: rows.map((row) => colour(row[0])),
          line: { color: INK, width: 0.7 } }, text, textposition: "none",
        hovertemplate: "%{y}: %{text}<extra></extra>",
        error_x: { type: "data", symmetric: false, color: INK, thickness: 1.4, width: 4,
          array: rows.map((row) => to(row[3], row[1])),
          arrayminus: rows.map((row) => to(row[2], row[1])) } },
    ], { ...LAYOUT, margin: { l: 78, r: 16, t: 6, b: 42 }, bargap: 0.35,
      xaxis: { ...AXIS, range: [0, Math.min(1, top * 1.05)], tickformat: ".0%",
        title: title("fraction of the tracks, 95 % interval") },
      yaxis: { ...AXIS, ticks: "", showgrid: false, type: "category" } }, CONFIG);
  };
})();
