// The picture as it came and as the model gets it, below a slider that previews another budget of tokens.
(() => {
  const lens = window.qwen2vl.lens;
  const { FACTOR } = lens.geometry;
  const TOKEN = FACTOR * FACTOR;
  const MIN_TOKENS = 4;
  const MAX_TOKENS = 16384;
  const size = ([height, width]) => `${lens.number(width)} x ${lens.number(height)} px`;
  const percent = value =>
    `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(Math.abs(value) < 1 ? 2 : 1)} %`;
  const toSlider = tokens => Math.log2(tokens / MIN_TOKENS) / Math.log2(MAX_TOKENS / MIN_TOKENS);
  const fromSlider = value => Math.round(MIN_TOKENS * (MAX_TOKENS / MIN_TOKENS) ** value);
  const limited = acted =>
    ({ max: "limited by the maximum", min: "raised to the minimum" })[acted] || "within the budget";

  // The size of a picture, or of a frame of a clip, within a budget of at most `tokens`.
  lens.preview = (medium, tokens) => {
    const [h, w] = medium.original_size;
    const [least, most] = lens.state.data.limits;
    const { min_pixels: min, max_pixels: max } = medium;
    const clip = medium.kind === "video";
    const usual = clip ? 128 * TOKEN : least;
    const chosen = min !== usual && min !== Math.min(least, max) ? min : null; // the visitor's own minimum
    return clip
      ? lens.geometry.frameSize(h, w, medium.frame_indices.length, tokens, least, most, chosen)
      : lens.geometry.pictureSize(h, w, tokens, least, chosen);
  };

  // Explains the size in one sentence.
  function account(medium, { height, width, acted, min, max }) {
    const tokens = Math.floor(max / TOKEN);
    const fewest = Math.ceil(min / TOKEN);
    const [h, w] = medium.original_size;
    const round = side => lens.geometry.roundHalfEven(side / FACTOR) * FACTOR;
    const rounded = `${lens.number(round(w))} x ${lens.number(round(h))}`;
    const of = medium.kind === "video" ? "per frame" : "per picture";
    if (height === h && width === w)
      return "Both sides are multiples of 28 already and within the budget, so not a pixel changes.";
    if (acted === "max")
      return (
        `Rounded to multiples of 28 it would be ${rounded} px, more than the maximum of ` +
        `${lens.count(tokens, "token")} ${of}, so it is made smaller.`
      );
    if (acted === "min")
      return (
        `Rounded to multiples of 28 it would be ${rounded} px, less than the minimum of ` +
        `${lens.count(fewest, "token")} ${of}, so it is enlarged.`
      );
    return "Each side goes to the nearest multiple of 28; that is within the budget.";
  }

  lens.views.resize = () => {
    const before = pane("As it came");
    const after = pane("As the model gets it");
    const slider = lens.el("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.002,
      "aria-label": "Budget: maximum tokens per picture",
      oninput: event => {
        tried = fromSlider(Number(event.target.value));
        draw();
      },
    });
    const budget = lens.el("output", { class: "lens-order-words" });
    const hint = lens.el("p", { class: "lens-hint", role: "status" });
    const apply = lens.el(
      "button",
      { type: "button", class: "lens-strong", onclick: () => lens.actions.apply?.(tried) },
      "Use this budget",
    );
    const reset = lens.el(
      "button",
      {
        type: "button",
        class: "lens-quiet",
        onclick: () => {
          tried = null;
          draw();
        },
      },
      "Back",
    );
    const facts = lens.el("dl", { class: "lens-facts" });
    const panes = lens.el("div", { class: "lens-panes" }, before.root, after.root);
    const lit = lens.litCells(after.canvas, () => tried === null); // another budget has other cells
    after.root.append(lit);
    const root = lens.el(
      "div",
      { class: "lens-resize" },
      lens.el(
        "div",
        { class: "lens-player" },
        lens.el("span", { class: "lens-label" }, lens.glossed("Budget")),
        slider,
        budget,
      ),
      lens.el("div", { class: "lens-apply" }, hint, apply, reset),
      panes,
      facts,
    );
    let tried = null; // budget being previewed, in tokens; null: the real one
    const small = document.createElement("canvas");

    function pane(title) {
      const canvas = lens.el("canvas", { role: "img" });
      const caption = lens.el("figcaption");
      return {
        root: lens.el("figure", {}, lens.el("p", { class: "lens-pane-title" }, title), canvas, caption),
        canvas,
        caption,
      };
    }

    // Draws the picture at (w, h) px and scales that to the pane, so that the loss of detail shows.
    function paint(canvas, medium, source, [h, w], room) {
      const most = Math.max(180, window.innerHeight * 0.42);
      const k = Math.min(room / w, most / h);
      const width = Math.max(8, w * k);
      const height = Math.max(8, h * k);
      const c = lens.sharp(canvas, width, height);
      c.clearRect(0, 0, width, height);
      if (!source.image?.complete || !source.image.naturalWidth) return;
      const [x, y, sw, sh] = source.rect;
      const shrink = Math.min(1, 1280 / Math.max(w, h));
      small.width = Math.max(1, Math.round(w * shrink));
      small.height = Math.max(1, Math.round(h * shrink));
      const s = small.getContext("2d");
      s.imageSmoothingEnabled = true;
      s.imageSmoothingQuality = "high";
      s.drawImage(source.image, x, y, sw, sh, 0, 0, small.width, small.height);
      c.imageSmoothingEnabled = width < small.width * 1.6;
      c.imageSmoothingQuality = "high";
      c.drawImage(small, 0, 0, width, height);
    }

    function draw() {
      const medium = lens.medium();
      root.hidden = !medium || lens.state.layer !== "resized";
      if (root.hidden || !root.offsetParent) return;
      const real = tried === null;
      const now = Math.floor(medium.max_pixels / TOKEN);
      const tokens = real ? now : tried;
      const guess = lens.preview(medium, tokens);
      const [rh, rw] = real ? medium.resized_size : [guess.height, guess.width];
      const cells = (rh / FACTOR) * (rw / FACTOR);
      const T = medium.merged_grid[0];
      const [h, w] = medium.original_size;
      const frame = medium.kind === "video" ? 2 * lens.state.t : 0;
      const source = lens.source(medium, frame); // at full resolution, once that has come
      const exact = { image: source.picture, rect: lens.frameRect(source.image, source.frame) };
      const came =
        medium.original && frame === 0 ? { image: medium.base, rect: lens.frameRect(medium.original, 0) } : exact;
      const room = panes.clientWidth;
      const half = room > 520 ? (room - 16) / 2 : room;
      paint(before.canvas, medium, came, medium.original_size, half);
      const millions = ((h * w) / 1e6).toFixed(h * w < 1e5 ? 3 : 2);
      before.caption.textContent = `${size(medium.original_size)}, ${millions} million pixels`;
      before.canvas.setAttribute("aria-label", `${medium.name} as it came`);
      paint(after.canvas, medium, real ? exact : came, [rh, rw], half);
      lens.wantDetail({ medium, width: after.canvas.clientWidth });
      after.caption.textContent =
        `${size([rh, rw])} = ${lens.number(rw / FACTOR)} x ${lens.number(rh / FACTOR)} = ` +
        `${lens.count(cells, "token")}${T > 1 ? ` per pair of frames, ${lens.number(cells * T)} in all` : ""}`;
      after.canvas.setAttribute("aria-label", `${medium.name} resized to ${rw} by ${rh} pixels`);
      slider.value = toSlider(Math.min(MAX_TOKENS, Math.max(MIN_TOKENS, tokens)));
      slider.setAttribute("aria-valuetext", lens.count(tokens, "token"));
      budget.textContent = lens.count(tokens, "token");
      hint.textContent = real
        ? account(medium, { ...guess, height: rh, width: rw })
        : `A preview. ${account(medium, guess)}`;
      // The released budget is fixed; what is set is this model's.
      apply.hidden = real || !lens.actions.apply || lens.state.data.eyes === "released";
      reset.hidden = real;
      const change = 100 * (rw / rh / (w / h) - 1);
      const area = (rh * rw) / (h * w);
      const enlarged = area > 1.0001;
      const rows = [
        ["Sides", `${lens.number(w)} → ${lens.number(rw)} px wide, ${lens.number(h)} → ${lens.number(rh)} px high`],
        [
          "Pixels kept",
          enlarged ? `${(area * 100).toFixed(0)} %: it is enlarged` : `${(area * 100).toFixed(area < 0.1 ? 1 : 0)} %`,
        ],
        [
          "Aspect ratio",
          change === 0 ? "unchanged" : `${(w / h).toFixed(3)} → ${(rw / rh).toFixed(3)} (${percent(change)})`,
        ],
        [
          "Budget",
          `${lens.number(Math.ceil(guess.min / TOKEN))} to ${lens.number(Math.floor(guess.max / TOKEN))} tokens: ` +
            limited(guess.acted),
        ],
      ];
      lit.draw();
      lens.fill(facts, rows.map(([name, value]) => [lens.el("dt", {}, name), lens.el("dd", {}, value)]).flat());
    }
    lens.on("data", () => {
      tried = null;
    });
    lens.on("change", names => {
      if (names.has("medium")) tried = null;
      if (names.size > 1 || !names.has("at")) draw();
    });
    new ResizeObserver(() => draw()).observe(root);
    return root;
  };
  const unchanged = ({ original_size: [h, w], resized_size }) => resized_size[0] === h && resized_size[1] === w;
  lens.layers.resized = {
    caption: medium => {
      const [oh, ow] = medium.original_size;
      const [h, w] = medium.resized_size;
      const came = `${medium.name} came with ${lens.number(ow)} x ${lens.number(oh)} pixels`;
      return unchanged(medium)
        ? `${came} and stays as it is: what came is what the model gets.`
        : `${came}. The model never sees it like this: before anything else it is resized to ` +
            `${lens.number(w)} x ${lens.number(h)} pixels, both multiples of 28, the side of a token.`;
    },
  };
})();
