// Opens the documentation of the page's API, which Gradio draws: with the button in the settings, and where the
// address ends in ?view=api. Escape closes it.
//
// Gradio loads it only when the button in its footer is pressed. The footer is hidden here, and where the address asks
// for the documentation that button counts as pressed: it is pressed twice.
(() => {
  const press = () => document.querySelector("footer .show-api")?.click();

  document.addEventListener("click", event => {
    if (event.target instanceof Element && event.target.closest("#settings-api")) press();
  });

  const escape = event => {
    if (event.key !== "Escape" || !document.querySelector(".api-docs")) return;
    event.preventDefault(); // the answer goes on
    press();
  };
  document.addEventListener("keydown", escape, { capture: true });

  const asked = new URLSearchParams(location.search).get("view") === "api";
  const open = () => {
    if (!document.querySelector("footer .show-api")) return setTimeout(open, 100);
    press();
    requestAnimationFrame(press);
  };
  if (asked) open();
})();
