// Keeps what a visitor has selected in an answer while the answer grows.
//
// Gradio replaces the elements of an answer with each piece that arrives, and the selection would be gone ten times a
// second. It is kept as characters of the message and selected again before the next frame, as long as the same words
// stand in the same place. Where they are gone for a moment, as in a message that is drawn in two steps, they are
// waited for until the visitor presses something.
(() => {
  let kept = null; // {message: its number, anchor, focus: characters from its beginning, words}
  let gone = false; // the words have been taken away with their elements

  const messages = () => [...document.querySelectorAll("#chat [data-testid=bot]")];

  function textBefore(message, node, offset) {
    const range = document.createRange();
    range.setStart(message, 0);
    range.setEnd(node, offset);
    return range.toString().length;
  }

  function place(message, characters) {
    const texts = document.createTreeWalker(message, NodeFilter.SHOW_TEXT);
    let before = 0;
    for (let node; (node = texts.nextNode()); before += node.length)
      if (characters <= before + node.length) return [node, characters - before];
    return null;
  }

  function note() {
    const selection = getSelection();
    if (selection.isCollapsed && gone) return;
    kept = null;
    if (selection.isCollapsed) return;
    const { anchorNode, anchorOffset, focusNode, focusOffset } = selection;
    const all = messages();
    const number = all.findIndex(message => message.contains(anchorNode) && message.contains(focusNode));
    if (number < 0) return;
    const anchor = textBefore(all[number], anchorNode, anchorOffset);
    const focus = textBefore(all[number], focusNode, focusOffset);
    const words = all[number].textContent.slice(Math.min(anchor, focus), Math.max(anchor, focus));
    kept = { message: number, anchor, focus, words };
  }

  function selectAgain() {
    if (!kept) return;
    const message = messages()[kept.message];
    const selection = getSelection();
    if (!selection.isCollapsed && message?.contains(selection.anchorNode) && message.contains(selection.focusNode))
      return;
    const { anchor, focus, words } = kept;
    const start = Math.min(anchor, focus);
    gone = message?.textContent.slice(start, start + words.length) !== words;
    if (gone) return;
    const from = place(message, anchor);
    const to = place(message, focus);
    if (from && to) selection.setBaseAndExtent(...from, ...to);
  }

  // The observer runs after the change and before the browser tells that the selection has changed with it.
  document.addEventListener("selectionchange", note);
  // Which can come only when what was selected has been replaced.
  for (const end of ["pointerup", "keyup"]) document.addEventListener(end, note);
  for (const begin of ["pointerdown", "keydown"])
    document.addEventListener(begin, () => {
      if (gone) kept = null;
      gone = false;
    });
  const watch = () => {
    const chat = document.querySelector("#chat");
    if (!chat) return setTimeout(watch, 50);
    new MutationObserver(selectAgain).observe(chat, { childList: true, subtree: true, characterData: true });
  };
  watch();
})();
