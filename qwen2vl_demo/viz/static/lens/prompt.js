// The tab "Prompt": the chat as one sequence of tokens, and the positions below it.
(() => {
  const lens = window.qwen2vl.lens;
  const glossed = (element, text) => lens.fill(element, lens.glossed(text));

  lens.views.prompt = root => {
    const empty = lens.el(
      "div",
      { class: "lens-nothing" },
      lens.el(
        "p",
        {},
        "Nothing to see yet. Ask something or attach a file, and the whole prompt stands here, token by token.",
      ),
    );
    const summary = lens.el("p", { class: "lens-says" });
    const remark = lens.el("p", { class: "lens-remark", role: "status", hidden: true });
    const bar = lens.el("div", { class: "lens-share", role: "img" });
    const legend = lens.el("p", { class: "lens-legend" });
    const chips = lens.views.chips();
    const plot = lens.views.plot();
    const account = lens.el("p", { class: "lens-says" });
    const list = lens.el("ul", { class: "lens-jumps" });
    const keep = lens.views.keep("prompt", plot.canvas, { others: [["Tokens as PNG", "tokens", chips.figure]] });
    const whole = lens.el(
      "div",
      { class: "lens-whole" },
      lens.el("h2", {}, "Tokens"),
      summary,
      remark,
      bar,
      legend,
      chips,
      lens.el("h2", {}, "Positions"),
      account,
      plot,
      list,
      keep,
    );
    root.replaceChildren(empty, whole);

    // One sentence about the positions that a medium takes and the first position after it.
    function jump(data, medium) {
      const [start, end] = medium.span;
      const first = data.position_ids[0][start];
      const [t, h, w] = medium.merged_grid;
      const used = Math.max(
        ...data.position_ids.map(axis => {
          let most = 0;
          for (let i = start; i < end; i++) most = Math.max(most, axis[i]);
          return most;
        }),
      );
      const name = { [t]: "steps of time", [h]: "rows", [w]: "columns" }[Math.max(t, h, w)];
      const next =
        end < data.length
          ? ` The next word is at position ${lens.number(data.position_ids[0][end])}; ` +
            `counted plainly it would be at ${lens.number(end)}.`
          : "";
      return (
        `${medium.name}: ${lens.count(end - start, "token")} lie in ${lens.count(used - first + 1, "position")}, ` +
        `${lens.number(first)} to ${lens.number(used)}, as many as it has ${name}.${next}`
      );
    }

    // How much of the context the prompt takes: pictures, text, and what is left.
    function fill(data, visual, textual) {
      const whole = Math.max(data.context_length || data.length, data.length);
      const parts = [
        ["pictures", visual, `${lens.number(visual)} of pictures and clips`],
        ["text", textual, `${lens.number(textual)} of text and markers`],
        ...(data.context_length ? [["rest", whole - data.length, `${lens.number(whole - data.length)} free`]] : []),
      ].filter(([, tokens]) => tokens > 0);
      lens.fill(
        bar,
        parts.map(([key, tokens]) =>
          lens.el("i", { class: `lens-${key}`, style: { width: `${(100 * tokens) / whole}%` } }),
        ),
      );
      bar.setAttribute("aria-label", parts.map(([, , words]) => words).join(", "));
      lens.fill(
        legend,
        parts.map(([key, , words]) => lens.el("span", { class: `lens-${key}` }, words)),
      );
    }

    lens.on("change", names => {
      const { data, answer } = lens.state;
      empty.hidden = Boolean(data);
      whole.hidden = !data;
      if (!data || !(names.has("data") || names.has("size") || names.has("answer"))) return;
      const visual = data.media.reduce((sum, m) => sum + m.merged_tokens, 0);
      const used = data.largest + 1;
      const speakers = data.turns.map(turn => turn.role).filter((role, i, all) => all.indexOf(role) === i);
      const context = data.context_length
        ? `, ${((100 * data.length) / data.context_length).toFixed(1)} % of the ` +
          `${lens.number(data.context_length)} that the model has room for`
        : "";
      const written = answer?.tokens.length
        ? ` The answer has ${lens.number(answer.tokens.length)} more, the darker chips at the end.`
        : "";
      glossed(
        summary,
        `${lens.count(data.length, "token")}${context}: ${lens.number(visual)} of pictures and clips, ` +
          `${lens.number(data.length - visual)} of words and markers` +
          `${speakers.length ? `, from ${speakers.join(", ")}` : ""}. ` +
          "Dark chips are markers that only the model reads" +
          `${data.media.length ? "; a picture unfolds when you click it" : ""}.${written}`,
      );
      remark.hidden = !answer?.remark;
      lens.fill(remark, lens.el("b", {}, "Not what the model read: "), answer?.remark || "");
      fill(data, visual, data.length - visual);
      const saved = data.length - used;
      const largest = lens.number(data.largest);
      const delta = lens.number(data.rope_delta).replace("-", "−");
      glossed(
        account,
        saved > 0
          ? `These ${lens.count(data.length, "token")} use only positions 0 to ${largest}: M-RoPE saves ` +
              `${lens.number(saved)} of them, because the tokens of a picture share theirs. The answer goes on at ` +
              `position ${lens.number(used)} and not at ${lens.number(data.length)}. ` +
              `The difference, ${delta}, is what ` +
              "the model keeps as rope_delta: while it writes, the position of a token is its number in the sequence " +
              "plus rope_delta."
          : "For words t, h and w are equal, and so this is plain 1-D counting: " +
              `positions 0 to ${largest}. Number and position of a token are the same, so rope_delta, the difference ` +
              `between the two, is ${delta}.`,
      );
      lens.fill(
        list,
        data.media.map(medium => lens.el("li", {}, jump(data, medium))),
      );
    });
  };
})();
