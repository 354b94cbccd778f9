// Saves a view: the figure as PNG, the whole view as one HTML file that opens offline, the trace as JSON. The HTML file
// contains these scripts, the style sheet and the payload; no request is made.
(() => {
  const lens = window.qwen2vl.lens;

  const save = (lens.save = (content, type, name) => {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    const link = lens.el("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
  const fileName = ending => {
    const medium = lens.medium();
    const stem = (medium?.name || "prompt")
      .replace(/\.[^.]*$/, "")
      .replace(/[^\p{L}\p{N}_-]+/gu, "-")
      .slice(0, 60);
    return `${stem || "view"}-${ending}`;
  };

  // Wraps text into lines of at most `width` px in the font of the context.
  lens.wrapped = (c, words, width) => {
    const lines = [];
    for (const word of words.split(/\s+/).filter(Boolean)) {
      const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
      if (lines.length && c.measureText(longer).width <= width) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  };

  // Stacks canvases, with a sentence below them, on the background colour of the page.
  function figure(canvases, sentence) {
    const k = canvases[0].width / Math.max(1, canvases[0].clientWidth || canvases[0].width);
    const pad = 16 * k;
    const size = 15 * k;
    const out = document.createElement("canvas");
    const colours = lens.colours();
    const c = out.getContext("2d");
    const width = Math.max(420 * k, ...canvases.map(each => each.width));
    c.font = `${size}px ${colours.font}`;
    const lines = lens.wrapped(c, sentence, width);
    const drawn = canvases.reduce((sum, each) => sum + each.height + pad, 0);
    out.width = width + 2 * pad;
    out.height = drawn + 1.5 * pad + lines.length * size * 1.45;
    c.fillStyle = colours.card;
    c.fillRect(0, 0, out.width, out.height);
    canvases.reduce((y, each) => {
      c.drawImage(each, pad, y);
      return y + each.height + pad;
    }, pad);
    c.fillStyle = colours.ink;
    c.font = `${size}px ${colours.font}`;
    c.textBaseline = "top";
    lines.forEach((line, i) => c.fillText(line, pad, drawn + 0.7 * pad + i * size * 1.45));
    return out;
  }

  // The trace in the format of `inspect --json`.
  lens.traceJson = () => {
    const { data } = lens.state;
    const media = data.media.map(m => ({
      kind: m.kind,
      name: m.name,
      original_size: m.original_size,
      resized_size: m.resized_size,
      grid_thw: m.grid_thw,
      merged_tokens: m.merged_tokens,
      span: m.span,
      ...(m.kind === "video" && {
        timestamps: m.timestamps,
        frame_indices: m.frame_indices,
        total_frames: m.total_frames,
      }),
    }));
    return JSON.stringify({
      media,
      prompt_tokens: data.length,
      input_ids: [...data.input_ids],
      position_ids: data.position_ids.map(axis => [...axis]),
      rope_delta: data.rope_delta,
      tokens: data.tokens,
    });
  };

  // The state that a saved file opens with: medium, layer, moment, the token that is held, and the attention.
  function stateOf() {
    const { medium, layer, t, at, held, overlay } = lens.state;
    const text = bytes => btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
    return {
      medium,
      layer,
      t,
      ...(held && at && { at, held }),
      ...(overlay && {
        overlay: {
          caption: overlay.caption,
          labels: overlay.labels,
          name: overlay.name,
          marks: overlay.marks,
          media: overlay.media.map(values => values && text(values)),
        },
      }),
    };
  }
  lens.restore = ({ overlay, ...state }) => {
    if (overlay) lens.setOverlay(overlay);
    lens.set(state);
  };

  // The view as one file: page.html, filled in a single pass so that inserted text is not searched for placeholders.
  lens.standalone = () => {
    const source = id => document.getElementById(id).textContent;
    const page = source("lens-page");
    const guarded = value => JSON.stringify(value).replace(/</g, "\\u003c");
    const parts = {
      STYLE: source("lens-style"),
      SCRIPT: source("lens-script"),
      PAGE: page,
      PAYLOAD: guarded(lens.state.data.payload),
      STATE: guarded(stateOf()),
    };
    return JSON.parse(page).replace(/<<([A-Z]+)>>/g, (mark, name) => parts[name] ?? mark);
  };

  // canvas: the figure of the view; below(width): a canvas that is appended to the saved figure, or null; others: more
  // figures, [[button, file, () => canvas], ...]
  lens.views.keep = (view, canvas, { below = () => null, others = [] } = {}) => {
    const button = (text, title, act) =>
      lens.el("button", { type: "button", class: "lens-quiet", title, onclick: act }, text);
    const sentence = () =>
      [...document.querySelectorAll(`[data-mounted="${view}"] .lens-says`)]
        .filter(p => p.offsetParent)
        .map(p => p.textContent)
        .filter(Boolean)
        .join(" ");
    const shown = () => {
      const panes = [...document.querySelectorAll(`[data-mounted="${view}"] figure:not([hidden]) canvas`)].filter(
        c => c.offsetParent,
      );
      if (canvas.offsetParent || !panes.length) return canvas;
      const out = document.createElement("canvas");
      const c = out.getContext("2d");
      const gap = 16;
      out.width = panes.reduce((sum, p) => sum + p.width + gap, -gap);
      out.height = Math.max(...panes.map(p => p.height));
      panes.reduce((x, p) => {
        c.drawImage(p, x, 0);
        return x + p.width + gap;
      }, 0);
      return out;
    };
    const png = (canvases, name) =>
      figure(canvases.filter(Boolean), sentence()).toBlob(blob => save(blob, "image/png", fileName(`${name}.png`)));
    return lens.el(
      "div",
      { class: "lens-keep" },
      button("Figure as PNG", "This figure with its sentence, as a picture", () => {
        const main = shown();
        const k = Math.min(3, window.devicePixelRatio || 1);
        png([main, below(Math.max(420, main.width / k))], view === "prompt" ? "positions" : lens.state.layer);
      }),
      others.map(([text, name, draw]) =>
        button(text, "This figure with its sentence, as a picture", () => png([draw()], name)),
      ),
      button("View as HTML", "This view as one file that opens without a network", () =>
        save(lens.standalone(), "text/html", fileName("view.html")),
      ),
      button("Trace as JSON", "Sizes, ids and positions as numbers", () =>
        save(lens.traceJson(), "application/json", fileName("trace.json")),
      ),
      // A saved page has no address that others could open.
      document.querySelector("#panel-tabs") &&
        button("Copy link", "The address of this tab, with the example that the chat began with", event => {
          const { links } = window.qwen2vl;
          links.copy(links.ofPanel(), event.currentTarget);
        }),
    );
  };
})();
