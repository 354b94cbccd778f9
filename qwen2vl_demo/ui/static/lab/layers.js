// "One token, layer by layer": for the token of the picture that is held, the words that its state resembles before the
// first layer and after each.
(() => {
  const { lab } = element;
  const { $ } = lab;
  const visible = text => lab.lens().visible(text);

  // The token of a picture that is pointed at; without one, that in the middle, as the readout shows.
  function chosen() {
    const { state } = lab.lens();
    if (state.data?.key !== lab.answer().key) return null;
    const facts = lab.lens().facts(state.at);
    if (facts) return facts;
    const medium = lab.lens().medium();
    if (!medium) return null;
    const [, h, w] = medium.merged_grid;
    return lab.lens().facts({ token: state.data.tokenAt(state.medium, state.t, h >> 1, w >> 1), patch: -1 });
  }

  $("read").addEventListener("click", () =>
    lab.withItsPrompt(() => {
      const facts = chosen();
      if (!facts) return;
      $("rows").replaceChildren();
      $("which").textContent = `Token ${facts.token}: row ${facts.row}, column ${facts.column} of ${facts.name}.`;
      $("layers-status").textContent = "The token is run once more …";
      lab.ask("layers", { token: facts.token });
    }),
  );

  function show(result) {
    $("layers-status").textContent = result.note || "";
    if (!result.layers) return;
    const { rows } = result.layers;
    const name = i =>
      i === 0 ? "as it enters" : i === rows.length - 1 ? `after layer ${i - 1} (last)` : `after layer ${i - 1}`;
    const words = row =>
      row.map(({ text, probability }) => {
        const word = lab.make("code", { title: lab.percent(probability) }, visible(text) || "(nothing)");
        word.style.opacity = (0.75 + 0.25 * Math.min(1, probability * 2)).toFixed(2);
        return lab.make("td", {}, word);
      });
    $("rows").replaceChildren(
      lab.make(
        "table",
        {},
        lab.make("caption", {}, "The nearest words of the vocabulary, the nearest first"),
        lab.make(
          "tbody",
          {},
          ...rows.map((row, i) =>
            lab.make(
              "tr",
              {},
              lab.make("th", { scope: "row" }, name(i)),
              lab.make("td", { class: "share" }, lab.percent(row[0].probability)),
              ...words(row),
            ),
          ),
        ),
      ),
    );
  }

  lab.tools.push({
    what: ["layers"],
    show,
    reset() {
      $("rows").replaceChildren();
      for (const part of ["which", "layers-status"]) $(part).textContent = "";
    },
  });
})();
