// The laboratory below the words of an answer: what its tools share. Each tool is in a file of its own, in the order of
// SCRIPTS in ui/panel/laboratory_view.py, and adds itself to `element.lab`.
//
// props.value is what ui/panel/laboratory.py says. Words come from the model and are only inserted as text nodes.
const lab = (element.lab = {
  $: name => element.querySelector(`[data-part=${name}]`),
  fold: name => element.querySelector(`[data-fold=${name}]`),
  tools: [], // {what: [kinds of results], show(result), reset()}
  // The answer that is shown above, published by static/where.js: {answer, turn, key, words, spaces, word}
  answer: () => window.qwen2vl.answer || { answer: "", words: [], word: -1 },
  lens: () => window.qwen2vl?.lens,
  make: (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  },
  // Asks about the answer that is shown; results come to the tool that takes their kind.
  // One thing is computed for a visitor at a time: what is asked last. A map that is on its way above comes before it.
  ask(what, more = {}) {
    const { answer, turn, waiting } = lab.answer();
    const send = () => trigger("select", { index: 0, value: { what, answer, turn, ...more } });
    const displaced = lab.later;
    lab.later = waiting && what !== "stop" ? { what, send } : null;
    if (!lab.later) send();
    if (displaced) lab.tell({ what: displaced.what, note: "Stopped." });
  },
  later: null, // {what, send} until the map above has come
  tell: result => lab.tools.forEach(tool => tool.what.includes(result.what) && tool.show(result)),
  // "98 %", "3.2 %", "0.01 %": never a 0 or 100 that is none.
  percent(share) {
    if (share > 0.9995) return "over 99.9 %";
    const digits = share < 0.001 ? 3 : share < 0.0995 || share > 0.9895 ? 1 : 0;
    return share < 0.00001 ? "under 0.001 %" : `${(100 * share).toFixed(digits)} %`;
  },
  // A difference of log-probabilities with its sign.
  difference: value => {
    const rounded = Math.abs(value) < 0.05 ? "0" : Math.abs(value).toFixed(Math.abs(value) < 9.95 ? 1 : 0);
    return rounded === "0" ? "0" : `${value < 0 ? "−" : "+"}${rounded}`;
  },
  // "1,480 times less likely", for a difference of log-probabilities.
  times(value) {
    if (Math.abs(value) < 0.05) return "as likely as before";
    const factor = Math.exp(Math.min(Math.abs(value), 27));
    const digits = { maximumSignificantDigits: factor < 9.95 ? 2 : 3 };
    const many = Math.abs(value) > 27 ? "over 500 billion" : factor.toLocaleString("en", digits);
    return `${many} times ${value < 0 ? "less" : "more"} likely`;
  },
});

// The prompt that was answered, where the lens draws another one; then `next` runs.
lab.withItsPrompt = next => {
  if (lab.lens()?.state.data?.key === lab.answer().key) return next();
  lab.afterwards = next;
  lab.ask("show");
};

(() => {
  let shown = "";
  const unavailable = () => window.qwen2vl.model?.laboratory || "";

  function follow() {
    const { answer, words } = lab.answer();
    const media = lab.lens()?.state.data?.media || [];
    const why = unavailable();
    element.querySelectorAll("[data-fold]").forEach(fold => (fold.hidden = Boolean(why)));
    lab.$("unavailable").hidden = !why;
    lab.$("unavailable").textContent = why && `Hide a region, other words, one token layer by layer: ${why}`;
    element.querySelector(".lab").hidden = why ? !media.length : !answer || !words.length;
    if (answer !== shown) lab.tools.forEach(tool => tool.reset());
    if (answer !== shown) lab.later = null;
    shown = answer;
    lab.tools.forEach(tool => tool.follow?.());
    if (!lab.later || lab.answer().waiting) return;
    const { send } = lab.later;
    lab.later = null;
    send();
  }

  lab.load = () => {
    const value = props.value || {};
    if (value.what === "show" && value.prompt) {
      lab.lens().show(value.prompt);
      const next = lab.afterwards;
      lab.afterwards = null;
      return next?.();
    }
    if (value.answer && value.answer !== lab.answer().answer) return; // of another answer, which came too late
    lab.tell(value);
  };

  // Runs once the tools and the lens are there.
  lab.begin = () => {
    if (!lab.lens()?.on) return setTimeout(lab.begin, 50);
    document.addEventListener("answer-shown", follow);
    document.addEventListener("model-told", follow);
    lab.lens().on("data", follow);
    follow();
    watch("value", lab.load);
  };
  setTimeout(lab.begin);
})();
