// The prompt below the picture, as a strip of chips around the token that is pointed at: text tokens as text, merged
// tokens as the pixels they cover. Pointing works in both directions.
(() => {
  const lens = window.qwen2vl.lens;
  const HEIGHT = 58;
  const CELL = 30;
  const GAP = 3;
  const TOP = 6;

  lens.views.strip = () => {
    const canvas = lens.el("canvas", { "aria-hidden": "true" });
    const root = lens.el("div", { class: "lens-strip" }, canvas);
    let chips = [];
    let centre = null;

    const textWidth = (c, piece) => Math.min(120, Math.max(16, c.measureText(lens.visible(piece)).width + 12));

    function draw(names) {
      const { data, at } = lens.state;
      const medium = lens.medium();
      root.hidden = !medium || lens.state.layer === "resized";
      if (root.hidden || !root.offsetParent) return;
      const width = root.clientWidth;
      const c = lens.sharp(canvas, width, HEIGHT);
      const colours = lens.colours();
      c.clearRect(0, 0, width, HEIGHT);
      c.font = `12px ${colours.mono}`;
      c.textBaseline = "middle";
      // The strip does not move while the pointer is on it; otherwise the token pointed at is centred.
      if (!hovering || centre === null || names?.has("data") || names?.has("medium"))
        centre = at ? at.token : Math.max(0, medium.span[0] + Math.floor(width / (2 * (CELL + GAP))) - 4);
      centre = Math.min(centre, data.length - 1);
      const size = i => (data.mediumOf[i] >= 0 ? CELL : textWidth(c, data.tokens[i]));
      chips = [];
      let x = width / 2 - size(centre) / 2;
      for (let i = centre; i < data.length && x < width; i++) {
        chips.push({ i, x, w: size(i) });
        x += size(i) + GAP;
      }
      x = width / 2 - size(centre) / 2;
      for (let i = centre - 1; i >= 0 && x > 0; i--) {
        x -= size(i) + GAP;
        chips.unshift({ i, x, w: size(i) });
      }
      for (const { i, x: left, w } of chips) {
        const place = data.place(i);
        const on = at && at.token === i;
        if (place) {
          const own = data.media[place.medium];
          if (
            !lens.drawCell(c, own, own.kind === "video" ? 2 * place.t : 0, place.row, place.column, left, TOP, CELL)
          ) {
            c.fillStyle = colours.wash;
            c.fillRect(left, TOP, CELL, CELL);
          }
          if (place.medium !== lens.state.medium) {
            c.fillStyle = "rgba(128,128,128,.45)";
            c.fillRect(left, TOP, CELL, CELL);
          }
        } else {
          c.fillStyle = data.special[i] ? colours.special : colours.wash;
          c.beginPath();
          c.roundRect(left, TOP, w, CELL, 5);
          c.fill();
          c.fillStyle = data.special[i] ? colours.card : colours.ink;
          c.textAlign = "center";
          c.fillText(lens.visible(data.tokens[i]), left + w / 2, TOP + CELL / 2 + 0.5, w - 6);
        }
        if (on) {
          c.strokeStyle = "rgba(10,10,14,.85)";
          c.lineWidth = 5;
          c.strokeRect(left, TOP, w, CELL);
          c.strokeStyle = "#ffd60a";
          c.lineWidth = 2.5;
          c.strokeRect(left, TOP, w, CELL);
        }
        if (on || i % 10 === 0) {
          c.fillStyle = on ? colours.ink : colours.soft;
          c.textAlign = "center";
          c.font = `${on ? "600 " : ""}11px ${colours.mono}`;
          c.fillText(String(i), left + w / 2, TOP + CELL + 12);
          c.font = `12px ${colours.mono}`;
        }
      }
    }
    let hovering = false;
    const under = event => {
      const x = event.clientX - canvas.getBoundingClientRect().left;
      return chips.find(chip => x >= chip.x - GAP && x < chip.x + chip.w);
    };
    root.addEventListener("pointerenter", () => {
      hovering = true;
    });
    root.addEventListener("pointerleave", () => {
      hovering = false;
      if (!lens.state.held) lens.set({ at: null });
    });
    root.addEventListener("pointermove", event => {
      if (lens.state.held) return;
      const chip = under(event);
      if (chip) lens.point(chip.i);
    });
    root.addEventListener("click", event => {
      const chip = under(event);
      if (!chip) return;
      const release = lens.state.held && lens.state.at?.token === chip.i;
      lens.point(chip.i);
      lens.set({ held: !release });
    });
    lens.on("change", draw);
    new ResizeObserver(() => draw()).observe(root);
    return root;
  };
})();
