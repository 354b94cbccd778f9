// What lies over a picture with boxes: an element for each box that can have the focus, and a veil over the rest of the
// picture while some of them light. The pointer goes through to the picture.
(() => {
  const POINT = 14; // px around a point that count as it
  const isPoint = ([left, top, right, bottom]) => left === right && top === bottom;
  const kindOf = ({ sides }) => (isPoint(sides) ? "Point" : "Box");

  const make = (...parts) => window.qwen2vl.lens.el(...parts);
  let layers = 0;

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // Of a picture: {root, shade, spots: index of a box -> its element, image, picture, area, number}. One of the spots
  // is a stop of the Tab key, and the arrow keys go to the others. `area` tells where the picture is in the window.
  function layerOn(image, picture, area = () => image.getBoundingClientRect()) {
    const shade = svg("svg", { "aria-hidden": "true" });
    const root = make("div", { class: "box-layer", role: "group", "aria-label": `Boxes on ${picture.name}` }, shade);
    const spots = new Map();
    picture.boxes.forEach((one, place) => {
      const { box, label, colour, sides, other } = one;
      const name = label ? `${kindOf(one)}: ${label}` : `${kindOf(one)} ${box + 1}`;
      const tabindex = place ? "-1" : "0";
      const spot = make("span", { role: "button", tabindex, "aria-pressed": "false", "aria-label": name });
      for (const [kind, at] of [
        ["solid", sides],
        ["dashed", other],
      ]) {
        if (!at) continue;
        const frame = make("i", { class: isPoint(sides) ? `${kind} point` : kind });
        Object.assign(frame.style, {
          left: `${100 * at[0]}%`,
          top: `${100 * at[1]}%`,
          width: `${100 * (at[2] - at[0])}%`,
          height: `${100 * (at[3] - at[1])}%`,
        });
        spot.append(frame);
      }
      spot.style.setProperty("--box", colour);
      spot.addEventListener("focus", () => {
        for (const one of spots.values()) one.tabIndex = one === spot ? 0 : -1;
      });
      spots.set(box, spot);
      root.append(spot);
    });
    root.addEventListener("keydown", event => {
      const all = [...spots.values()];
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
    });
    return { root, shade, spots, image, picture, area, number: ++layers };
  }

  // Puts it over the picture, wherever that is now.
  function place({ root, area }) {
    const around = root.offsetParent?.getBoundingClientRect();
    const box = area();
    root.hidden = !box.width;
    if (!around || !box.width) return;
    Object.assign(root.style, {
      left: `${box.left - around.left}px`,
      top: `${box.top - around.top}px`,
      width: `${box.width}px`,
      height: `${box.height}px`,
    });
  }

  // The box of a picture that is under the pointer, the smallest if there are several; null for none.
  function boxUnder({ area, picture }, event) {
    const around = area();
    const [x, y] = [(event.clientX - around.left) / around.width, (event.clientY - around.top) / around.height];
    let best = null;
    for (const { box, sides, other } of picture.boxes) {
      for (const at of other ? [sides, other] : [sides]) {
        const [dx, dy] = isPoint(at) ? [POINT / around.width, POINT / around.height] : [0, 0];
        const area = (at[2] - at[0]) * (at[3] - at[1]);
        const inside = x >= at[0] - dx && x <= at[2] + dx && y >= at[1] - dy && y <= at[3] + dy;
        if (inside && (!best || area < best.area)) best = { box, area };
      }
    }
    return best && best.box;
  }

  // Dims the picture but for the boxes that light.
  function cover(layer, shown) {
    const { width, height } = layer.root.getBoundingClientRect();
    const holes = shown.flatMap(({ sides, other }) =>
      [sides, ...(other ? [other] : [])].map(([x1, y1, x2, y2]) => {
        const [w, h] = [(x2 - x1) * width, (y2 - y1) * height];
        const reach = w < 1 && h < 1 ? POINT : 0;
        return `M${x1 * width - reach},${y1 * height - reach}h${w + 2 * reach}v${h + 2 * reach}h${-w - 2 * reach}z`;
      }),
    );
    const id = `boxes-${layer.number}`;
    const mask = svg(
      "mask",
      { id, maskUnits: "userSpaceOnUse", x: 0, y: 0, width, height },
      svg("rect", { width, height, fill: "#fff" }),
      ...holes.map(d => svg("path", { d, fill: "#000" })),
    );
    const group = svg("g", {}, mask, svg("rect", { class: "veil", width, height, mask: `url(#${id})` }));
    layer.shade.setAttribute("viewBox", `0 0 ${Math.max(1, width)} ${Math.max(1, height)}`);
    return group;
  }

  Object.assign((window.qwen2vl ||= {}), { boxLayers: { layerOn, place, boxUnder, cover, kindOf } });
})();
