"use strict";
// The page's numbers: unpacked once, then read by track.
const SPT = {};

(() => {
  const MISSING_16 = 65535, MISSING_8 = 255;

  function bytesOf(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes;
  }

  // Differences, low bytes first (see pack.py), back to whole numbers.
  function summed(bytes, at, n, Kind) {
    const out = new Kind(n), size = Kind.BYTES_PER_ELEMENT;
    const b = Array.from({ length: size }, (_, k) => bytes.subarray(at + k * n, at + (k + 1) * n));
    let value = 0;
    if (size === 1) for (let i = 0; i < n; i++) out[i] = value = (value + b[0][i]) | 0;
    else if (size === 2) {
      const [low, high] = b;
      for (let i = 0; i < n; i++) out[i] = value = (value + low[i] + (high[i] << 8)) | 0;
    } else {
      const [one, two, three, four] = b;
      for (let i = 0; i < n; i++) {
        value = (value + (one[i] | (two[i] << 8) | (three[i] << 16) | (four[i] << 24))) | 0;
        out[i] = value;
      }
    }
    return out;
  }

  function arraysOf(directory, buffer) {
    const bytes = new Uint8Array(buffer), out = {};
    for (const [name, [kind, at, n]] of Object.entries(directory)) {
      if (kind === "u1") out[name] = summed(bytes, at, n, Uint8Array);
      else if (kind === "u2") out[name] = summed(bytes, at, n, Uint16Array);
      else if (kind === "u4") out[name] = summed(bytes, at, n, Uint32Array);
      else if (kind === "f4") out[name] = new Float32Array(buffer, at, n);
      else out[name] = new Float64Array(buffer, at, n);
    }
    return out;
  }

  // Positions of all tracks for the map, and the box around each track.
  function place(A, n) {
    const total = A.x.length;
    const X = new Float32Array(total), Y = new Float32Array(total), box = new Float32Array(4 * n);
    for (let t = 0; t < n; t++) {
      const from = A.frame_start[t], to = from + A.frame_count[t];
      const x0 = A.x_low[t], y0 = A.y_low[t];
      const kx = A.x_span[t] / (MISSING_16 - 1), ky = A.y_span[t] / (MISSING_16 - 1);
      let some = false;
      for (let i = from; i < to; i++) {
        const known = A.x[i] !== MISSING_16 && A.y[i] !== MISSING_16;
        X[i] = known ? x0 + kx * A.x[i] : NaN;
        Y[i] = known ? y0 + ky * A.y[i] : NaN;
        some ||= known;
      }
      box.set(some ? [x0, y0, x0 + A.x_span[t], y0 + A.y_span[t]] : [NaN, NaN, NaN, NaN], 4 * t);
    }
    return { X, Y, box };
  }

  async function unpack() {
    const holder = document.getElementById("numbers");
    if (!window.DecompressionStream) {
      throw new Error("This browser is too old for the map and the figures: Chrome or Edge 80, " +
        "Firefox 113 or Safari 16.4 and later can show them.");
    }
    const packed = new Blob([bytesOf(holder.textContent)]);
    holder.remove();
    const stream = packed.stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  // Begun before the other scripts are read: the browser unpacks beside them.
  const unpacked = unpack();
  unpacked.catch(() => {}); // told by SPT.load

  SPT.load = async () => {
    const meta = JSON.parse(document.getElementById("words").textContent);
    const A = arraysOf(meta.arrays, await unpacked);
    Object.assign(SPT, { meta, A, n: meta.n }, place(A, meta.n));
  };

  SPT.word = (name, t) => SPT.meta.words[name][SPT.A[name][t]];
  SPT.classOf = (name, t) => SPT.meta.classes[SPT.A[name][t]];
  SPT.probability = (t, k, name = "p") => {
    const value = SPT.A[name][t * SPT.meta.classes.length + k];
    return value === MISSING_16 ? NaN : value / (MISSING_16 - 1);
  };

  // Score of a frame in units of the track's largest, NaN where there is none.
  SPT.relative = (name, i) => {
    const value = SPT.A[name][i];
    return value === MISSING_16 ? NaN : value / ((MISSING_16 - 1) / 2) - 1;
  };

  SPT.frames = (t) => {
    const A = SPT.A, from = A.frame_start[t], n = A.frame_count[t], half = MISSING_16 - 1;
    const take = (f) => Array.from({ length: n }, (_, k) => f(from + k));
    const at = (axis) => take((i) => (A[axis][i] === MISSING_16 ? NaN :
      A[`${axis}_low`][t] + (A[`${axis}_span`][t] / half) * A[axis][i]));
    const scores = (name) => take((i) => SPT.relative(name, i) * A[`${name}_size`][t]);
    const frame = take((i) => A.first[t] + (A.frame.length ? A.frame[i] : i - from));
    const filled = take((i) => A.filled.length > 0 && A.filled[i] === 1);
    return { n, frame, filled, x: at("x"), y: at("y"),
      score: scores("score"), contrast: scores("score_contrast") };
  };

  SPT.windows = (t) => {
    const A = SPT.A, from = A.window_start[t], n = A.window_count[t];
    const take = (f) => Array.from({ length: n }, (_, k) => f(from + k));
    const values = {};
    for (const name of ["score", ...SPT.meta.statistics.map((one) => one[0])]) {
      const low = A[`window_${name}_low`][t], span = A[`window_${name}_span`][t];
      values[name] = take((i) => (A[`window_${name}`][i] === MISSING_8 ? NaN :
        low + (span / (MISSING_8 - 1)) * A[`window_${name}`][i]));
    }
    return { n, values, first: take((i) => A.first[t] + A.window_first_frame[i]),
      last: take((i) => A.first[t] + A.window_last_frame[i]) };
  };

  SPT.timeline = (t) => {
    const A = SPT.A, from = A.time_start[t], n = A.time_count[t];
    const take = (f) => Array.from({ length: n }, (_, k) => f(from + k));
    return { n, first: take((i) => A.first[t] + A.time_first_frame[i]),
      last: take((i) => A.first[t] + A.time_last_frame[i]),
      kind: take((i) => SPT.meta.classes[A.time_class[i]]),
      p: SPT.meta.classes.map((_, k) => take((i) => SPT.probability(i, k, "time_p"))),
      change: take((i) => A.time_change[i] === 1) };
  };

  // Colour of a score from -1 to 1.
  SPT.signed = (share) => {
    const stops = SPT.meta.signed, place = ((Math.max(-1, Math.min(1, share)) + 1) / 2) *
      (stops.length - 1);
    const k = Math.min(stops.length - 2, Math.floor(place)), part = place - k;
    const channel = (text, at) => parseInt(text.slice(at, at + 2), 16);
    return `rgb(${[1, 3, 5].map((at) => Math.round(
      (1 - part) * channel(stops[k], at) + part * channel(stops[k + 1], at)))})`;
  };

  // A number as people write it, with three figures unless told.
  SPT.plain = (value, figures = 3) => {
    if (value === null || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size && (size < 1e-3 || size >= 1e6)) {
      const [digits, power] = value.toExponential(figures - 1).split("e");
      const raised = Array.from(String(Number(power)),
        (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
      return (Number(digits) === 1 ? "" : `${digits}×`).replace("-", "−") + `10${raised.join("")}`;
    }
    // toLocaleString would take most of the time of a figure
    const places = size ? Math.max(0, figures - 1 - Math.floor(Math.log10(size))) : 0;
    const [whole, part] = size.toFixed(Math.min(places, 20)).split(".");
    const tail = part?.replace(/0+$/, "");
    const thousands = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    return (value < 0 ? "−" : "") + thousands + (tail ? `.${tail}` : "");
  };
  SPT.percent = (share) => {
    if (!Number.isFinite(share)) return "–";
    if (share >= 0 && share < 0.001) return share ? "<0.1 %" : "0 %";
    if (share >= 0.9995 && share < 1) return ">99.9 %";
    const digits = share < 0.1 || (share > 0.99 && share < 1) ? 1 : 0;
    return `${(100 * share).toFixed(digits)} %`.replace("-", "−");
  };
})();
