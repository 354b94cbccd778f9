// Words of the answers can be clicked where they stand in the chat: the panel then shows where the model looked when it
// wrote that word. The word under the pointer is marked by a highlight, which changes nothing in the chat itself. By
// keyboard the same words are picked in the panel.
(() => {
  const ANSWERS = "#chat .bot.message";
  const WORD = /[\p{L}\p{N}_]+(?:['’-][\p{L}\p{N}_]+)*|[^\s\p{L}\p{N}_]/gu;
  const offered = () => document.querySelector("#where .pick:not([hidden])") && window.qwen2vl.pickInChat;

  // The text node and the offset in it at a point of the window.
  function caretAt(x, y) {
    const found = document.caretPositionFromPoint?.(x, y);
    if (found) return { node: found.offsetNode, offset: found.offset };
    const range = document.caretRangeFromPoint?.(x, y);
    return range && { node: range.startContainer, offset: range.startOffset };
  }

  // The word at a point: {bubble, node, start, end, text}, or null beside the words.
  function wordAt(event) {
    const bubble = [...(event.target.closest?.(ANSWERS)?.querySelectorAll("[data-testid=bot]") || [])].at(-1);
    if (
      !bubble?.contains(event.target) ||
      event.target.closest("a, button, input, summary, img, video, .thought-group")
    )
      return null;
    const caret = caretAt(event.clientX, event.clientY);
    if (caret?.node?.nodeType !== Node.TEXT_NODE || !bubble.contains(caret.node)) return null;
    for (const found of caret.node.data.matchAll(WORD)) {
      const [start, end] = [found.index, found.index + found[0].length];
      if (caret.offset < start || caret.offset > end) continue;
      const range = document.createRange();
      range.setStart(caret.node, start);
      range.setEnd(caret.node, end);
      const box = range.getBoundingClientRect();
      const inside = event.clientX >= box.left - 1 && event.clientX <= box.right + 1 && event.clientY >= box.top;
      if (inside && event.clientY <= box.bottom) return { bubble, range, text: found[0] };
    }
    return null;
  }

  // How many equal words stand before it in its answer.
  function nth({ bubble, range, text }) {
    const before = document.createRange();
    before.selectNodeContents(bubble);
    before.setEnd(range.startContainer, range.startOffset);
    return [...before.toString().matchAll(WORD)].filter(found => found[0] === text).length;
  }

  // The number of the turn, from 0: how many questions stand before it, less one.
  const turnOf = bubble =>
    [...document.querySelectorAll("#chat .user.message")].filter(
      question => question.compareDocumentPosition(bubble) & Node.DOCUMENT_POSITION_FOLLOWING,
    ).length - 1;

  function mark(name, range) {
    if (!window.CSS?.highlights) return;
    if (range) CSS.highlights.set(name, new Highlight(range));
    else CSS.highlights.delete(name);
  }

  let due = null;
  document.addEventListener("pointermove", event => {
    if (event.pointerType === "touch") return;
    due ||= requestAnimationFrame(() => {
      due = null;
      const word = offered() && wordAt(last);
      mark("word-pointed", word?.range);
      document.body.classList.toggle("word-pointed", Boolean(word));
    });
    last = event;
  });
  let last = null;

  document.addEventListener("click", event => {
    const pick = offered();
    const word = pick && !getSelection().toString() && wordAt(event);
    if (!word) return;
    mark("word-picked", word.range);
    const picture = document.querySelector("#lens-picture");
    if (!picture.offsetParent) document.querySelector("#panel-tabs [role=tab]")?.click();
    pick(turnOf(word.bubble), word.text, nth(word));
    if (innerWidth < 900) picture.scrollIntoView({ behavior: "smooth" });
  });
})();
