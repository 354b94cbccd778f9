// The names of boxes in the words of an answer: found by their letters and digits (chat/box_links.py) in what Gradio
// has drawn, and put into elements that can be pointed at and have the focus.
(() => {
  const LETTERS = /[\p{L}\p{N}]/u;
  const make = (...parts) => window.qwen2vl.lens.el(...parts);

  // The letters and digits of a bubble, each with its text node and its place there; formulas are left out.
  function lettersOf(bubble) {
    const found = { text: "", nodes: [], offsets: [] };
    const walker = document.createTreeWalker(bubble, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, node =>
      node.nodeType === Node.ELEMENT_NODE
        ? node.matches(".katex, svg, style")
          ? NodeFilter.FILTER_REJECT
          : NodeFilter.FILTER_SKIP
        : NodeFilter.FILTER_ACCEPT,
    );
    while (walker.nextNode()) {
      const node = walker.currentNode;
      let offset = 0;
      for (const letter of node.data) {
        if (LETTERS.test(letter)) {
          found.text += letter;
          for (let unit = 0; unit < letter.length; unit++) {
            found.nodes.push(node);
            found.offsets.push(offset + unit);
          }
        }
        offset += letter.length;
      }
    }
    return found;
  }

  // Where the nth of equal texts begins; the last one, if there are fewer.
  function nthIn(text, wanted, nth) {
    let [at, last] = [text.indexOf(wanted), -1];
    for (let n = 0; at >= 0; n++, at = text.indexOf(wanted, at + wanted.length)) {
      last = at;
      if (n === nth) break;
    }
    return last;
  }

  // Puts the letters from `start` on into elements, one for each text node that they stand in.
  function wrap(letters, start, length) {
    const pieces = [];
    for (let at = start; at < start + length;) {
      const node = letters.nodes[at];
      let end = at;
      while (end + 1 < start + length && letters.nodes[end + 1] === node) end++;
      const range = document.createRange();
      range.setStart(node, letters.offsets[at]);
      range.setEnd(node, letters.offsets[end] + 1);
      pieces.push([range, node]);
      at = end + 1;
    }
    return pieces.map(([range]) => {
      const piece = make("span", { class: "box-name" });
      range.surroundContents(piece);
      return piece;
    });
  }

  // Of the words of an answer: [{pieces: its elements, boxes: [index]}], in their order.
  function nameBoxes(words, row) {
    const colours = new Map(row.boxes.pictures.flatMap(one => one.boxes.map(({ box, colour }) => [box, colour])));
    const letters = lettersOf(words);
    const places = row.boxes.names
      .map(name => ({ ...name, start: nthIn(letters.text, name.text, name.nth) }))
      .filter(({ start }) => start >= 0)
      .sort((a, b) => b.start - a.start); // from the end, so that the places before stay what they are
    const names = [];
    let free = Infinity;
    for (const { start, text, boxes } of places) {
      if (start + text.length > free) continue;
      free = start;
      const pieces = wrap(letters, start, text.length);
      const whole = document.createRange();
      whole.setStartBefore(pieces[0]);
      whole.setEndAfter(pieces.at(-1));
      const many = boxes.length > 1 ? `its ${boxes.length} boxes` : "its box";
      pieces.forEach(piece => piece.style.setProperty("--box", colours.get(boxes[0])));
      for (const [name, value] of Object.entries({ role: "button", tabindex: "0", "aria-pressed": "false" }))
        pieces[0].setAttribute(name, value);
      pieces[0].setAttribute("aria-label", `${whole}: ${many} on the picture`);
      names.push({ pieces, boxes });
    }
    return names.reverse();
  }

  Object.assign((window.qwen2vl ||= {}), { nameBoxes });
})();
