// A clip over time: which frames were sampled, when they are shown, how they form pairs, and a slider over the pairs.
(() => {
  const lens = window.qwen2vl.lens;
  const PAIR_MS = 650; // each pair is shown while the clip plays
  const THUMB = 52; // px, height of a frame
  const GAP = 2; // px between the two frames of a pair

  // How many of the sampled frames are repetitions: a clip that is too short repeats its last frame.
  const repeated = medium =>
    medium.frame_indices.filter((frame, i) => i && frame === medium.frame_indices[i - 1]).length;

  // The sampling in one sentence: frames taken and left out, the length of a step, repeated frames.
  lens.sampled = medium => {
    const taken = new Set(medium.frame_indices).size;
    const all = medium.frame_indices.at(-1) - medium.frame_indices[0] + 1; // from the first to the last that is taken
    const [from, to] = medium.time_range || [];
    const where = medium.time_range ? ` from ${lens.seconds(from)} to ${lens.seconds(to)}` : "";
    const left = all - taken;
    const twice = repeated(medium);
    const every = taken > 1 ? (all - 1) / (taken - 1) : all;
    const ratio = Number(every.toFixed(every < 10 ? 1 : 0));
    const unseen = `the other ${lens.number(left)} ${left === 1 ? "is" : "are"} never seen`;
    const gap = left ? `, about one in ${ratio}; ${unseen}` : "";
    const again = twice ? ` The last one is repeated ${twice === 1 ? "once" : `${twice} times`} to fill its pair.` : "";
    const T = medium.merged_grid[0];
    const spans = T > 1 ? (medium.timestamps[2 * T - 2] - medium.timestamps[0]) / (T - 1) : 0;
    const long = spans > 0 ? `, one about every ${lens.seconds(spans)} here` : "";
    return (
      `${lens.number(taken)} of ${lens.count(all, "frame")}${where} ${taken === 1 ? "is" : "are"} taken${gap}. ` +
      `Two at a time become one step of t: ${lens.count(T, "step")}${long}.${again}`
    );
  };

  const thumbWidth = medium => Math.max(20, Math.min(110, (THUMB * medium.resized_size[1]) / medium.resized_size[0]));
  // Draws the two frames of a step side by side at (x, y).
  function drawPair(c, medium, t, x, y) {
    const width = thumbWidth(medium);
    lens.drawFrame(c, medium, 2 * t, x, y, width, THUMB);
    lens.drawFrame(c, medium, 2 * t + 1, x + width + GAP, y, width, THUMB);
  }
  const times = (medium, t) =>
    [2 * t, 2 * t + 1].map(i => medium.timestamps[Math.min(i, medium.timestamps.length - 1)]);
  const firstT = medium => lens.state.data.position_ids[0][medium.span[0]];

  lens.views.clip = () => {
    const strip = lens.el("div", {
      class: "lens-frames",
      role: "listbox",
      "aria-label": "Pairs of frames",
      tabindex: "-1",
    });
    const ruler = lens.el("canvas", { class: "lens-ruler", "aria-hidden": "true" });
    const range = lens.el("input", {
      type: "range",
      min: 0,
      step: 1,
      "aria-label": "Pair of frames (t)",
      oninput: event => {
        stop();
        go(Number(event.target.value));
      },
    });
    const play = lens.el("button", { type: "button", class: "lens-round", onclick: () => (timer ? stop() : start()) });
    const now = lens.el("output", { class: "lens-order-words" });
    const frame = lens.segmented(
      "Frame of the pair",
      [
        [0, "first"],
        [1, "second"],
      ],
      value => {
        lens.state.frame = value;
        lens.redraw("frame");
      },
    );
    const words = lens.el("p", { class: "lens-says" });
    const root = lens.el(
      "div",
      { class: "lens-clip" },
      lens.el("div", { class: "lens-player" }, play, range, now, frame),
      strip,
      ruler,
      words,
    );
    let timer = null;
    let built = null;
    let pairs = [];
    lens.arrows(strip);

    const go = t => {
      const { at, data, medium } = lens.state;
      const place = at && data.place(at.token);
      lens.set({ t });
      if (place && place.medium === medium)
        lens.set({ at: { token: data.tokenAt(medium, t, place.row, place.column), patch: at.patch } });
    };
    function start() {
      timer = setInterval(() => {
        const medium = lens.medium();
        if (!medium || medium.kind !== "video" || !root.isConnected) return stop();
        go((lens.state.t + 1) % medium.merged_grid[0]);
      }, PAIR_MS);
      lens.redraw("t");
    }
    function stop() {
      clearInterval(timer);
      timer = null;
      lens.redraw("t");
    }

    function build(medium) {
      built = medium;
      const first = firstT(medium);
      pairs = Array.from({ length: medium.merged_grid[0] }, (_, t) => {
        const canvas = lens.el("canvas", { "aria-hidden": "true" });
        const [a, b] = times(medium, t);
        const pair = lens.el(
          "button",
          {
            type: "button",
            class: "lens-pair",
            role: "option",
            onclick: () => {
              stop();
              go(t);
            },
            "aria-label": `t ${first + t}: frames at ${lens.seconds(a)} and ${lens.seconds(b)}`,
          },
          canvas,
          lens.el("span", {}, lens.el("b", {}, `t ${first + t}`), ` ${a.toFixed(1)} + ${b.toFixed(1)} s`),
        );
        pair.paint = () => drawPair(lens.sharp(canvas, 2 * thumbWidth(medium) + GAP, THUMB), medium, t, 0, 0);
        return pair;
      });
      lens.fill(strip, pairs);
    }

    lens.on("change", names => {
      const medium = lens.medium();
      const clip = medium?.kind === "video";
      root.hidden = !clip;
      if (!clip) {
        if (timer) stop();
        return;
      }
      if (built !== medium) build(medium);
      const { t } = lens.state;
      const T = medium.merged_grid[0];
      if (!root.offsetParent) return;
      if (names.has("data") || names.has("picture") || names.has("size") || names.has("medium") || names.has("layer"))
        pairs.forEach(pair => pair.paint());
      pairs.forEach((pair, i) => {
        pair.setAttribute("aria-selected", i === t);
        pair.tabIndex = i === t ? 0 : -1;
      });
      if (names.has("t") || names.has("data")) {
        const pair = pairs[t];
        strip.scrollLeft = Math.max(0, pair.offsetLeft - strip.offsetLeft - (strip.clientWidth - pair.offsetWidth) / 2);
      }
      range.max = T - 1;
      range.value = t;
      range.disabled = play.disabled = T < 2;
      lens.fill(play, timer ? "❚❚" : "▶");
      play.setAttribute("aria-label", timer ? "Pause" : "Play the pairs of frames");
      now.textContent = `step ${t} of 0–${T - 1}`;
      frame.choose(lens.state.frame || 0);
      words.textContent = lens.sampled(medium);
      lens.timeline(ruler, medium, root.clientWidth, firstT(medium));
    });
    lens.on("data", () => {
      clearInterval(timer);
      timer = null;
      lens.state.frame = 0;
    });

    // A canvas to be saved: all pairs with their times, in lines of `width` px, and the time line below them. null
    // unless a clip is shown.
    root.figure = width => {
      const medium = lens.medium();
      if (root.hidden || medium?.kind !== "video") return null;
      const across = 2 * thumbWidth(medium) + GAP;
      const step = across + 10;
      const columns = Math.max(1, Math.floor((width + 10) / step));
      const row = THUMB + 24;
      const rows = Math.ceil(medium.merged_grid[0] / columns);
      const line = document.createElement("canvas");
      lens.timeline(line, medium, width, firstT(medium));
      const out = document.createElement("canvas");
      const colours = lens.colours();
      const c = lens.sharp(out, width, rows * row + lens.TIMELINE);
      c.font = `11.5px ${colours.mono}`;
      c.fillStyle = colours.soft;
      for (let t = 0; t < medium.merged_grid[0]; t++) {
        const x = (t % columns) * step;
        const y = Math.floor(t / columns) * row;
        const [a, b] = times(medium, t);
        drawPair(c, medium, t, x, y);
        c.fillText(`t ${firstT(medium) + t}  ${a.toFixed(1)} + ${b.toFixed(1)} s`, x, y + THUMB + 13, across);
      }
      c.drawImage(line, 0, rows * row, width, lens.TIMELINE);
      return out;
    };
    return root;
  };
})();
