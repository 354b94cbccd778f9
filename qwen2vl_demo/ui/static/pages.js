// Choosing pages of a document in the composer: a tile's button opens its pages as thumbnails, which come a few at a
// time; what is chosen there becomes the setting "Pages", which is the one for all documents.
(() => {
  let dialog = null;
  let opener = null; // the tile's button
  let file = null; // {id, name, pages} of the document that is open
  let chosen = new Set(); // numbers, from 1
  let asked = false; // for thumbnails that have not come
  const page = () => (window.qwen2vl ||= {});
  const field = () => document.querySelector("#pages :is(input, textarea)");

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // "1-3, 7" of numbers
  function text() {
    const ranges = [];
    for (const number of [...chosen].sort((a, b) => a - b)) {
      const last = ranges.at(-1);
      if (last && number === last[1] + 1) last[1] = number;
      else ranges.push([number, number]);
    }
    return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
  }

  // The numbers of what is in the setting, as far as this document has them.
  function numbers(words) {
    const found = new Set();
    for (const piece of words.split(/[,;]/)) {
      const range = piece.trim().match(/^(\d+)?\s*(?:([-\u2010-\u2014\u2212])\s*(\d+)?)?$/);
      if (!range || !piece.trim()) continue;
      const first = Number(range[1] || 1);
      const last = range[3] ? Number(range[3]) : range[2] ? file.pages : first;
      for (let n = Math.max(1, first); n <= Math.min(last, file.pages); n++) found.add(n);
    }
    return found;
  }

  function build() {
    dialog = element("dialog", { id: "choose-pages", className: "dialog" });
    dialog.setAttribute("aria-labelledby", "choose-pages-title");
    const cancel = element("button", { type: "button", textContent: "Cancel", onclick: () => dialog.close() });
    const read = element("button", {
      type: "button",
      textContent: "Read these pages",
      className: "read",
      onclick: apply,
    });
    dialog.append(
      element("h2", { id: "choose-pages-title" }),
      element("ol", { className: "pages" }),
      element("p", { className: "chosen" }),
      element("div", { className: "buttons" }, read, cancel),
    );
    dialog.querySelector(".chosen").setAttribute("role", "status");
    dialog.querySelector("ol").addEventListener("scroll", more, { passive: true });
    dialog.addEventListener("close", () => opener?.focus());
    document.body.append(dialog);
  }

  function open(of, button) {
    if (!dialog?.isConnected) build();
    file = of;
    opener = button;
    chosen = numbers(field()?.value || "");
    asked = false;
    dialog.querySelector("h2").textContent = `Pages of ${of.name}`;
    dialog.querySelector("ol").replaceChildren();
    tell();
    dialog.showModal();
    more();
  }

  // Asks for the next thumbnails when the end of those that came is near.
  function more() {
    const list = dialog.querySelector("ol");
    const near = list.scrollTop + list.clientHeight > list.scrollHeight - 300;
    if (asked || !near || list.childElementCount >= file.pages) return;
    asked = true;
    page().askPages(file.id, list.childElementCount + 1);
  }

  function show(value) {
    const came = JSON.parse(value || "{}");
    if (!dialog?.open || came.id !== file.id) return;
    const list = dialog.querySelector("ol");
    if (came.first !== list.childElementCount + 1) return;
    asked = false;
    came.posters.forEach((poster, i) => list.append(thumbnail(came.first + i, poster)));
    if (came.posters.length) more();
  }

  function thumbnail(number, poster) {
    const picture = element("img", { src: poster, alt: "" });
    const button = element("button", { type: "button", onclick: () => toggle(button, number) }, picture, `${number}`);
    button.setAttribute("aria-label", `Page ${number}`);
    button.setAttribute("aria-pressed", chosen.has(number));
    return element("li", {}, button);
  }

  function toggle(button, number) {
    if (!chosen.delete(number)) chosen.add(number);
    button.setAttribute("aria-pressed", chosen.has(number));
    tell();
  }

  function tell() {
    // How many may be read at once is the server's to say, which it does above the composer.
    dialog.querySelector(".chosen").textContent = chosen.size
      ? `Chosen: ${text()} (${chosen.size} of ${file.pages})`
      : `None of ${file.pages} chosen: the first ones are read.`;
  }

  function apply() {
    const input = field();
    const kind = input instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(input, text());
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("blur"));
    page().attached.again(file.id);
    dialog.close();
  }

  Object.assign(page(), { pages: { open, show } });
})();
