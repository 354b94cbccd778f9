// The tab "Prompt": the chat as one sequence of tokens, and the positions below it.
(() => {
  const lens = window.qwen2vl.lens;

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
    const chips = lens.views.chips();
    const plot = lens.views.plot();
    const account = lens.el("p", { class: "lens-says" });
    const list = lens.el("ul", { class: "lens-jumps" });
    const keep = lens.views.keep("prompt", plot.canvas, { others: [["Tokens as PNG", "tokens", chips.figure]] });
    const whole = lens.el(
      "div",
      { class: "lens-whole" },
      lens.el("h4", {}, "Tokens"),
      summary,
      chips,
      lens.el("h4", {}, "Positions"),
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
      const name = { [t]: "t", [h]: "rows", [w]: "columns" }[Math.max(t, h, w)];
      const next =
        end < data.length
          ? ` The word behind it stands at ${lens.number(data.position_ids[0][end])}; ` +
            `counted plainly it would be ${lens.number(end)}.`
          : "";
      return (
        `${medium.name}: ${lens.count(end - start, "token")} lie in ${lens.count(used - first + 1, "position")}, ` +
        `${lens.number(first)} to ${lens.number(used)}, as many as it has ${name === "t" ? "steps of t" : name}.${next}`
      );
    }

    lens.on("change", names => {
      const { data } = lens.state;
      empty.hidden = Boolean(data);
      whole.hidden = !data;
      if (!data || !(names.has("data") || names.has("size"))) return;
      const visual = data.media.reduce((sum, m) => sum + m.merged_tokens, 0);
      const used = data.largest + 1;
      const speakers = data.turns.map(turn => turn.role).filter((role, i, all) => all.indexOf(role) === i);
      const textual = lens.number(data.length - visual);
      summary.textContent =
        `${lens.count(data.length, "token")}: ${lens.number(visual)} of pictures and clips, ` +
        `${textual} of words and markers${speakers.length ? `, spoken by ${speakers.join(", ")}` : ""}. ` +
        "Grey chips are markers that only the model reads" +
        `${data.media.length ? "; a picture unfolds when you click it" : ""}.`;
      const saved = data.length - used;
      const largest = lens.number(data.largest);
      const delta = lens.number(data.rope_delta);
      account.textContent =
        saved > 0
          ? `These ${lens.count(data.length, "token")} use only positions 0 to ${largest}: M-RoPE saves ` +
            `${lens.number(saved)} of them, because the tokens of a picture share theirs. rope_delta is ${delta}: ` +
            `the answer goes on at position ${lens.number(used)} and not at ${lens.number(data.length)}.`
          : "For words t, h and w are equal, and so this is plain 1-D counting: " +
            `positions 0 to ${largest}, rope_delta ${delta}.`;
      lens.fill(
        list,
        data.media.map(medium => lens.el("li", {}, jump(data, medium))),
      );
    });
  };
})();
