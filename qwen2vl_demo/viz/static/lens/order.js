// Animates the order in which patches enter the model; it can be played, stepped and scrubbed. The first patches enter
// slowly enough to follow, then the animation accelerates, so that any picture takes at most a quarter of a minute.
(() => {
  const lens = window.qwen2vl.lens;
  const { PATCH, FACTOR } = lens.geometry;
  const SLOW = 3.2; // patches a second at the start
  const SECONDS = 14; // for all patches
  const FOLLOWED = 16; // patches that enter at the slow rate
  const order = (lens.order = { shown: null }); // shown: how many patches have entered; null: no animation
  let playing = false;
  let from = 0;
  let begun = 0;

  const count = medium => medium.grid_thw[1] * medium.grid_thw[2]; // of one temporal slice
  const columns = medium => medium.grid_thw[2];

  // Darkens the patches that have not entered yet.
  order.dim = (c, box) => {
    if (order.shown === null) return;
    const { medium, scale } = box;
    const fine = PATCH * scale;
    const across = columns(medium);
    c.fillStyle = "rgba(12,13,18,.72)";
    c.beginPath();
    for (let place = order.shown; place < count(medium); place++) {
      if (place % 4 === 0) {
        // a whole block at once
        const { row, column } = lens.geometry.blockPatch(place, across);
        c.rect(column * fine, row * fine, 2 * fine, 2 * fine);
        place += 3;
      } else {
        const { row, column } = lens.geometry.blockPatch(place, across);
        c.rect(column * fine, row * fine, fine, fine);
      }
    }
    c.fill();
  };

  // Draws the path through the latest patches over everything else.
  order.trail = (c, box) => {
    if (order.shown === null || lens.state.layer !== "patches" || !order.shown) return;
    const fine = PATCH * box.scale;
    const across = columns(box.medium);
    const last = order.shown - 1;
    const first = Math.max(0, last - 11);
    const centre = place => {
      const { row, column } = lens.geometry.blockPatch(place, across);
      return [(column + 0.5) * fine, (row + 0.5) * fine];
    };
    c.lineJoin = c.lineCap = "round";
    for (const [colour, width] of [
      ["rgba(10,10,14,.8)", Math.max(4, fine * 0.2)],
      ["#ffd60a", Math.max(2, fine * 0.11)],
    ]) {
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.beginPath();
      for (let place = first; place <= last; place++) c[place === first ? "moveTo" : "lineTo"](...centre(place));
      c.stroke();
    }
    const { row, column } = lens.geometry.blockPatch(last, across);
    c.lineWidth = 4.5;
    c.strokeStyle = "rgba(10,10,14,.9)";
    c.strokeRect(column * fine, row * fine, fine, fine);
    c.lineWidth = 2.2;
    c.strokeStyle = "#ffd60a";
    c.strokeRect(column * fine, row * fine, fine, fine);
  };

  // Number of patches that have entered after `seconds`.
  const entered = (seconds, all) => {
    const slowly = seconds * SLOW;
    if (slowly <= FOLLOWED || all <= FOLLOWED) return Math.floor(slowly);
    const late = seconds - FOLLOWED / SLOW;
    const rest = all - FOLLOWED;
    const T = Math.max(1, SECONDS - FOLLOWED / SLOW);
    const linear = SLOW * late; // continues at the slow rate; the rest grows with the square of time
    return FOLLOWED + Math.floor(linear + Math.max(0, rest - SLOW * T) * (late / T) ** 2);
  };

  order.show = shown => {
    const medium = lens.medium();
    order.shown = shown === null || !medium ? null : Math.max(0, Math.min(count(medium), Math.round(shown)));
    if (order.shown) {
      // point at the patch that entered last, so that every view follows
      const last = order.shown - 1;
      const cells = count(medium) / 4;
      lens.set({ at: { token: medium.span[0] + lens.state.t * cells + (last >> 2), patch: last & 3 } });
    }
    lens.redraw("order");
  };

  lens.views.order = () => {
    const range = lens.el("input", {
      type: "range",
      min: 0,
      step: 1,
      "aria-label": "How many patches have entered the model",
      oninput: event => {
        stop();
        order.show(Number(event.target.value));
      },
    });
    const play = lens.el("button", {
      type: "button",
      class: "lens-round",
      onclick: () => (playing ? stop() : start()),
    });
    const step = by => () => {
      stop();
      order.show((order.shown ?? 0) + by);
    };
    const back = lens.el(
      "button",
      {
        type: "button",
        class: "lens-round",
        title: "One patch back",
        "aria-label": "−1: one patch back",
        onclick: step(-1),
      },
      "−1",
    );
    const on = lens.el(
      "button",
      {
        type: "button",
        class: "lens-round",
        title: "One patch on",
        "aria-label": "+1: one patch on",
        onclick: step(1),
      },
      "+1",
    );
    const off = lens.el(
      "button",
      {
        type: "button",
        class: "lens-quiet",
        onclick: () => {
          stop();
          order.show(null);
        },
      },
      "Show all",
    );
    const words = lens.el("output", { class: "lens-order-words" });
    const root = lens.el("div", { class: "lens-player" }, play, back, on, range, words, off);

    function start() {
      const medium = lens.medium();
      if (!medium) return;
      from = order.shown === null || order.shown >= count(medium) ? 0 : order.shown;
      playing = true;
      begun = performance.now();
      order.show(from);
      frame();
    }
    function stop() {
      playing = false;
      lens.redraw("order");
    }
    function frame() {
      const medium = lens.medium();
      if (!playing || !medium || !root.isConnected) return;
      if (lens.state.layer !== "patches") return stop();
      const all = count(medium);
      order.show(from + entered((performance.now() - begun) / 1000, all - from));
      if (order.shown >= all) return stop();
      requestAnimationFrame(frame);
    }
    lens.on("data", () => {
      playing = false;
      order.shown = null;
    });
    lens.on("change", names => {
      const medium = lens.medium();
      if (names.has("medium")) {
        playing = false;
        order.shown = null;
      }
      root.hidden = lens.state.layer !== "patches" || !medium;
      if (root.hidden) return;
      const all = count(medium);
      const shown = order.shown;
      range.max = all;
      range.value = shown ?? all;
      lens.fill(play, playing ? "❚❚" : "▶");
      play.setAttribute("aria-label", playing ? "Pause" : "Play the order of the patches");
      play.title = playing ? "Pause" : "Play the order in which the patches enter the model";
      off.hidden = shown === null;
      words.textContent =
        shown === null ? `${lens.number(all)} patches` : `${lens.number(shown)} of ${lens.number(all)}`;
    });
    return root;
  };
  order.count = count;
  order.side = FACTOR;
})();
