// A clip in time: which of its frames were taken, when, and how they fuse in pairs; a slider over the pairs.
(() => {
  const lens = window.qwen2vl.lens;
  const PAIR_MS = 650;

  // Frames that stand for more than one of the sampled ones: a clip too short repeats its last.
  const repeated = medium => medium.frame_indices.filter((frame, i) => i && frame === medium.frame_indices[i - 1]).length;

  function sentence(medium) {
    const taken = new Set(medium.frame_indices).size, all = medium.total_frames, left = all - taken, twice = repeated(medium);
    const every = taken > 1 ? (all - 1) / (taken - 1) : all;
    const gap = left ? `, about one in ${Number(every.toFixed(every < 10 ? 1 : 0))}; the other ${lens.number(left)} ${left === 1 ? "is" : "are"} never seen` : "";
    const again = twice ? ` The last one is repeated ${twice === 1 ? "once" : `${twice} times`} to fill its pair.` : "";
    return `${lens.number(taken)} of ${lens.count(all, "frame")} ${taken === 1 ? "is" : "are"} taken${gap}. `
      + `Two at a time become one step of t: ${lens.count(medium.merged_grid[0], "step")}.${again}`;
  }

  lens.views.clip = () => {
    const strip = lens.el("div", { class: "lens-frames", role: "listbox", "aria-label": "Pairs of frames", tabindex: "-1" });
    const ruler = lens.el("canvas", { class: "lens-ruler", "aria-hidden": "true" });
    const range = lens.el("input", { type: "range", min: 0, step: 1, "aria-label": "Pair of frames (t)",
      oninput: event => { stop(); go(Number(event.target.value)); } });
    const play = lens.el("button", { type: "button", class: "lens-round", onclick: () => (timer ? stop() : start()) });
    const now = lens.el("output", { class: "lens-order-words" });
    const frame = lens.segmented("Frame of the pair", [[0, "first"], [1, "second"]], value => {
      lens.state.frame = value; lens.redraw("frame");
    });
    const words = lens.el("p", { class: "lens-says" });
    const root = lens.el("div", { class: "lens-clip" },
      lens.el("div", { class: "lens-player" }, play, range, now, frame), strip, ruler, words);
    let timer = null, built = null, pairs = [];

    const go = t => {
      const { at, data, medium } = lens.state, place = at && data.place(at.token);
      lens.set({ t });
      if (place && place.medium === medium) lens.set({ at: { token: data.tokenAt(medium, t, place.row, place.column), patch: at.patch } });
    };
    function start() {
      timer = setInterval(() => {
        const medium = lens.medium();
        if (!medium || medium.kind !== "video" || !root.isConnected) return stop();
        go((lens.state.t + 1) % medium.merged_grid[0]);
      }, PAIR_MS);
      lens.redraw("t");
    }
    function stop() { clearInterval(timer); timer = null; lens.redraw("t"); }

    function build(medium) {
      built = medium;
      const height = 52, width = Math.max(20, Math.min(110, (height * medium.resized_size[1]) / medium.resized_size[0]));
      const first = lens.state.data.position_ids[0][medium.span[0]];
      pairs = Array.from({ length: medium.merged_grid[0] }, (_, t) => {
        const canvas = lens.el("canvas", { "aria-hidden": "true" });
        const [a, b] = [2 * t, 2 * t + 1].map(i => medium.timestamps[Math.min(i, medium.timestamps.length - 1)]);
        const pair = lens.el("button", { type: "button", class: "lens-pair", role: "option", onclick: () => { stop(); go(t); },
          "aria-label": `t ${first + t}: frames at ${lens.seconds(a)} and ${lens.seconds(b)}` },
          canvas, lens.el("span", {}, lens.el("b", {}, `t ${first + t}`), ` ${a.toFixed(1)} + ${b.toFixed(1)} s`));
        pair.paint = () => {
          const c = lens.sharp(canvas, 2 * width + 2, height);
          lens.drawFrame(c, medium, 2 * t, 0, 0, width, height);
          lens.drawFrame(c, medium, 2 * t + 1, width + 2, 0, width, height);
        };
        return pair;
      });
      lens.fill(strip, pairs);
    }

    // All frames of the clip as ticks, those that were taken tall, in pairs under one bracket.
    function drawRuler(medium) {
      const width = root.clientWidth, height = 30, c = lens.sharp(ruler, width, height), colours = lens.colours();
      const all = Math.max(2, medium.total_frames), x = frame => 6 + (frame / (all - 1)) * (width - 12);
      c.clearRect(0, 0, width, height);
      c.strokeStyle = colours.soft; c.globalAlpha = 0.45; c.lineWidth = 1;
      const every = Math.max(1, Math.ceil(all / (width / 3)));
      c.beginPath();
      for (let frame = 0; frame < all; frame += every) { c.moveTo(x(frame), 20); c.lineTo(x(frame), 25); }
      c.stroke(); c.globalAlpha = 1;
      medium.merged_grid[0] && Array.from({ length: medium.merged_grid[0] }, (_, t) => {
        const [a, b] = [2 * t, 2 * t + 1].map(i => x(medium.frame_indices[Math.min(i, medium.frame_indices.length - 1)]));
        const chosen = t === lens.state.t;
        c.strokeStyle = chosen ? colours.accent : colours.t; c.lineWidth = chosen ? 3 : 1.5;
        c.beginPath();
        c.moveTo(a, 25); c.lineTo(a, 9); c.lineTo(b, 9); c.lineTo(b, 25);
        c.stroke();
      });
    }

    lens.on("change", names => {
      const medium = lens.medium(), clip = medium?.kind === "video" && lens.state.layer !== "original";
      root.hidden = !clip;
      if (!clip) { if (timer) stop(); return; }
      if (built !== medium) build(medium);
      const { t } = lens.state, T = medium.merged_grid[0];
      if (!root.offsetParent) return;
      if (names.has("data") || names.has("picture") || names.has("size") || names.has("medium") || names.has("layer")) pairs.forEach(pair => pair.paint());
      pairs.forEach((pair, i) => { pair.setAttribute("aria-selected", i === t); pair.tabIndex = i === t ? 0 : -1; });
      if (names.has("t") || names.has("data")) {
        const pair = pairs[t];
        strip.scrollLeft = Math.max(0, pair.offsetLeft - strip.offsetLeft - (strip.clientWidth - pair.offsetWidth) / 2);
      }
      range.max = T - 1; range.value = t; range.disabled = play.disabled = T < 2;
      lens.fill(play, timer ? "❚❚" : "▶");
      play.setAttribute("aria-label", timer ? "Pause" : "Play the pairs of frames");
      now.textContent = `t step ${t + 1} of ${T}`;
      frame.choose(lens.state.frame || 0);
      words.textContent = sentence(medium);
      drawRuler(medium);
    });
    lens.on("data", () => { clearInterval(timer); timer = null; lens.state.frame = 0; });
    return root;
  };
})();
