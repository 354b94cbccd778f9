// Where the learner is, kept in this browser: the step, the picture, what was moved, and the guesses.
//
// A guess belongs to what it was about (`step.about`): with another picture or another budget it is asked anew.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const KEY = "qwen2vl.lesson";
  const state = (lesson.state = { open: false, step: 0, subject: null, budget: 0, place: 0, guesses: {} });

  lesson.keep = () => {
    const { step, subject, budget, guesses } = state;
    try {
      localStorage.setItem(KEY, JSON.stringify({ step, subject, budget, guesses }));
    } catch {
      // storage is blocked: the lesson begins anew the next time
    }
  };

  lesson.recall = () => {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(KEY)) || {};
    } catch {}
    const whole = (value, most) => (Number.isInteger(value) && value >= 0 && value <= most ? value : 0);
    state.step = whole(kept.step, lesson.steps.length - 1);
    state.subject = typeof kept.subject === "string" ? kept.subject : null;
    state.budget = whole(kept.budget, lesson.sums.MOST);
    for (const step of lesson.steps) {
      const guess = kept.guesses?.[step.key];
      if (typeof guess?.about === "string" && ["number", "string"].includes(typeof guess.value))
        state.guesses[step.key] = { about: guess.about, value: guess.value };
    }
  };

  // The subject that was chosen, or else the learner's own, or else the first prepared one.
  lesson.subject = () => {
    const { own, prepared } = lesson.subjects;
    const chosen = [own, ...prepared].find(subject => subject && subject.key === state.subject);
    return chosen || (state.subject === null && own) || prepared[0] || own;
  };

  // Everything that the steps draw and count: the subject with the budget and the place that were chosen for it.
  lesson.scene = () => {
    const subject = lesson.subject();
    if (!subject) return null;
    const { height, width } = subject;
    return {
      ...subject,
      budget: state.budget || lesson.sums.startingBudget(height, width),
      place: state.place,
      film: lesson.subjects.clipOf(subject),
      model: window.qwen2vl.model || { name: "", positions: false },
    };
  };

  lesson.choose = key => {
    if (lesson.subject()?.key !== key || key === "own") state.budget = 0;
    state.subject = key;
    lesson.question = null;
    lesson.keep();
    lesson.refresh();
  };

  const about = (step, s) => (step.about || (({ key, height, width }) => `${key} ${width}x${height}`))(s);
  lesson.guessed = (step, s) => {
    const guess = state.guesses[step.key];
    return guess && guess.about === about(step, s) ? guess.value : null;
  };
  lesson.commit = (step, s, value) => {
    state.guesses[step.key] = { about: about(step, s), value };
    lesson.keep();
  };
  // Whether the learner has seen the answer of a step: its picture must not tell it before. While a handout is drawn,
  // `lesson.telling` says whether it holds the answers.
  lesson.telling = null;
  lesson.knows = (key, s) =>
    lesson.telling ??
    lesson.guessed(
      lesson.steps.find(step => step.key === key),
      s,
    ) !== null;
  lesson.wasGuessed = step => Boolean(state.guesses[step.key]);

  // The last question of the chat, as it stands there.
  lesson.asked = () => {
    const said = [...document.querySelectorAll("#chat .user.message [data-testid=user], #chat [data-testid=user]")];
    const words = said.map(element => element.innerText.trim()).filter(Boolean);
    return words.at(-1) || "";
  };

  // The address names the step, so that it can be sent to somebody.
  lesson.name = () => {
    const address = new URL(location.href);
    const before = address.href;
    if (state.open) address.searchParams.set("learn", state.step + 1);
    else ["learn", "example"].forEach(name => address.searchParams.delete(name));
    if (address.href !== before) history.replaceState(history.state, "", address);
  };

  // The address of this step with a prepared picture; the learner's own one is nobody else's.
  lesson.address = () => {
    const subject = lesson.subject();
    return window.qwen2vl.links.address({ learn: state.step + 1, example: subject && !subject.own && subject.key });
  };

  // What the address asks for: null, or {step: index or null, example: key or null}.
  lesson.linked = () => {
    const asked = new URLSearchParams(location.search);
    if (!asked.has("learn")) return null;
    const number = Number(asked.get("learn"));
    const step = Number.isInteger(number) && number >= 1 && number <= lesson.steps.length ? number - 1 : null;
    return { step, example: asked.get("example") };
  };

  lens.on("data", () => lesson.arrived?.());
  // Another model answers: what the one before said was not its.
  document.addEventListener("model-told", () => {
    lesson.live = null;
    lesson.refresh?.();
  });
})();
