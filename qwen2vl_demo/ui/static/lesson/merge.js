// Step 4: four patches become one token, and the tokens line up in a row.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { draw, sums } = lesson;
  const n = lens.number;
  const FLIGHT = 700; // ms that a cell flies
  const ALL = 2600; // ms until the last one leaves
  const FLYING = 400; // cells that fly one by one; of a larger grid the others fade in
  const GAP = 14; // px between the grid and the row

  lesson.steps.push({
    key: "merge",
    title: "Four patches become one token",
    about: ({ key, height, width, budget }) => `${key} ${width}x${height} ${budget}`,
    lead: () => [
      "When the eye has read all patches, each square of 2 x 2 neighbours is merged into one token. A token is " +
        "what a language model reads: one place in a row. It holds a long list of numbers, 1,536 in the 2B and " +
        "3,584 in the 7B.",
      "The squares leave the picture row by row, as you read a page, and line up.",
    ],
    stage: (root, move) => {
      const canvas = lens.el("canvas", { role: "img" });
      const cells = lens.el("div", { class: "lesson-cells", "aria-hidden": "true" });
      const slider = draw.slider("From the grid into the row", { min: 0, max: 1, step: 0.01, value: 0 }, value => {
        flights.forEach(flight => {
          flight.pause();
          flight.currentTime = value * (ALL + FLIGHT);
        });
        at = value;
        tell();
      });
      const play = lens.el("button", { type: "button", class: "lens-strong", onclick: () => fly() }, "Let them fly");
      root.append(lens.el("div", { class: "lesson-flight" }, canvas, cells));
      move.append(lens.el("div", { class: "lesson-row" }, slider.root, play));
      let flights = [];
      let at = 0; // how far they are, 0 to 1
      let laid = ""; // what the cells were laid out for

      const tell = () => {
        slider.input.value = at;
        slider.say(at === 0 ? "in the grid" : at === 1 ? "in the row" : sums.percent(at));
      };
      function fly() {
        if (draw.still()) {
          at = 1;
          flights.forEach(flight => flight.finish());
          return tell();
        }
        flights.forEach(flight => {
          flight.currentTime = 0;
          flight.play();
        });
        follow();
      }
      function follow() {
        const last = flights.at(-1);
        if (!cells.isConnected || !last || last.playState === "paused") return;
        at = last.playState === "finished" ? 1 : Math.min(1, last.currentTime / (ALL + FLIGHT));
        tell();
        if (last.playState === "running") requestAnimationFrame(follow);
      }

      return s => {
        const p = sums.picture(s.height, s.width, s.budget);
        const key = [root.clientWidth, draw.room(root).height, p.rows, p.columns, s.key].join();
        const roomHeight = draw.room(root).height;
        const strip = lines(p.tokens, root.clientWidth, Math.max(40, roomHeight * 0.26));
        const size = draw.fitted(p.height, p.width, roomHeight - GAP - strip.height, root.clientWidth, 6, 0);
        canvas.parentElement.style.height = `${size.height + GAP + strip.height}px`;
        const c = lens.sharp(canvas, size.width, size.height);
        c.globalAlpha = 0.25;
        if (!draw.picture(c, s.still, 0, 0, size.width, size.height, [p.height, p.width])) return;
        c.globalAlpha = 1;
        draw.grid(c, 0, 0, size.width, size.height, p.rows, p.columns);
        canvas.setAttribute("aria-label", `A grid of ${p.columns} by ${p.rows} squares, and the row that they become`);
        if (key === laid) return;
        laid = key;
        flights.forEach(flight => flight.cancel());
        flights = lay(cells, s, p, size, strip, root.clientWidth);
        flights.forEach(flight => {
          flight.currentTime = at * (ALL + FLIGHT);
        });
        tell();
      };
    },
    committed: () => document.querySelector(".lesson-move .lens-strong")?.click(),
    guess: s => {
      const p = sums.picture(s.height, s.width, s.budget);
      return {
        ask: `${lens.count(p.patches, "patch")} are merged four at a time. How many tokens is the picture?`,
        unit: "token",
        truth: p.tokens,
        mistakes: [
          [p.patches, "That is the number of patches; four of them share a token."],
          [p.patches / 2, "Two patches wide and two high make four in a token."],
        ],
      };
    },
    sum: s => sums.written.tokens(sums.picture(s.height, s.width, s.budget)),
    reveal: s => {
      const whole = sums.picture(s.height, s.width);
      const full =
        whole.tokens === sums.picture(s.height, s.width, s.budget).tokens
          ? ""
          : ` With the released budget of ${n(sums.MOST)} it would be ${lens.count(whole.tokens, "token")}.`;
      return [
        `Within the budget, the size of the picture decides how many there are.${full} Many other models give a ` +
          "stamp and a poster the same number.",
        "For comparison: 448 x 448 pixels are 256 tokens, and 1,568 x 1,568 are 3,136.",
      ];
    },
    takeaway: () => "One token for every 28 x 28 pixels: that is why a larger picture takes more tokens.",
  });

  // How a row of `count` squares is broken into lines that fit: {side, across, height} in px.
  function lines(count, width, height) {
    let side = Math.min(28, width);
    while (side > 2 && Math.ceil(count / Math.floor(width / side)) * side > height) side -= 0.5;
    const across = Math.floor(width / side);
    return { side, across, height: Math.ceil(count / across) * side };
  }

  // Lays the cells over the grid, each as a part of one picture, and prepares their flights into the row.
  function lay(root, s, p, size, strip, width) {
    draw.sheet(root, s.still, size.width, size.height, [p.height, p.width]);
    const w = size.width / p.columns;
    const h = size.height / p.rows;
    const left = (width - size.width) / 2;
    const made = [];
    root.replaceChildren();
    for (let i = 0; i < p.tokens; i++) {
      const x = (i % p.columns) * w;
      const y = Math.floor(i / p.columns) * h;
      const to = [(i % strip.across) * strip.side, size.height + GAP + Math.floor(i / strip.across) * strip.side];
      const cell = document.createElement("i");
      Object.assign(cell.style, {
        width: `${w}px`,
        height: `${h}px`,
        backgroundPosition: `${-x}px ${-y}px`,
        backgroundSize: `${size.width}px ${size.height}px`,
      });
      root.append(cell);
      const there = `translate(${to[0]}px, ${to[1]}px) scale(${(strip.side - 1) / w}, ${(strip.side - 1) / h})`;
      const timing = { duration: FLIGHT, delay: (ALL * i) / p.tokens, fill: "both", easing: "ease-in-out" };
      const frames =
        i < FLYING
          ? { transform: [`translate(${left + x}px, ${y}px)`, there] }
          : { transform: [there, there], opacity: [0, 1] };
      const flight = cell.animate(frames, timing);
      flight.pause();
      made.push(flight);
    }
    return made;
  }
})();
