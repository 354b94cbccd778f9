// The handout: steps of the lesson on paper, with the picture, the budget and the question that are on the screen, and
// with the answers or with lines to write them on. One file that opens offline and contains no script.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const ROOM = { width: 640, height: 380 }; // px of a step's picture
  const PATIENCE = 10_000; // ms for a picture to be loaded
  const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
  const SHEET = `
    body { background: #fff !important; overflow: auto !important; }
    .handout { max-width: 720px; margin: 24px auto; padding: 0 16px; display: block; font-size: 15px; }
    .handout h1 { font-size: 22px; margin: 0 0 4px; }
    .handout h2 { font-size: 19px !important; margin: 0 0 8px !important; }
    .handout section + section { margin-top: 40px; }
    .handout section > * { break-inside: avoid; margin-top: 8px; }
    .handout .lesson-stage { width: ${ROOM.width}px; max-width: 100%; overflow: hidden; margin: 14px auto; }
    .handout .lesson-pair { flex-direction: row; }
    .handout .lesson-trials { grid-template-columns: repeat(3, 1fr); }
    .handout .lesson-answer { margin: 0; padding: 8px 0 0; max-height: none; overflow: visible; }
    .handout-name { display: flex; gap: 32px; margin: 14px 0 22px; }
    .handout-name span { flex: 1; border-bottom: 1px solid; padding-bottom: 4px; }
    .handout-line { height: 32px; border-bottom: 1px dotted; }
    .handout-choice::before { content: "\\2610\\00a0\\00a0"; }
    @page { margin: 16mm; }
    @media print {
      .handout { margin: 0; max-width: none; padding: 0; }
      .handout section + section { break-before: page; margin: 0; }
      * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
    }`;
  const text = (tag, words, className) => lens.el(tag, { class: className }, words);

  // Resolves when the images of a scene are loaded, or have had the time for it.
  async function loaded(s) {
    const sources = [s.still, ...Array.from({ length: s.film?.frames || 0 }, (_, frame) => s.film.source(frame))];
    const end = performance.now() + PATIENCE;
    while (sources.some(source => !lesson.subjects.image(source)) && performance.now() < end)
      await new Promise(done => setTimeout(done, 50));
  }

  const asData = async address => {
    const blob = await (await fetch(address)).blob();
    return new Promise(done => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result);
      reader.readAsDataURL(blob);
    });
  };

  // Does `work` while the page has light colours and pictures tell the answers or not, before the browser paints.
  async function onPaper(answers, work) {
    const { classList } = document.body;
    const dark = classList.contains("dark");
    classList.remove("dark");
    await Promise.resolve(); // the lens reads its colours anew
    lesson.telling = answers;
    try {
      return work();
    } finally {
      lesson.telling = null;
      classList.toggle("dark", dark);
    }
  }

  // The picture of a step, drawn where nobody sees it, as elements that need no script.
  async function picture(step, s, answers) {
    const root = lens.el("div", { class: "lesson-stage" });
    const place = lens.el("div", { class: "lens lesson lesson-press", "aria-hidden": "true", inert: true }, root);
    Object.assign(root.style, { flex: "none", width: `${ROOM.width}px`, height: `${ROOM.height}px` });
    document.body.append(place);
    try {
      const drawn = await onPaper(answers, () => {
        step.stage(root, lens.el("div"), s, () => {})(s);
        return [...root.querySelectorAll("canvas")].map(canvas => [canvas.toDataURL(), canvas.style.cssText]);
      });
      const cells = [...root.querySelectorAll(".lesson-cells i")].map(cell => getComputedStyle(cell).transform);
      const sheeted = [...root.querySelectorAll(".lesson-cells, .lesson-tokens")];
      const until = performance.now() + PATIENCE;
      while (sheeted.some(one => !one.style.getPropertyValue("--sheet")) && performance.now() < until)
        await new Promise(done => setTimeout(done, 30));
      for (const one of sheeted) {
        const [, address] = one.style.getPropertyValue("--sheet").match(/url\("?(blob:[^")]+)"?\)/) || [];
        if (address) one.style.setProperty("--sheet", `url(${await asData(address)})`);
      }
      const copy = root.cloneNode(true);
      copy.style.height = "auto";
      copy.querySelectorAll("canvas").forEach((canvas, i) => {
        const image = lens.el("img", { src: drawn[i][0], alt: canvas.getAttribute("aria-label") || "" });
        image.style.cssText = `${drawn[i][1]}; display: block; margin: 0 auto; max-width: 100%`;
        canvas.replaceWith(image);
      });
      copy.querySelectorAll(".lesson-cells i").forEach((cell, i) => (cell.style.transform = cells[i]));
      copy.querySelectorAll("[tabindex]").forEach(element => element.removeAttribute("tabindex"));
      return copy;
    } finally {
      place.remove();
    }
  }

  function question(step, s) {
    const guess = step.guess(s);
    const choices = guess.choices?.map(([, words]) => text("p", words, "handout-choice"));
    const line = () => text("div", "", "handout-line");
    return [text("p", guess.ask, "lesson-ask"), ...(choices || []), line(), ...(choices ? [] : [line()])];
  }

  function answered(step, s) {
    return [
      text("p", step.guess(s).ask, "lesson-ask"),
      lens.el("div", { class: "lesson-answer revealed" }, lesson.revealed(step, s, "")),
    ];
  }

  async function section(step, index, s, answers) {
    const missing = step.needs?.(s);
    if (missing) return null;
    const title = text("h2", `${index + 1}. ${step.title}`, "lesson-title");
    const lead = step.lead(s).map(words => (typeof words === "string" ? lens.el("p", {}, words) : words));
    return lens.el(
      "section",
      {},
      title,
      lead,
      await picture(step, s, answers),
      (answers ? answered : question)(step, s),
    );
  }

  // Resolves to the handout as the text of an HTML file. `indices` are those of the steps.
  lesson.handout = async (indices, answers) => {
    const s = lesson.scene();
    await loaded(s);
    const sections = [];
    for (const index of indices) sections.push(await section(lesson.steps[index], index, s, answers));
    const fields = ["Name", "Date"].map(label => text("span", label));
    const title = "How Qwen2-VL looks at a picture";
    const page = document.implementation.createHTMLDocument(title);
    const head = [
      ["meta", { charset: "utf-8" }],
      ["meta", { "http-equiv": "Content-Security-Policy", content: POLICY }],
    ].map(([tag, attributes]) => lens.el(tag, attributes));
    page.head.prepend(...head);
    page.head.append(text("style", window.qwen2vl.pageRules() + SHEET));
    page.documentElement.lang = "en";
    page.body.className = document.body.className.replace(/\b(dark|learning)\b/g, "");
    const main = lens.el(
      "main",
      { class: "lens lesson handout" },
      text("h1", title),
      text("p", `With ${s.name}, ${lens.number(s.width)} x ${lens.number(s.height)} pixels`, "lens-hint"),
      answers ? null : lens.el("div", { class: "handout-name" }, fields),
      sections,
    );
    const around = document.querySelector(".gradio-container");
    page.body.append(page.importNode(lens.el("div", { class: around?.className }, main), true));
    return `<!doctype html>\n${page.documentElement.outerHTML}`;
  };
})();
