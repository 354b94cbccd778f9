// Saves a tab of the panel as one HTML file: its current content, figures as SVG, with the page's style rules. The file
// opens offline and contains no script. Built from the page's own elements, without a request to the server.
(() => {
  const CONTROLS = "button, input, select, label, script, .modebar, .panel-lazy, #rotation-choice, [aria-hidden=true]";
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

  function keepTab(id, name) {
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
      rules() + `\nbody { overflow: auto !important; }\nmain { width: ${tab.clientWidth}px; margin: 24px auto; }`;
    page.head.prepend(charset, policy, style);
    page.documentElement.className = document.documentElement.className;
    page.body.className = document.body.className;
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
    link.download = `${name.toLowerCase()}.html`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  Object.assign((window.qwen2vl ||= {}), { keepTab });
})();
