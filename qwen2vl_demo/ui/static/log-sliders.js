// The settings that count tokens go from one to thousands: their sliders are logarithmic, so that small numbers can be
// chosen as well as large ones. Each stands in place of Gradio's own, which keeps the value.
(() => {
  const BLOCKS = ["max-image-tokens", "min-image-tokens", "max-new-tokens"];
  const STEPS = 400;
  const value = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");

  function replace(native) {
    const least = Math.max(1, Number(native.min));
    const ratio = Number(native.max) / least;
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: STEPS, step: 1, className: "log-slider" });
    const label = native.closest(".block")?.querySelector("[data-testid=block-info]")?.textContent.trim();
    slider.setAttribute("aria-label", label || "Tokens");
    slider.addEventListener("input", () => {
      const tokens = Math.round(least * ratio ** (slider.value / STEPS));
      value.set.call(native, String(tokens));
      native.dispatchEvent(new Event("input", { bubbles: true }));
      tell(tokens);
    });
    const tell = tokens => slider.setAttribute("aria-valuetext", `${Number(tokens).toLocaleString("en")} tokens`);
    let known = null;
    const follow = () => {
      if (native.value === known) return;
      known = native.value;
      if (document.activeElement !== slider)
        slider.value = STEPS * (Math.log(Math.max(least, Number(known)) / least) / Math.log(ratio));
      tell(known);
    };
    native.after(slider);
    native.classList.add("log-native");
    native.tabIndex = -1;
    native.setAttribute("aria-hidden", "true");
    follow();
    return follow;
  }

  const following = new Map();
  setInterval(() => {
    for (const id of BLOCKS) {
      const native = document.querySelector(`#${id} input[type=range]:not(.log-slider)`);
      if (native && !native.nextElementSibling?.matches(".log-slider")) following.set(id, replace(native));
      following.get(id)?.();
    }
  }, 250);
})();
