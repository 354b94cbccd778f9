// The guess of a step: a number or a choice to commit, and what then appears: how near it was, the sum, what it means.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const SKIPPED = ""; // the learner wanted to see it without a guess

  // What is said of a guess. `mistakes` are [[value, sentence], ...] of numbers that others have guessed; `pending` is
  // said while the truth is not known.
  lesson.verdict = ({ truth, unit, choices, mistakes = [], pending }, value) => {
    if (truth === null) return pending;
    const counted = unit ? lens.count(truth, unit) : lens.number(truth);
    const words = choices ? choices.find(([key]) => key === truth)[1] : counted;
    if (value === SKIPPED) return `${capital(words)}.`;
    const yours = choices ? choices.find(([key]) => key === value)?.[1] : lens.number(value);
    if (value === truth) return `Right: ${words}.`;
    const known = mistakes.find(([wrong]) => wrong === value)?.[1];
    if (choices || known) return `You said ${yours}; it is ${words}.${known ? ` ${known}` : ""}`;
    const near = value > 0 && Math.abs(value / truth - 1) <= 0.1;
    return near ? `Close: you said ${yours}, it is ${words}.` : `You said ${yours}; it is ${words}.`;
  };
  const capital = words => words[0].toUpperCase() + words.slice(1);

  // The form; `commit(value)` is called once.
  lesson.guessForm = (guess, commit) => {
    const hint = lens.el("p", { class: "lens-hint", role: "alert" });
    const show = lens.el("button", { type: "button", class: "lens-quiet", onclick: () => commit(SKIPPED) }, "Show me");
    const send = lens.el("button", { type: "submit", class: "lens-strong" }, "Commit");
    const form = lens.el("form", { class: "lesson-guess", autocomplete: "off" });
    const ask = lens.el("label", { class: "lesson-ask", for: "lesson-answer" }, guess.ask);
    let read;
    if (guess.choices) {
      const group = lens.el("fieldset", {}, lens.el("legend", { class: "lesson-ask" }, guess.ask));
      for (const [value, text] of guess.choices) {
        const radio = lens.el("input", { type: "radio", name: "lesson-answer" });
        radio.value = value;
        group.append(lens.el("label", {}, radio, text));
      }
      form.append(group, lens.el("div", { class: "lesson-commit" }, send, show), hint);
      read = () => form.querySelector("input:checked")?.value ?? null;
    } else {
      const field = lens.el("input", {
        ...{ id: "lesson-answer", type: "text", inputmode: "numeric", maxlength: 15, autocomplete: "off" },
      });
      form.append(ask, lens.el("div", { class: "lesson-commit" }, field, send, show), hint);
      read = () => {
        const digits = field.value.replace(/[\s,.'_]/g, "");
        return /^\d+$/.test(digits) ? Number(digits) : null;
      };
    }
    form.addEventListener("submit", event => {
      event.preventDefault();
      const value = read();
      if (value !== null) return commit(value);
      hint.textContent = guess.choices ? "Choose one first." : "Type a whole number first.";
      form.querySelector("input").focus();
    });
    return form;
  };

  // The answer to a guess.
  lesson.revealed = (step, s, value) => {
    const sum = step.sum(s);
    return [
      lens.el("p", { class: "lesson-verdict" }, lesson.verdict(step.guess(s), value)),
      sum.length ? lens.el("pre", { class: "lesson-sum" }, sum.join("\n")) : null,
      step.reveal(s).map(sentence => (typeof sentence === "string" ? lens.el("p", {}, sentence) : sentence)),
      lens.el("p", { class: "lesson-takeaway" }, lens.el("b", {}, "Take away: "), step.takeaway(s)),
    ].flat();
  };
})();
