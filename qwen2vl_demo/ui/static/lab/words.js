// The words of the answer as buttons with a number below each. One of them may be picked, and arrow keys move between
// them.
(() => {
  const { lab } = element;

  // words: [{text, number: text, share: text or "", strength: 0 to 1}]; pick(index, or -1 for none)
  lab.wordButtons = (root, words, spaces, picked, pick) => {
    const buttons = words.map((word, i) => {
      const parts = [lab.make("b", {}, word.text), lab.make("span", { class: "number" }, word.number)];
      if (word.share) parts.push(lab.make("span", { class: "share" }, word.share));
      const pressed = String(i === picked);
      const button = lab.make("button", { type: "button", "aria-pressed": pressed, tabindex: "-1" }, ...parts);
      button.style.setProperty("--strength", word.strength.toFixed(3));
      button.addEventListener("click", () => pick(i === picked ? -1 : i));
      return button;
    });
    const focused = [...root.children].indexOf(document.activeElement);
    root.replaceChildren(...buttons);
    if (buttons.length) buttons[picked >= 0 ? picked : 0].tabIndex = 0;
    if (focused >= 0) buttons[Math.min(focused, buttons.length - 1)]?.focus();
    root.onkeydown = event => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -1e9, End: 1e9 }[event.key];
      const at = buttons.indexOf(document.activeElement);
      if (!step || at < 0) return;
      event.preventDefault();
      buttons.forEach(button => (button.tabIndex = -1));
      const next = buttons[Math.max(0, Math.min(buttons.length - 1, at + step))];
      next.tabIndex = 0;
      next.focus();
    };
  };
})();
