// The words of the field, explained where they stand: on hover and on focus, in one box that the whole page shares.
//
// lens.glossed(text)       the text as nodes, in which the first occurrence of each word of the glossary can be pointed
//                          at and reached by Tab
// Elsewhere on the page any element with data-term="patch" does the same.
(() => {
  const lens = window.qwen2vl.lens;
  const TERMS = {
    token:
      "What the model reads and writes, one at a time: a short word or a piece of one, or 28x28 pixels of a picture.",
    patch: "A square of 14x14 pixels, the smallest part of a picture that the vision transformer looks at.",
    head: "Attention is computed several times side by side in each layer, each time with numbers of its own: a head.",
    pair: "Two numbers of a head that are rotated together by an angle that grows with the position.",
    budget: "How many pixels a picture may have after resizing, given as tokens of 28x28 pixels: at least and at most.",
    "KV cache": "The keys and values of all tokens read so far. They are kept, so that no token is read twice.",
    position:
      "The three numbers of a token, t (time), h (row) and w (column). A word has the same number in all three.",
  };
  const PATTERN = /\b(KV cache|(?:token|patch|head|pair|budget|position)(?:es|s)?)\b/gi;
  const keyOf = word => {
    const low = word.toLowerCase();
    return Object.keys(TERMS).find(term => [term, `${term}s`, `${term}es`].some(form => form.toLowerCase() === low));
  };
  lens.terms = TERMS;

  const term = (text, key) => lens.el("span", { class: "lens-term", tabindex: "0", "data-term": key }, text);
  lens.glossed = text => {
    const seen = new Set();
    const nodes = [];
    let from = 0;
    for (const found of text.matchAll(PATTERN)) {
      const key = keyOf(found[0]);
      // "heads" of a table, or "a pair of frames", mean something else.
      if (!key || seen.has(key) || (key === "pair" && /^ of frames/.test(text.slice(found.index + found[0].length))))
        continue;
      seen.add(key);
      nodes.push(text.slice(from, found.index), term(found[0], key));
      from = found.index + found[0].length;
    }
    return [...nodes, text.slice(from)];
  };

  let box = null;
  let owner = null;
  function show(element) {
    const words = TERMS[element.dataset.term];
    if (!words || !document.body) return;
    if (!box) {
      box = lens.el("div", { id: "lens-glossary", role: "tooltip" });
      document.body.append(box);
    }
    if (owner) hide();
    owner = element;
    box.textContent = words;
    box.hidden = false;
    element.setAttribute("aria-describedby", "lens-glossary");
    place();
  }
  function place() {
    if (!owner) return;
    const at = owner.getBoundingClientRect();
    const { width, height } = box.getBoundingClientRect();
    const above = at.top - height - 8;
    box.style.left = `${Math.max(8, Math.min(innerWidth - width - 8, at.left))}px`;
    box.style.top = `${above < 8 ? at.bottom + 8 : above}px`;
  }
  function hide() {
    owner?.removeAttribute("aria-describedby");
    owner = null;
    if (box) box.hidden = true;
  }
  const termOf = event => event.target?.closest?.("[data-term]");
  document.addEventListener("pointerover", event => {
    const element = termOf(event);
    if (element) show(element);
    else if (owner && owner !== document.activeElement) hide();
  });
  document.addEventListener("focusin", event => (termOf(event) ? show(termOf(event)) : hide()));
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("scroll", place, { capture: true, passive: true });
})();
