// Takes a view along: the figure as PNG, the whole view as one HTML file that opens offline, the trace as JSON.
// The file holds these very scripts, this style sheet and the payload; nothing is asked of any server.
(() => {
  const lens = window.qwen2vl.lens;

  function save(content, type, name) {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    const link = lens.el("a", { href: url, download: name });
    document.body.append(link); link.click(); link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
  const fileName = ending => {
    const medium = lens.medium(), stem = (medium?.name || "prompt").replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 60);
    return `${stem || "view"}-${ending}`;
  };

  // A figure with its sentence below it, on the colour of the page.
  function figure(canvas, sentence) {
    const out = document.createElement("canvas"), k = canvas.width / Math.max(1, canvas.clientWidth || canvas.width);
    const colours = lens.colours(), pad = 16 * k, size = 15 * k;
    const c = out.getContext("2d"), width = Math.max(canvas.width, 420 * k);
    c.font = `${size}px ${colours.font}`;
    const lines = [];
    for (const word of sentence.split(" ")) {
      const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
      if (lines.length && c.measureText(longer).width <= width) lines[lines.length - 1] = longer; else lines.push(word);
    }
    out.width = width + 2 * pad; out.height = canvas.height + 2.5 * pad + lines.length * size * 1.45;
    c.fillStyle = colours.card; c.fillRect(0, 0, out.width, out.height);
    c.drawImage(canvas, pad, pad);
    c.fillStyle = colours.ink; c.font = `${size}px ${colours.font}`; c.textBaseline = "top";
    lines.forEach((line, i) => c.fillText(line, pad, canvas.height + 1.7 * pad + i * size * 1.45));
    return out;
  }

  // The trace as `inspect --json` writes it.
  lens.traceJson = () => {
    const { data } = lens.state;
    const media = data.media.map(m => ({
      kind: m.kind, name: m.name, original_size: m.original_size, resized_size: m.resized_size, grid_thw: m.grid_thw,
      merged_tokens: m.merged_tokens, span: m.span,
      ...(m.kind === "video" && { timestamps: m.timestamps, frame_indices: m.frame_indices, total_frames: m.total_frames }),
    }));
    return JSON.stringify({ media, prompt_tokens: data.length, input_ids: [...data.input_ids],
      position_ids: data.position_ids.map(axis => [...axis]), rope_delta: data.rope_delta, tokens: data.tokens });
  };

  // The same view as one file: page.html with its marks filled in one pass, so that nothing put in is searched again.
  lens.standalone = () => {
    const source = id => document.getElementById(id).textContent, page = source("lens-page");
    const { data, medium, layer, t } = lens.state;
    const guarded = value => JSON.stringify(value).replace(/</g, "\\u003c");
    const parts = { STYLE: source("lens-style"), SCRIPT: source("lens-script"), PAGE: page,
      PAYLOAD: guarded(data.payload), STATE: guarded({ medium, layer, t }) };
    return JSON.parse(page).replace(/<<([A-Z]+)>>/g, (mark, name) => parts[name] ?? mark);
  };

  lens.views.keep = (view, { canvas }) => {
    const button = (text, title, act) => lens.el("button", { type: "button", class: "lens-quiet", title, onclick: act }, text);
    const sentence = () => [...document.querySelectorAll(`[data-mounted="${view}"] .lens-says`)].map(p => p.textContent).filter(Boolean).join(" ");
    const shown = () => {
      const panes = [...document.querySelectorAll(`[data-mounted="${view}"] figure:not([hidden]) canvas`)].filter(c => c.offsetParent);
      if (canvas.offsetParent || !panes.length) return canvas;
      const out = document.createElement("canvas"), c = out.getContext("2d"), gap = 16;
      out.width = panes.reduce((sum, p) => sum + p.width + gap, -gap); out.height = Math.max(...panes.map(p => p.height));
      panes.reduce((x, p) => { c.drawImage(p, x, 0); return x + p.width + gap; }, 0);
      return out;
    };
    return lens.el("div", { class: "lens-keep" },
      button("Figure as PNG", "This figure with its sentence, as a picture",
        () => figure(shown(), sentence()).toBlob(blob => save(blob, "image/png", fileName(`${view === "prompt" ? "positions" : lens.state.layer}.png`)))),
      button("View as HTML", "This view as one file that opens without a network", () => save(lens.standalone(), "text/html", fileName("view.html"))),
      button("Trace as JSON", "Sizes, ids and positions as numbers", () => save(lens.traceJson(), "application/json", fileName("trace.json"))));
  };
})();
