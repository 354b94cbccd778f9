// The tab "Picture": selection of medium and layer, the stage, the readout of the cell pointed at, and the downloads.
(() => {
  const lens = window.qwen2vl.lens;
  const LAYERS = [
    ["resized", "Resized", "As it came, and rounded to multiples of 28 within the budget"],
    ["patches", "Patches", "14 x 14 pixels each"],
    ["merged", "Tokens", "Four patches each: 28 x 28 pixels"],
    ["t", "time t", "M-RoPE position t, of every token"],
    ["h", "row h", "M-RoPE position h, of every token"],
    ["w", "column w", "M-RoPE position w, of every token"],
    ["attention", "Attention", "Where a word of the answer looked"],
  ];

  lens.views.picture = root => {
    const chooser = lens.el("div", { class: "lens-chooser", role: "radiogroup", "aria-label": "Picture or clip" });
    const title = lens.el("p", { class: "lens-title" });
    // A button that is taken out and put back while it is pressed gets no click: it stays where it is.
    const back = lens.el(
      "button",
      { type: "button", class: "lens-quiet", onclick: () => lens.actions.back?.() },
      "Back to the present",
    );
    const since = lens.el("span");
    const then = lens.el("p", { class: "lens-remark", role: "status" }, since, back);
    const notices = lens.el("p", { class: "lens-hint" });
    const list = lens.el("dl", { class: "lens-facts" });
    const numbers = lens.el("details", { class: "lens-numbers" }, lens.el("summary", {}, "Its numbers"), list);
    const layers = lens.segmented("What is shown", LAYERS, layer => lens.set({ layer }));
    const caption = lens.el("p", { class: "lens-says", "aria-live": "polite" });
    const stage = lens.stage({
      paint: (c, box) => {
        lens.layers[lens.state.layer].paint?.(c, box);
        lens.order.trail(c, box);
      },
      patches: () => lens.state.layer === "patches",
    });
    stage.root.append(lens.litCells(stage.canvas));
    lens.views.region(stage);
    const bar = colourBar();
    const resize = lens.views.resize();
    const order = lens.views.order();
    const clip = lens.views.clip();
    const readout = lens.views.readout();
    const strip = lens.views.strip();
    const keep = lens.views.keep("picture", stage.canvas, { below: clip.figure });
    const main = lens.el("div", { class: "lens-main" }, stage.root, resize, bar, order);
    const aside = lens.el("div", { class: "lens-aside" }, readout, strip);
    const whole = lens.el(
      "div",
      { class: "lens-whole" },
      chooser,
      title,
      then,
      notices,
      layers,
      caption,
      lens.el("div", { class: "lens-columns" }, main, clip, aside),
      numbers,
      keep,
    );
    const empty = lens.el(
      "div",
      { class: "lens-nothing" },
      lens.el(
        "p",
        {},
        "Nothing to see yet. Attach a picture or a clip, and this shows at once what it becomes: its resized pixels, " +
          "its patches, its tokens and the position of each. You don't have to send it.",
      ),
    );
    const words = lens.el(
      "div",
      { class: "lens-nothing" },
      lens.el("p", {}, "There is no picture and no clip in this prompt, only words. The tab Prompt shows them."),
    );
    root.replaceChildren(empty, words, whole);
    let buttons = [];
    lens.arrows(chooser);

    lens.on("data", data => {
      buttons = (data?.media || []).map((medium, index) => {
        const canvas = lens.el("canvas", { "aria-hidden": "true" });
        const button = lens.el(
          "button",
          {
            type: "button",
            role: "radio",
            title: medium.name,
            "aria-label": `${lens.word(medium)} ${index + 1}: ${medium.name}`,
            onclick: () => lens.set({ medium: index, t: 0, at: null, held: false }),
          },
          canvas,
        );
        button.paint = () => {
          const side = 46;
          const [h, w] = medium.resized_size;
          const k = side / Math.max(h, w, 1);
          const c = lens.sharp(canvas, side, side);
          c.clearRect(0, 0, side, side);
          lens.drawFrame(c, medium, 0, (side - w * k) / 2, (side - h * k) / 2, w * k, h * k);
        };
        return button;
      });
      lens.fill(chooser, buttons);
    });

    lens.on("change", names => {
      const { data, layer, overlay } = lens.state;
      const medium = lens.medium();
      empty.hidden = Boolean(data);
      words.hidden = !data || Boolean(medium);
      whole.hidden = !medium;
      if (!medium || (names.size === 1 && names.has("at"))) return;
      chooser.hidden = buttons.length < 2;
      buttons.forEach((button, index) => {
        button.setAttribute("aria-checked", index === lens.state.medium);
        button.tabIndex = index === lens.state.medium ? 0 : -1;
        if (names.has("picture") || names.has("data")) button.paint();
      });
      const when = data.draft && medium.message === Math.max(...data.media.map(m => m.message)) ? "not sent yet" : "";
      lens.fill(
        title,
        lens.el("b", {}, medium.name),
        ` ${[lens.number(medium.merged_tokens) + " tokens", when].filter(Boolean).join(", ")}`,
      );
      layers.choose(layer);
      layers.button("attention").hidden = !overlay;
      if (overlay) lens.write(layers.button("attention"), overlay.name);
      const pane = layer === "resized";
      stage.root.hidden = pane;
      const sentence = lens.layers[layer].caption(medium);
      if (caption.textContent !== sentence) lens.fill(caption, lens.glossed(sentence));
      then.hidden = !data.answered;
      back.hidden = !lens.actions.back;
      if (data.answered)
        lens.write(
          since,
          `As it was when answer ${data.answered} was written: the settings, the question or whose eyes you look ` +
            "through are others by now. ",
        );
      notices.hidden = !medium.notices?.length;
      notices.textContent = (medium.notices || []).join(" ");
      lens.fill(
        list,
        numbersOf(medium)
          .map(([name, value]) => [lens.el("dt", {}, name), lens.el("dd", {}, value)])
          .flat(),
      );
      bar.update(lens.layers[layer].bar?.(medium));
      aside.hidden = pane;
      whole.classList.toggle("lens-pane", pane);
    });
    lens.on("change", names => {
      if (names.has("at") || names.has("layer")) bar.mark();
    });

    // What became of a medium, as numbers.
    function numbersOf(medium) {
      const size = ([h, w]) => `${w}x${h}`;
      const [T, h, w] = medium.grid_thw;
      const [, mh, mw] = medium.merged_grid;
      const clip = medium.kind === "video";
      const steps = clip ? `${T} x ` : "";
      const same = String(medium.original_size) === String(medium.resized_size);
      const pixels = same
        ? `${size(medium.original_size)} px, as it came`
        : `${size(medium.original_size)} → ${size(medium.resized_size)} px`;
      const product = `${steps}${mw}x${mh} = ${lens.number(medium.merged_tokens)}`;
      return [
        ["Pixels", pixels],
        ["Patches", `${steps}${w}x${h} of 14x14 px`],
        ["Merged tokens", product],
        ["In the prompt", `tokens ${lens.number(medium.span[0])} to ${lens.number(medium.span[1] - 1)}`],
        ...(clip
          ? [
              [
                "Frames",
                `${medium.frame_indices.length} of ${lens.number(medium.total_frames)}, in pairs: ` +
                  `${lens.count(T, "step")} of time`,
              ],
              ["Taken at", `${medium.timestamps.map(second => second.toFixed(1)).join(", ")} s`],
            ]
          : []),
      ];
    }

    // The colour bar of a heatmap, with a mark at the value of the cell pointed at.
    function colourBar() {
      const low = lens.el("span");
      const high = lens.el("span");
      const mark = lens.el("i");
      const track = lens.el("div", { class: "lens-track" }, mark);
      const element = lens.el("div", { class: "lens-bar" }, low, track, high);
      element.update = bar => {
        element.hidden = !bar;
        if (!bar) return;
        low.textContent = bar.low;
        high.textContent = bar.high;
        element.title = bar.title;
        const stops = Array.from({ length: 16 }, (_, i) => lens.css(lens.scaled(bar.scale, i / 15)));
        track.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
        element.mark();
      };
      element.mark = () => {
        const { at, data, layer } = lens.state;
        const place = at && data?.place(at.token);
        const medium = lens.medium();
        const share =
          place && medium && place.medium === lens.state.medium ? lens.layers[layer].share?.(medium, at.token) : null;
        mark.hidden = share === null || share === undefined;
        if (!mark.hidden) mark.style.left = `${100 * share}%`;
      };
      return element;
    }
  };
})();
