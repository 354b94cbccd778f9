// Keeps the end of the chat in view while an answer is written, until the visitor scrolls up.
//
// Gradio's own following pulls the page down again and again. Here the first step upwards, by wheel, finger, key or
// scroll bar, lets go; at the end of the chat, with "Down", or with a new question it follows again.
//
// The position also becomes smaller without the visitor: Gradio draws messages anew, for a moment the chat is shorter,
// and the browser cuts the position off. That is told by the changes of the chat that are still to be followed.
(() => {
  const UP_KEYS = ["PageUp", "Home", "ArrowUp"];
  const NEAR = 24; // px from the end that count as the end
  const scroller = () => document.querySelector("#chat .bubble-wrap");
  let following = true;
  let questions = 0;
  let lastTop = 0;
  let changed = false; // since the end was last brought into view
  let held = false; // the visitor has a finger on the chat, or the mouse on its scroll bar
  let down = null;

  const atEnd = element => element.scrollHeight - element.scrollTop - element.clientHeight <= NEAR;

  function show() {
    const element = scroller();
    if (!element) return;
    if (!down || !down.isConnected) {
      down = document.createElement("button");
      down.id = "down";
      down.type = "button";
      down.textContent = "Down";
      down.setAttribute("aria-label", "Go to the end of the chat and follow it");
      down.addEventListener("click", follow);
      document.querySelector("#chat").append(down);
    }
    down.hidden = following || atEnd(element);
  }

  function toEnd() {
    const element = scroller();
    if (!element) return;
    element.scrollTop = element.scrollHeight;
    lastTop = element.scrollTop;
  }

  function follow() {
    following = true;
    toEnd();
    show();
  }

  function letGo() {
    const element = scroller();
    if (!element || element.scrollHeight <= element.clientHeight) return;
    following = false;
    show();
  }

  function grown() {
    changed = false;
    const asked = document.querySelectorAll("#chat .user.message").length;
    if (asked !== questions) following = true; // who asks wants to see the answer; after Undo and New chat as well
    questions = asked;
    if (following && asked) toEnd(); // what stands in an empty chat is read from its beginning
    show();
  }

  function scrolled(event) {
    const element = scroller();
    if (event.target !== element) return;
    const top = element.scrollTop;
    const end = atEnd(element);
    if (top > lastTop && end) following = true;
    else if (top < lastTop - 1 && (held || !(changed || end))) following = false;
    lastTop = top;
    show();
  }

  (window.qwen2vl ||= {}).stopFollowing = letGo;
  const inChat = event => event.target instanceof Element && event.target.closest("#chat");
  document.addEventListener("wheel", event => event.deltaY < 0 && inChat(event) && letGo(), { passive: true });
  document.addEventListener("keydown", event => UP_KEYS.includes(event.key) && inChat(event) && letGo());
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });
  document.addEventListener("pointerdown", event => (held = Boolean(inChat(event))));
  // While a finger scrolls, its pointer is cancelled; behind a scroll bar, not every browser tells that it was let go.
  const release = () => (held = false);
  for (const end of ["pointerup", "touchend", "touchcancel"])
    document.addEventListener(end, release, { passive: true });
  document.addEventListener("pointermove", event => event.buttons || release(), { passive: true });
  // Pictures and figures take their height only when they have loaded.
  document.addEventListener("load", event => inChat(event) && grown(), { capture: true });
  const later = () => {
    if (!changed) requestAnimationFrame(grown);
    changed = true;
  };
  const watch = () => {
    const chat = document.querySelector("#chat");
    if (!chat) return setTimeout(watch, 50);
    new MutationObserver(later).observe(chat, { childList: true, subtree: true, characterData: true });
    new ResizeObserver(later).observe(chat);
    grown();
  };
  watch();
})();
