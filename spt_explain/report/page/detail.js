"use strict";
// What the page says about the chosen track, in words and figures.
(() => {
  const detail = (SPT.detail = {});
  const el = (id) => document.getElementById(id);
  const STAGE_MS = 60;
  let turn = 0;

  const count = (n, one) => `${SPT.plain(n, 6)} ${one}${n === 1 ? "" : "s"}`;
  SPT.nameOf = (t, withFile = true) => {
    const segment = SPT.A.segment[t], label = SPT.word("label", t);
    const name = `track ${label || SPT.plain(SPT.A.particle[t], 15).replaceAll(",", "")}` +
      (segment > 0 ? `, piece ${SPT.plain(segment, 9)}` : "");
    const { files } = SPT.meta;
    return withFile && files.length > 1 ? `${name} · ${files[SPT.A.file[t]]}` : name;
  };

  // What the colours of scores mean: numbers at both ends of a bar.
  SPT.scale = (limit, name) => {
    const bar = document.createElement("span"), number = SPT.plain(limit, 2);
    bar.className = "bar";
    bar.style.background = `linear-gradient(to right, ${SPT.meta.signed.join(",")})`;
    const all = document.createElement("span");
    all.append(`−${number} against ${name}`, bar, `+${number} for it`);
    return [all];
  };

  function fill(id, text) {
    el(id).textContent = text;
    el(id).hidden = !text;
  }

  function verdict(t) {
    const kind = SPT.classOf("class", t), status = SPT.word("status", t);
    const runner = SPT.classOf("runner_up", t), reason = SPT.word("reason", t);
    const parts = [];
    if (kind) {
      const p = SPT.A.probability[t];
      parts.push(`${kind.name}${kind.description ? ` (${kind.description})` : ""}` +
        (Number.isFinite(p) ? `, ${SPT.percent(p)}` : ""));
      if (runner) {
        const p = SPT.probability(t, SPT.A.runner_up[t]);
        parts.push(`runner-up ${runner.name}${Number.isFinite(p) ? `, ${SPT.percent(p)}` : ""}`);
      }
    } else parts.push("No class");
    if (status && status !== "classified") parts.push(status);
    return parts.join("; ") + (reason ? ` (${reason}).` : ".");
  }

  function check(t) {
    const { A } = SPT, outcome = SPT.word("check", t), name = SPT.classOf("explained", t)?.name;
    const [top, random, sd] = [A.loss_top[t], A.loss_random[t], A.loss_random_sd[t]];
    const points = (value) => SPT.plain(100 * value, 2);
    if (!Number.isFinite(top)) {
      return outcome === "not checked" || !outcome ?
        "Check: not made, so how far the scores can be trusted is not known." :
        `Check: ${outcome}.`;
    }
    const moved = (value) => `${value < 0 ? "raises" : "lowers"} the probability of ` +
      `${name ?? "the class"} by ${points(Math.abs(value))} percentage points`;
    const spread = Number.isFinite(sd) ? ` (standard deviation of the draws: ${points(sd)})` : "";
    const first = `Check ${outcome === "passed" ? "passed" : `: ${outcome || "not judged"}`}.`
      .replace(" :", ":");
    const then = Number.isFinite(random) ?
      ` Erasing as many at random ${moved(random).replace(/ of .* by/, " by")}${spread}.` : "";
    const advice = outcome === "no better than random" ?
      " Don’t read these scores as reasons." : "";
    const erased = `Erasing the ${SPT.percent(SPT.meta.share)} of the frames with the highest scores`;
    return `${first} ${erased} ${moved(top)}.${then}${advice}`;
  }

  function resolution(t) {
    const { A } = SPT, frames = A.resolution_frames[t], nodes = A.nodes[t];
    const layer = SPT.word("layer", t), method = SPT.word("method", t);
    if (!Number.isFinite(frames)) return "";
    const covers = frames < 2 ? "Each frame has a score of its own" :
      `One score covers about ${SPT.plain(frames)} frames`;
    const along = Number.isFinite(nodes) && nodes > 0 && layer ?
      `: ${count(nodes, "score")} along this track` : "";
    return `${covers}${along}. Method: ${[method || "not known", layer].filter(Boolean).join(", ")}.`;
  }

  function facts(t) {
    const { A, meta } = SPT, rows = [], last = A.last_frame[t];
    const has = (name) => meta.columns.includes(name);
    rows.push(["File", SPT.word("file", t)]);
    rows.push(["Points", SPT.plain(A.n_points[t], 9)]);
    if (Number.isFinite(last)) {
      const seconds = meta.interval && Number.isFinite(last - A.first[t]) ?
        ` (${SPT.plain((last - A.first[t]) * meta.interval)} s)` : "";
      rows.push(["Frames", `${A.first[t]} to ${last}${seconds}`]);
    }
    rows.push(["Status", SPT.word("status", t) || "–"]);
    if (has("alpha")) {
      const low = A.alpha_low[t];
      rows.push(["Exponent α, network", SPT.plain(A.alpha[t]) + (Number.isFinite(low) ?
        ` (5–95 %: ${SPT.plain(low)} to ${SPT.plain(A.alpha_high[t])})` : "")]);
    }
    if (has("alpha_msd")) rows.push(["Exponent α, MSD", SPT.plain(A.alpha_msd[t])]);
    const measured = (value, unit) => (Number.isFinite(value) ?
      `${SPT.plain(value)} ${unit}` : "–");
    if (has("D_um2_s")) rows.push(["Diffusion coefficient", measured(A.D_um2_s[t], "µm²/s")]);
    if (has("sigma_loc_um")) {
      rows.push(["Localisation error", measured(1000 * A.sigma_loc_um[t], "nm")]);
    }
    if (has("inv_snr")) rows.push(["Noise, 1/SNR", SPT.plain(A.inv_snr[t])]);
    rows.push(["Explained class", SPT.classOf("explained", t)?.name ?? "–"]);
    rows.push(["Contrast with", SPT.classOf("against", t)?.name ?? "–"]);
    el("facts").replaceChildren(...rows.flatMap(([name, value]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = value;
      return [dt, dd];
    }));
  }

  function probabilities(t) {
    const body = el("probabilities").tBodies[0];
    const rows = SPT.meta.classes.map((one, k) => [one, SPT.probability(t, k)])
      .filter(([one, p]) => one.output || Number.isFinite(p));
    body.replaceChildren(...rows.map(([one, p]) => {
      const row = document.createElement("tr"), name = document.createElement("th");
      const cell = document.createElement("td"), bar = document.createElement("div");
      const value = document.createElement("td");
      name.scope = "row";
      name.textContent = one.name;
      bar.className = "bar";
      bar.hidden = !(p > 0);
      Object.assign(bar.style, { background: one.colour, width: `${100 * (p || 0)}%` });
      cell.append(bar);
      value.textContent = SPT.percent(p);
      row.append(name, cell, value);
      return row;
    }));
  }

  // The numbers and the first two figures at once; the others follow as soon as these are seen.
  detail.show = (t) => {
    const mine = ++turn, { A } = SPT, started = performance.now();
    el("nothing").hidden = t >= 0;
    el("chosen").hidden = t < 0;
    if (t < 0) { el("detail-title").textContent = "No track chosen"; return; }
    const name = SPT.nameOf(t);
    el("detail-title").textContent = name[0].toUpperCase() + name.slice(1);
    fill("verdict", verdict(t));
    fill("remark", SPT.word("remark", t));
    fill("check-words", check(t));
    fill("resolution", resolution(t));
    facts(t);
    probabilities(t);
    const f = SPT.frames(t), known = (values) => values.some(Number.isFinite);
    let most = 0;
    for (const value of f.score) if (Math.abs(value) > most) most = Math.abs(value);
    const scored = A.overlay[t] === 1 && most > 0;
    const kind = SPT.classOf("explained", t)?.name, rival = SPT.classOf("against", t)?.name;
    const some = known(f.x) && known(f.y);
    el("path").hidden = el("path-words").hidden = !some;
    el("path-legend").hidden = !some || !scored;
    el("path-title").textContent = !some ? "Path: no positions in this report" :
      scored ? `Path, coloured by the score${kind ? ` for ${kind}` : ""}` :
        "Path (scores not drawn on it)";
    const s = SPT.timeline(t), w = SPT.windows(t), slope = A.alpha_msd[t];
    const hasScore = f.n > 0 && (known(f.score) || Object.values(w.values).some(known));
    el("score-part").hidden = !hasScore;
    el("time-part").hidden = !s.n;
    const jobs = [];
    if (some) {
      el("path-legend").replaceChildren(...SPT.scale(most, kind ?? "the class"));
      jobs.push(() => SPT.draw.path(f, scored, most || 1, `Path of ${name} in ${SPT.meta.unit}` +
        (scored ? ", coloured by score" : "")));
    }
    if (hasScore) {
      const contrast = known(f.contrast) ?
        ` Dashed blue: contrast, why ${kind ?? "this class"} and not ${rival ?? "another"}.` : "";
      fill("score-words", `Black line: score${kind ? ` for ${kind}` : ""}, above 0 in its favour.` +
        contrast + (w.n ? " Beneath it, the mean score and the statistics in windows, each from " +
        "its least to its largest value." : ""));
      jobs.push(() => SPT.draw.score(f, w, { resolution: A.resolution_frames[t] },
        `Score of ${name} along its frames${w.n ? ", with statistics in windows" : ""}`));
    }
    if (s.n) {
      const changes = s.change.flatMap((yes, i) => (yes && i && s.kind[i] ?
        [`${s.kind[i - 1]?.name ?? "?"} to ${s.kind[i].name} around frame ` +
          SPT.plain((s.first[i] + s.last[i - 1]) / 2, 9)] : []));
      fill("time-words", changes.length ? `The class changes: ${changes.join("; ")}.` :
        "No change of class passes the test.");
      jobs.push(() => SPT.draw.time(s, `Class probabilities of ${name} in a sliding window`));
    }
    const points = SPT.displacements(f), measured = f.filled.filter((yes) => !yes).length;
    el("msd").hidden = !points.length;
    fill("msd-words", !points.length ? "There are too few positions." : "Not corrected for noise." +
      (Number.isFinite(slope) ?
        ` Line: slope α = ${SPT.plain(slope)}, fitted to the first lags (filled dots).` : ""));
    if (points.length) {
      jobs.push(() => SPT.draw.msd(measured, points, slope,
        `Mean squared displacement of ${name}, both axes logarithmic`));
    }
    const next = () => {
      while (jobs.length) {
        if (mine !== turn) return;
        jobs.shift()();
        if (performance.now() - started > STAGE_MS && jobs.length) { setTimeout(next, 0); return; }
      }
      SPT.timing.all = performance.now() - started;
      document.body.dataset.shown = String(t);
    };
    next();
    SPT.timing.first = performance.now() - started;
  };
})();
