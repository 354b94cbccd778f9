// `qwen2vl.onChatChange(draw)` calls `draw` as soon as there is a chat, and once in each frame in which messages of it
// were drawn anew.
(() => {
  function onChatChange(draw) {
    let due = false;
    const later = () => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        draw();
      });
    };
    const watch = () => {
      const chat = document.querySelector("#chat");
      if (!chat) return setTimeout(watch, 50);
      new MutationObserver(later).observe(chat, { childList: true, subtree: true });
      draw();
    };
    watch();
  }

  Object.assign((window.qwen2vl ||= {}), { onChatChange });
})();
