// Drawing for the steps of the lesson: canvases in the device's resolution, pictures at another size, grids.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const draw = (lesson.draw = {});
  const LEAST_SIDE = 84; // px
  const PHONE_HEIGHT = 400; // px, as in lesson.css
  const phone = matchMedia("(max-width: 899px)");

  // The room that a stage gives: on a phone it grows with what stands in it, and must not be measured for that.
  draw.room = stage => ({ width: stage.clientWidth, height: phone.matches ? PHONE_HEIGHT : stage.clientHeight });

  // Size on the screen of a picture of `height` x `width` in a room; at most `most` times as large as it is. A tall
  // strip may be higher than the room, so that its shorter side has `least` px.
  draw.fitted = (height, width, roomHeight, roomWidth, most = 6, least = LEAST_SIDE) => {
    const whole = Math.min(roomWidth / width, roomHeight / height, most);
    const scale = Math.max(whole, Math.min(least / Math.min(height, width), Math.max(roomWidth / width, whole)));
    return { width: Math.round(width * scale), height: Math.round(height * scale), scale };
  };

  const small = document.createElement("canvas");

  // Draws a source into a rectangle with the detail that it has at `pixels` = [height, width].
  draw.picture = (context, source, x, y, width, height, pixels = null) => {
    const image = lesson.subjects.image(source);
    if (!image) return false;
    context.imageSmoothingQuality = "high";
    if (!pixels || (pixels[0] >= height && pixels[1] >= width)) {
      context.imageSmoothingEnabled = true;
      context.drawImage(image, ...source.rect, x, y, width, height);
      return true;
    }
    small.height = Math.max(1, Math.round(pixels[0]));
    small.width = Math.max(1, Math.round(pixels[1]));
    const c = small.getContext("2d");
    c.imageSmoothingQuality = "high";
    c.drawImage(image, ...source.rect, 0, 0, small.width, small.height);
    context.imageSmoothingEnabled = width < 3 * pixels[1]; // large pixels are to be seen as such
    context.drawImage(small, x, y, width, height);
    return true;
  };

  // Gives `element` a source as the background image of its cells, which follows a moment later. As an address of its
  // own, since hundreds of cells would each be told the whole picture otherwise.
  const sheets = [];
  draw.sheet = (element, source, width, height, pixels) => {
    const sheet = document.createElement("canvas");
    sheet.width = Math.ceil(width);
    sheet.height = Math.ceil(height);
    if (!draw.picture(sheet.getContext("2d"), source, 0, 0, sheet.width, sheet.height, pixels)) return;
    sheet.toBlob(
      blob => {
        sheets.push(URL.createObjectURL(blob));
        element.style.setProperty("--sheet", `url(${sheets.at(-1)})`);
        if (sheets.length > 4) URL.revokeObjectURL(sheets.shift());
      },
      "image/jpeg",
      0.9,
    );
  };

  // Lines between `rows` x `columns` cells of a rectangle, every `step`-th one stronger. White on dark is seen on any
  // picture.
  draw.grid = (context, x, y, width, height, rows, columns, step = 0) => {
    const isStrong = i => Boolean(step && i % step === 0);
    for (const strong of [false, true]) {
      context.beginPath();
      for (let i = 0; i <= columns; i++) {
        if (isStrong(i) !== strong) continue;
        context.moveTo(x + (i * width) / columns, y);
        context.lineTo(x + (i * width) / columns, y + height);
      }
      for (let i = 0; i <= rows; i++) {
        if (isStrong(i) !== strong) continue;
        context.moveTo(x, y + (i * height) / rows);
        context.lineTo(x + width, y + (i * height) / rows);
      }
      context.strokeStyle = "rgba(20, 22, 27, 0.55)";
      context.lineWidth = strong ? 3 : 1.6;
      context.stroke();
      context.strokeStyle = "rgba(255, 255, 255, 0.95)";
      context.lineWidth = strong ? 1.4 : 0.7;
      context.stroke();
    }
  };

  // Lets a canvas be pointed at, with the pointer and with the arrow keys: `moved(row, column)` for a grid of
  // `size()` = [rows, columns], and `at()` where it is now. `label` says what moves.
  draw.pointing = (canvas, label, size, at, moved) => {
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", label);
    const go = (row, column) => {
      const [rows, columns] = size();
      moved(Math.max(0, Math.min(rows - 1, row)), Math.max(0, Math.min(columns - 1, column)));
    };
    canvas.addEventListener("pointermove", event => under(event));
    canvas.addEventListener("pointerdown", event => under(event));
    const under = event => {
      const box = canvas.getBoundingClientRect();
      const [rows, columns] = size();
      go(
        Math.floor(((event.clientY - box.top) / box.height) * rows),
        Math.floor(((event.clientX - box.left) / box.width) * columns),
      );
    };
    canvas.addEventListener("keydown", event => {
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const far = event.shiftKey ? 10 : 1;
      const [row, column] = at();
      go(row + by[0] * far, column + by[1] * far);
    });
  };

  // A slider with its name before it and what it is set to behind it: {root, input, say(text)}.
  draw.slider = (label, { min, max, step = 1, value }, moved) => {
    const said = lens.el("output", { class: "lesson-set" });
    const input = lens.el("input", {
      ...{ type: "range", min, max, step, "aria-label": label },
      oninput: event => moved(Number(event.target.value)),
    });
    input.value = value; // only now do its limits hold
    return {
      input,
      root: lens.el("div", { class: "lesson-slider" }, lens.el("span", { class: "lens-label" }, label), input, said),
      say: text => {
        lens.write(said, text);
        input.setAttribute("aria-valuetext", text);
      },
    };
  };

  draw.still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
})();
