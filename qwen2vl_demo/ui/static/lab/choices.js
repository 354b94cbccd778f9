// "What else could it have said?": for each token of the picked word the five most probable ones, and the answer that
// would have been with another of them.
(() => {
  const { lab } = element;
  const { $ } = lab;
  const visible = text => lab.lens().visible(text);
  let asked = ""; // the answer and the word that were asked about
  let found = null;

  function follow() {
    const { answer, word, words } = lab.answer();
    const open = lab.fold("choices").open;
    $("ask-word").hidden = word >= 0;
    if (word < 0 || !words.length) return reset();
    const name = `${answer} ${word}`;
    if (!open || name === asked) return;
    asked = name;
    found = null;
    $("places").replaceChildren();
    $("how").textContent = "";
    $("instead").hidden = true;
    $("choices-status").textContent = `The step that chose “${words[word]}” is run again …`;
    lab.ask("choices", { word });
  }

  function reset() {
    asked = "";
    found = null;
    for (const part of ["places", "instead"]) $(part).replaceChildren();
    $("instead").hidden = true;
    for (const part of ["how", "choices-status"]) $(part).textContent = "";
  }

  function show(result) {
    $("choices-status").textContent = result.note || "";
    if (result.choices) draw((found = result.choices));
    if (result.continued) instead(result.continued);
  }

  function draw({ how, places }) {
    $("how").textContent = how;
    $("places").replaceChildren(
      ...places.map((choice, i) => {
        const many = places.length > 1;
        const title = many ? `Token ${i + 1} of ${places.length} of the word: ` : "It chose ";
        const listed = choice.candidates.some(({ token }) => token === choice.chosen.token);
        const rows = listed ? choice.candidates : [...choice.candidates, choice.chosen];
        return lab.make(
          "div",
          { class: "choice" },
          lab.make("p", {}, title, lab.make("code", {}, visible(choice.chosen.text)), "."),
          lab.make("ol", {}, ...rows.map(candidate => row(choice, candidate))),
        );
      }),
    );
  }

  function row(choice, candidate) {
    const own = candidate.token === choice.chosen.token;
    const bar = lab.make("i", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", candidate.probability.toFixed(4));
    const share = lab.make("span", { class: "share" }, lab.percent(candidate.probability));
    const word = lab.make("code", {}, visible(candidate.text) || "(nothing)");
    const parts = [word, bar, share];
    if (own) return lab.make("li", { class: "own" }, ...parts, lab.make("span", { class: "quiet" }, "as it wrote"));
    const go = lab.make("button", { type: "button" }, "and then?");
    go.setAttribute("aria-label", `And then? The answer with ${candidate.text.trim() || "this token"} here`);
    go.addEventListener("click", () => {
      $("choices-status").textContent = "The answer is written on from there …";
      lab.ask("continue", { word: found.word, place: choice.place, token: candidate.token });
    });
    return lab.make("li", {}, ...parts, go);
  }

  function instead({ text }) {
    $("instead").hidden = false;
    $("instead").replaceChildren(
      lab.make("p", { class: "quiet" }, "It would have been (written on greedily, at most 64 tokens):"),
      lab.make("p", { class: "answer" }, text.trim() || "(an empty answer)"),
    );
  }

  lab.fold("choices").addEventListener("toggle", follow);
  lab.tools.push({ what: ["choices", "continue"], show, reset, follow });
})();
