// The cell that is pointed at: its pixels enlarged, its patches, its index in the prompt, its (t, h, w), and the same
// as a sentence for screen readers.
(() => {
  const lens = window.qwen2vl.lens;
  const { FACTOR, PATCH, blockPlace } = lens.geometry;
  const EXAMPLE = "The one in the middle, as an example. Point at another, tap it, or use the arrow keys.";
  const COUNTED = "Tokens, steps, rows and columns count from 0, as positions do.";

  // Everything about a token of a medium, as numbers.
  lens.facts = at => {
    const { data } = lens.state;
    const place = at && data?.place(at.token);
    if (!place) return null;
    const medium = data.media[place.medium];
    const [, gh, gw] = medium.grid_thw;
    const patches = [0, 1, 2, 3].map(k => {
      const row = 2 * place.row + (k >> 1);
      const column = 2 * place.column + (k & 1);
      const before = place.t * gh * gw;
      return { row, column, block: before + blockPlace(row, column, gw), raster: before + row * gw + column };
    });
    return {
      ...place,
      token: at.token,
      patch: at.patch,
      patches,
      name: medium.name,
      x: place.column * FACTOR,
      y: place.row * FACTOR,
      position: data.position_ids.map(axis => axis[at.token]),
    };
  };

  lens.views.readout = () => {
    const loupe = lens.el("canvas", { class: "lens-loupe", "aria-hidden": "true" });
    const list = lens.el("dl", { class: "lens-facts" });
    const live = lens.el("p", { class: "lens-live", role: "status", "aria-live": "polite" });
    const hint = lens.el("p", { class: "lens-hint" });
    const root = lens.el(
      "div",
      { class: "lens-readout" },
      loupe,
      lens.el("div", { class: "lens-details" }, list, hint),
      live,
    );
    const rows = new Map();
    for (const name of ["Token", "Cell", "Pixels", "Patches", "Position", "Value", "Ring"]) {
      const dt = lens.el("dt", {}, name);
      const dd = lens.el("dd");
      rows.set(name, { dt, dd });
      list.append(dt, dd);
    }
    const axes = lens.AXES.map(name => lens.el("span", { class: `lens-axis lens-axis-${name}` }));
    rows.get("Position").dd.append(...axes.flatMap(axis => [axis, " "]));
    let announcement = null;

    // The token that is shown until one is pointed at.
    function middle(medium) {
      const [, h, w] = medium.merged_grid;
      const { medium: index, t, data } = lens.state;
      return { token: data.tokenAt(index, t, h >> 1, w >> 1), patch: -1 };
    }

    function put(name, text) {
      const { dt, dd } = rows.get(name);
      if (dt.hidden !== !text) dt.hidden = dd.hidden = !text;
      if (text && text !== true) lens.write(dd, text);
    }

    function draw() {
      const { at, layer, overlay } = lens.state;
      const medium = lens.medium();
      root.hidden = !medium || layer === "resized";
      if (root.hidden) return;
      const pointed = lens.facts(at);
      const facts = pointed || lens.facts(middle(medium));
      lens.write(hint, pointed ? COUNTED : EXAMPLE);
      root.classList.toggle("lens-example", !pointed);
      if (facts) {
        const span = medium.span;
        const [, h, w] = medium.merged_grid;
        const clip = medium.merged_grid[0] > 1 ? `step ${facts.t}, ` : "";
        put(
          "Token",
          `no. ${lens.number(facts.token)} of the prompt, ` +
            `no. ${lens.number(facts.local)} of ${lens.number(span[1] - span[0])} here`,
        );
        put("Cell", `${clip}row ${facts.row} of ${h}, column ${facts.column} of ${w}`);
        put("Pixels", `x ${facts.x}–${facts.x + FACTOR - 1}, y ${facts.y}–${facts.y + FACTOR - 1}`);
        if (layer === "patches" && facts.patch >= 0) {
          const p = facts.patches[facts.patch];
          put(
            "Patches",
            `row ${p.row}, column ${p.column}: ` +
              `place ${lens.number(p.block)} in block order, ${lens.number(p.raster)} in raster order`,
          );
        } else {
          const places = order => facts.patches.map(p => lens.number(p[order])).join(" ");
          put("Patches", `${places("block")} in block order, ${places("raster")} in raster order`);
        }
        put("Position", true);
        axes.forEach((span, i) =>
          lens.write(span, `${lens.AXIS_NAMES[lens.AXES[i]]} ${lens.AXES[i]} ${facts.position[i]}`),
        );
        const share = layer === "attention" && overlay ? lens.layers.attention.share(medium, facts.token) : null;
        put("Value", share === null ? "" : `${Math.round(share * 100)} % of the most`);
        const local = facts.row * w + facts.column;
        const mark = layer === "attention" && lens.marksHere().find(({ index }) => index === local);
        put("Ring", mark ? mark.text : "");
      }
      paint(facts, medium);
      clearTimeout(announcement);
      announcement = setTimeout(() => {
        lens.write(live, pointed ? spoken(pointed) : "");
      }, 180);
    }

    // Draws the cell enlarged, divided into its four patches; for a clip both frames, side by side.
    function paint(facts, medium) {
      const two = medium.kind === "video";
      const side = lens.isWide() && root.clientWidth >= 360 ? (two ? 170 : 224) : 112;
      const gap = 6;
      root.classList.toggle("lens-pairwise", two);
      root.classList.toggle("lens-column", side > 112 && root.clientWidth < (two ? 660 : 540));
      const c = lens.sharp(loupe, two ? 2 * side + gap : side, side);
      const colours = lens.colours();
      c.clearRect(0, 0, 2 * side + gap, side);
      for (const frame of two ? [0, 1] : [0]) {
        const x = frame * (side + gap);
        c.fillStyle = colours.wash;
        c.fillRect(x, 0, side, side);
        if (!facts) continue;
        lens.drawCell(c, medium, two ? 2 * facts.t + frame : 0, facts.row, facts.column, x, 0, side);
        c.strokeStyle = "rgba(10,10,14,.6)";
        c.lineWidth = 3;
        cross(c, x, side);
        c.strokeStyle = "#fff";
        c.lineWidth = 1;
        cross(c, x, side);
        if (lens.state.layer === "patches" && facts.patch >= 0) {
          c.strokeStyle = "#ffd60a";
          c.lineWidth = 3;
          c.strokeRect(
            x + ((facts.patch & 1) * side) / 2 + 1.5,
            ((facts.patch >> 1) * side) / 2 + 1.5,
            side / 2 - 3,
            side / 2 - 3,
          );
        }
      }
    }
    const cross = (c, x, side) => {
      c.beginPath();
      c.moveTo(x + side / 2, 0);
      c.lineTo(x + side / 2, side);
      c.moveTo(x, side / 2);
      c.lineTo(x + side, side / 2);
      c.stroke();
    };
    const spoken = f =>
      `${f.name}, ${lens.medium()?.merged_grid[0] > 1 ? `step ${f.t}, ` : ""}row ${f.row}, column ${f.column}: ` +
      `token ${f.token}, t ${f.position[0]}, h ${f.position[1]}, w ${f.position[2]}, pixels from x ${f.x}, y ${f.y}.`;

    lens.on("change", draw);
    return root;
  };

  lens.PATCHES_A_CELL = (FACTOR / PATCH) ** 2;
})();
