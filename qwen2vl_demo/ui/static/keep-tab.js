// Saves a tab of the panel as one HTML file: its current content, figures as SVG, with the page's style rules. The file
// opens offline and contains no script. Built from the page's own elements, without a request to the server.
//
// A handout is the same for printing: with the answers, or with lines to write them on.
(() => {
  const CONTROLS =
    "button, input, select, label, script, .modebar, .panel-lazy, #rotation-choice, .experiment-choices, " +
    "[aria-hidden=true]";
  const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

  function rules() {
    const kept = [];
    for (const sheet of document.styleSheets) {
      try {
        // A font file would have to be fetched; without its rule the system font is used.
        for (const rule of sheet.cssRules) if (!(rule instanceof CSSFontFaceRule)) kept.push(rule.cssText);
      } catch {
        /* a style sheet of another origin, which may not be read */
      }
    }
    return kept
      .join("\n")
      .replace(/url\((?!["']?(data:|#))[^)]*\)/g, "none")
      .replace(/<\/style/gi, "<\\/style");
  }

  const SHEET = `
    body { background: #fff !important; }
    .handout-name { display: flex; gap: 32px; margin: 0 0 20px; font-size: 15px; }
    .handout-name span { flex: 1; border-bottom: 1px solid; padding-bottom: 4px; }
    .handout-line { height: 34px; border-bottom: 1px dotted; }
    details, .trial, img { break-inside: avoid; }
    summary { list-style: none; font-weight: 700; }
    @page { margin: 16mm; }
    @media print { main { width: auto !important; margin: 0 !important; } }`;

  // Lines to write on, in place of an element.
  function empty(element, lines) {
    const made = Array.from({ length: lines }, () => {
      const line = document.createElement("div");
      line.className = "handout-line";
      return line;
    });
    element.replaceWith(...made);
  }

  // Takes what a learner is to find out of a copy of a tab.
  function withoutAnswers(copy) {
    copy.querySelectorAll("details p").forEach(answer => empty(answer, 2));
    copy.querySelectorAll(".trial-answer").forEach(answer => empty(answer, 1));
    copy.querySelectorAll(".accuracy").forEach(found => empty(found, 3));
    copy.querySelectorAll(".differs").forEach(trial => trial.classList.remove("differs"));
    copy.querySelectorAll("[data-answer]").forEach(answer => answer.remove());
    const name = document.createElement("div");
    name.className = "handout-name";
    for (const text of ["Name", "Date"]) {
      const field = document.createElement("span");
      field.textContent = text;
      name.append(field);
    }
    copy.prepend(name);
  }

  const keepTab = (id, name) => write(id, name, name.toLowerCase());
  const handOut = (id, name) => write(id, name, "handout", withoutAnswers);
  const handOutAnswers = (id, name) => write(id, name, "handout-answers", () => {});

  // Saves a tab as `file`.html; `prepare` makes a handout of its copy.
  function write(id, name, file, prepare) {
    const tab = document.getElementById(id);
    const copy = tab.cloneNode(true);
    const canvases = tab.querySelectorAll("canvas"); // a copy of a canvas is empty
    copy.querySelectorAll("canvas").forEach((canvas, i) => {
      const image = new Image(canvases[i].clientWidth, canvases[i].clientHeight);
      image.alt = "";
      image.src = canvases[i].toDataURL();
      canvas.replaceWith(image);
    });
    copy.querySelectorAll(CONTROLS).forEach(element => element.remove());
    copy.querySelectorAll("details").forEach(element => {
      element.open = true;
    });
    copy.style.display = "block";
    prepare?.(copy);
    // The system font is wider than the page's: a legend must not be clipped to the width it has here.
    copy.querySelectorAll(".legend[clip-path]").forEach(element => element.removeAttribute("clip-path"));
    // Plotly refers to clip paths by the URL of this page; in the file they are in the same document.
    for (const element of copy.querySelectorAll("[clip-path], [mask], [fill^=url], [style*='url(']"))
      for (const { name, value } of [...element.attributes])
        if (value.includes("url("))
          element.setAttribute(name, value.replace(/url\((["']?)https?:[^)#]*#([^)"']*)\1\)/g, "url(#$2)"));
    const page = document.implementation.createHTMLDocument(name);
    const charset = page.createElement("meta");
    const policy = page.createElement("meta");
    const style = page.createElement("style");
    charset.setAttribute("charset", "utf-8");
    policy.setAttribute("http-equiv", "Content-Security-Policy");
    policy.setAttribute("content", POLICY);
    style.textContent =
      rules() +
      `\nbody { overflow: auto !important; }\nmain { width: ${tab.clientWidth}px; margin: 24px auto; }` +
      (prepare ? SHEET : "");
    page.head.prepend(charset, policy, style);
    page.documentElement.className = document.documentElement.className;
    page.body.className = document.body.className;
    if (prepare) page.body.classList.remove("dark"); // it is for paper
    const frame = page.createElement("main");
    const around = document.querySelector(".gradio-container");
    frame.append(page.importNode(copy, true));
    const container = page.createElement("div");
    container.className = around ? around.className : "";
    container.append(frame);
    page.body.append(container);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(
      new Blob(["<!doctype html>\n" + page.documentElement.outerHTML], { type: "text/html" }),
    );
    link.download = `${file}.html`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  Object.assign((window.qwen2vl ||= {}), { keepTab, handOut, handOutAnswers, pageRules: rules });
})();
