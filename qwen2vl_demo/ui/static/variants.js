// The tab "Variants": one card for each variant, all with the same two tokens marked, and a table of the distances.
// What is pointed at in one card is marked in all; nothing is asked of the server.
(() => {
  const variants = ((window.qwen2vl ||= {}).variants ||= {});

  // Draws the tab into an element; returns a function that shows a payload, or nothing for an empty one.
  variants.mount = root => {
    const { lens } = window.qwen2vl;
    const LABELS = { t: "time t", h: "row h", w: "column w" };
    const { el, number } = lens;

    let shown = null;
    let cards = [];
    const state = { axis: 1, plane: false, first: 0, second: 0, at: null, variant: null, place: null, pair: null };

    const minus = text => text.replace("-", "−");
    const exact = value => minus(variants.short(value));
    // One number where the scheme has no axes, or (t, h, w).
    const written = (variant, position) =>
      variant.axes[0] < 0 ? exact(position[0]) : `(${position.map(exact).join(",\u00a0")})`;
    const degrees = angle => {
      const value = Math.abs((angle * 180) / Math.PI);
      if (value >= 360) return `${(value / 360).toLocaleString("en", { maximumSignificantDigits: 3 })} turns`;
      return `${value.toLocaleString("en", { maximumSignificantDigits: 3 })}°`;
    };
    const turnsWith = axis => (axis < 0 ? "the one position" : lens.AXES[axis]);
    // "row 2, column 5 of cat.png", or the text of a token
    const words = token => {
      const cell = variants.cell(shown, token);
      if (!cell) return `“${lens.visible(shown.tokens[token])}”`;
      const medium = shown.media[cell.medium];
      const step = medium.grid[0] > 1 ? `step ${cell.k}, ` : "";
      return `${step}row ${cell.row}, column ${cell.column} of ${medium.name || lens.word(medium)}`;
    };

    const empty = el(
      "p",
      { class: "lens-nothing" },
      "Attach a picture or a clip, or ask something: then its positions stand here under eight schemes, side by side.",
    );
    const pairs = el("select", {
      "aria-label": "Two tokens worth comparing",
      onchange: event => choose(event.target.value),
    });
    const field = (label, name) => {
      const input = el("input", { type: "number", min: "0", step: "1", inputmode: "numeric", "aria-label": label });
      input.addEventListener("input", () => take(name, input));
      return input;
    };
    const first = field("Token A, by its number in the prompt", "first");
    const second = field("Token B, by its number in the prompt", "second");
    const problem = el("p", { class: "variants-problem", role: "status" });
    const chosen = el("p", { class: "lens-hint variants-chosen", "aria-live": "polite" });
    const axes = lens.segmented(
      "Colour pictures by",
      lens.AXES.map(axis => [axis, LABELS[axis], `Colour the pictures by their positions in ${LABELS[axis]}`]),
      axis => change({ axis: lens.AXES.indexOf(axis) }),
    );
    const views = lens.segmented(
      "Draw",
      [
        ["prompt", "in order", "The prompt, token after token"],
        ["plane", "in the plane", "Each token at its w, to the right, and its h, downwards"],
      ],
      view => change({ plane: view === "plane" }),
    );
    const pair = el("input", { type: "range", min: "0", max: "0", step: "1", "aria-label": "Frequency pair" });
    const pairWords = el("b");
    pair.addEventListener("input", () => change({ pair: Number(pair.value) }));
    const list = el("div", { class: "variants-cards" });
    const rows = el("tbody");
    const heads = ["Variant", "t apart", "h apart", "w apart", "Mean cosine", "Answer starts at"];
    const table = el(
      "div",
      { class: "cost-scroll", tabindex: "0", role: "region", "aria-label": "Distances between tokens A and B" },
      el(
        "table",
        { class: "cost-table variants-table" },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            heads.map(head => el("th", { scope: "col" }, head)),
          ),
        ),
        rows,
      ),
    );
    const live = el(
      "div",
      { class: "variants-live" },
      el(
        "p",
        { class: "lens-hint" },
        "Plain 1-D and silenced h and w can be tried with this model all the same; it was trained for neither:",
      ),
      el("button", { type: "button", class: "lens-quiet", onclick: openExperiments }, "Try them in Experiments"),
    );
    const whole = el(
      "div",
      { class: "lens-whole", hidden: true },
      el("h2", {}, "One prompt, eight ways to give it positions"),
      el(
        "p",
        { class: "lens-says" },
        "A scheme is two choices. The layout says which position each token gets; the allotment says which pairs of " +
          "numbers in a head turn with t, with h and with w. Click two tokens, A and B, and see what becomes of the " +
          "distance between them.",
      ),
      el(
        "div",
        { class: "variants-choose" },
        el("label", {}, el("span", {}, "Two tokens"), pairs),
        el("label", { class: "variants-number" }, el("span", {}, "A"), first),
        el("label", { class: "variants-number" }, el("span", {}, "B"), second),
      ),
      problem,
      chosen,
      el(
        "div",
        { class: "variants-choose" },
        el("div", { class: "variants-axes" }, el("span", {}, "Draw"), views),
        el("div", { class: "variants-axes" }, el("span", {}, "Colour pictures by"), axes),
        el("label", { class: "variants-pair" }, el("span", {}, "Frequency pair, fastest first ", pairWords), pair),
      ),
      el(
        "p",
        { class: "lens-hint" },
        "A dot is a token of text, a ring one that the scheme adds; a cell is a token of a picture, with its " +
          "position where it fits. Of the pairs, the upper row shows what turns each, the lower row the cosine of " +
          "the angle between A and B: 1 at the top, 0 on the line, −1 at the bottom.",
      ),
      list,
      el("h2", {}, "The distance from A to B"),
      table,
      el(
        "p",
        { class: "lens-hint" },
        "The mean cosine over all pairs is what a query keeps of its product with an equal key: 1 where the two are " +
          "not turned apart. It says how far apart two tokens seem, not how well a model would answer: a model must " +
          "be trained with its scheme, and Qwen2-VL was trained with M-RoPE.",
      ),
      live,
    );
    root.append(empty, whole);

    // The tab is drawn when it is opened for the first time.
    function openExperiments() {
      window.qwen2vl.links.openTab("experiments");
      const find = frames => {
        const button = document.querySelector("#experiment-positions");
        if (button?.offsetParent) button.scrollIntoView({ block: "center" });
        else if (frames) requestAnimationFrame(() => find(frames - 1));
      };
      find(60);
    }

    function change(changes) {
      Object.assign(state, changes);
      draw();
    }

    // Pair by name.
    function choose(key) {
      const [, a, b] = shown.pairs[Number(key)] || [];
      if (a !== undefined) change({ first: a, second: b });
    }

    // A token by its number.
    function take(name, input) {
      const token = Number(input.value);
      const known = input.value !== "" && Number.isInteger(token) && token >= 0 && token < shown.length;
      input.setAttribute("aria-invalid", String(!known));
      problem.textContent = known ? "" : `This prompt has tokens 0 to ${number(shown.length - 1)}; choose two of them.`;
      if (known) change({ [name]: token });
    }

    function makeCard(variant) {
      const miniature = el("canvas", { "aria-hidden": "true" });
      const strip = el("canvas", { "aria-hidden": "true" });
      const part = (name, ...inside) => el("p", { class: name }, ...inside);
      const places = part("variants-places");
      const pointed = part("variants-pointed");
      const legend = part("variants-legend");
      const turned = part("variants-turned");
      const tag = variant.key !== "mrope" && variant.live && el("span", { class: "variants-try" }, "can be tried here");
      const root = el(
        "article",
        { class: `variants-card${variant.key === "mrope" ? " variants-own" : ""}`, "data-key": variant.key },
        el("h3", {}, variant.name, tag),
        el("p", { class: "variants-rule" }, el("b", {}, "Layout. "), variant.layout),
        el("div", { class: "variants-mini" }, miniature),
        el("div", { class: "variants-numbers" }, legend, places, pointed),
        el("p", { class: "variants-rule" }, el("b", {}, "Allotment. "), variant.allotment),
        el("div", { class: "variants-strip" }, strip),
        turned,
        el("details", {}, el("summary", {}, "Source"), el("p", {}, variant.source)),
      );
      if (variant.note) root.querySelector(".variants-numbers").append(part("variants-note", variant.note));
      const card = {
        variant,
        root,
        views: [variants.miniature(miniature, shown, variant), variants.plane(miniature, shown, variant)],
        strip: variants.strip(strip, variant),
        places,
        pointed,
        legend,
        turned,
      };
      const under = event => card.views[Number(state.plane)].under(event.offsetX, event.offsetY);
      miniature.addEventListener("pointermove", event => {
        const place = under(event);
        const at = place && variants.tokenAt(shown, place);
        change({ place, at, variant: place ? variant : null });
      });
      miniature.addEventListener("pointerleave", () => change({ place: null, at: null, variant: null }));
      miniature.addEventListener("click", event => {
        const place = under(event);
        const token = place && variants.tokenAt(shown, place);
        if (token !== null && token !== state.second) change({ first: state.second, second: token });
      });
      strip.addEventListener("pointermove", event => change({ pair: card.strip.under(event.offsetX) }));
      return card;
    }

    function drawCard(card) {
      const { variant } = card;
      const found = variants.compare(shown, variant, state.first, state.second);
      const range = variants.range(variant, state.axis);
      card.views[Number(state.plane)].paint(state);
      card.strip.paint(state, found && found.angles);
      const own = state.variant === variant ? state.place : null;
      const place = own || (state.at === null ? null : variants.place(shown, variant, state.at));
      lens.write(card.pointed, place ? `pointed at ${written(variant, variants.position(place))}` : "\u00a0");
      const [a, b, apart] = found ? [found.from, found.to, found.apart].map(at => written(variant, at)) : [];
      lens.write(card.places, found ? `A ${a}  B ${b}  apart ${apart}` : "");
      const legend = [state.axis, range].join();
      if (card.shownLegend !== legend) drawLegend(card.legend, range);
      card.shownLegend = legend;
      if (!found) return lens.write(card.turned, "");
      const mean = found.same ? "A and B are one token here" : `mean cosine ${minus(found.cosine.toFixed(2))}`;
      const turns = variant.axes[state.pair];
      lens.write(
        card.turned,
        state.pair === null
          ? mean
          : `${mean}; pair ${state.pair} turns with ${turnsWith(turns)}, by ${degrees(found.angles[state.pair])}`,
      );
    }

    // The colours of the pictures: a bar from the lowest position to the highest.
    function drawLegend(legend, range) {
      legend.hidden = !range;
      if (!range) return;
      const axis = lens.AXES[state.axis];
      const [low, high] = range.map(exact);
      lens.fill(
        legend,
        low === high
          ? `${axis} is ${low} everywhere`
          : [`${axis} ${low}`, el("i", { style: { background: gradient() }, "aria-hidden": "true" }), high],
      );
    }

    const gradient = () =>
      `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(share => lens.css(lens.scaled(variants.SCALE, share)))})`;

    let due = false;
    function draw() {
      if (due || !shown) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        const width = cards.length ? cards[0].root.querySelector(".variants-mini").clientWidth : 0;
        if (!shown || width < 40) return;
        axes.choose(lens.AXES[state.axis]);
        views.choose(state.plane ? "plane" : "prompt");
        for (const [input, token] of [
          [first, state.first],
          [second, state.second],
        ])
          if (document.activeElement !== input || Number(input.value) === token) {
            input.value = token;
            input.removeAttribute("aria-invalid");
          }
        if (![first, second].some(input => input.getAttribute("aria-invalid") === "true")) problem.textContent = "";
        const named = shown.pairs.findIndex(([, a, b]) => a === state.first && b === state.second);
        pairs.value = named < 0 ? "" : String(named);
        lens.write(
          chosen,
          `A is token ${number(state.first)}: ${words(state.first)}. ` +
            `B is token ${number(state.second)}: ${words(state.second)}.` +
            (shown.media.length ? "" : " This prompt has no picture, and on words all schemes agree."),
        );
        pair.value = state.pair ?? 0;
        pairWords.textContent = state.pair === null ? "" : String(state.pair);
        // Read once, before anything is written, so that the page is not laid out again for each card.
        state.width = width;
        cards.forEach(drawCard);
        drawTable();
      });
    }

    let tabled = "";
    function drawTable() {
      const key = [state.first, state.second].join();
      if (tabled === key) return;
      tabled = key;
      lens.fill(
        rows,
        shown.variants.map(variant => {
          const found = variants.compare(shown, variant, state.first, state.second);
          const cell = text => el("td", {}, text);
          return el(
            "tr",
            { "data-key": variant.key },
            el("th", { scope: "row" }, variant.name),
            ...(found ? found.apart.map(value => cell(exact(value))) : ["", "", ""].map(cell)),
            cell(found ? minus(found.cosine.toFixed(3)) : ""),
            cell(variants.short(variant.following)),
          );
        }),
      );
    }

    function show(payload) {
      shown = payload && payload.variants ? variants.read(payload) : null;
      empty.hidden = Boolean(shown);
      whole.hidden = !shown;
      tabled = "";
      if (!shown) return;
      const [, a, b] = shown.pairs[0];
      Object.assign(state, { first: a, second: b, at: null, variant: null, place: null, pair: null });
      lens.fill(
        pairs,
        el("option", { value: "" }, "two of your own"),
        shown.pairs.map(([text], i) => el("option", { value: String(i) }, text)),
      );
      pair.max = shown.frequencies.length - 1;
      first.max = second.max = shown.length - 1;
      cards = shown.variants.map(makeCard);
      lens.fill(
        list,
        cards.map(card => card.root),
      );
      offer();
      draw();
    }

    // Whether the model that answers can be asked with other positions.
    function offer() {
      const offered = Boolean(window.qwen2vl.model?.positions);
      live.hidden = !offered;
      list.querySelectorAll(".variants-try").forEach(tag => (tag.hidden = !offered));
    }

    document.addEventListener("model-told", offer);
    new ResizeObserver(draw).observe(list);
    lens.on("change", names => names.has("theme") && draw());
    return show;
  };
})();
