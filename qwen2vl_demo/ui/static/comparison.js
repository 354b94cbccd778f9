// The compared pictures are magnified together, at the place under the pointer or at the one that the arrow keys move.
// No request is made.
const at = (figure, x, y) => {
  figure.style.setProperty("--x", Math.min(1, Math.max(0, x)).toFixed(4));
  figure.style.setProperty("--y", Math.min(1, Math.max(0, y)).toFixed(4));
};
const value = (figure, name) => parseFloat(getComputedStyle(figure).getPropertyValue(name));
element.addEventListener("pointermove", event => {
  const view = event.target.closest(".cost-view");
  if (!view) return;
  const box = view.getBoundingClientRect();
  at(view.closest(".cost-views"), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
});
element.addEventListener("keydown", event => {
  const figure = event.target.closest(".cost-views");
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!figure || !step || event.target.matches("input")) return;
  event.preventDefault();
  at(figure, value(figure, "--x") + step[0] * 0.04, value(figure, "--y") + step[1] * 0.04);
});
element.addEventListener("input", event => {
  const figure = event.target.closest(".cost-compare");
  if (figure) figure.querySelector(".cost-views").style.setProperty("--zoom", event.target.value);
});
