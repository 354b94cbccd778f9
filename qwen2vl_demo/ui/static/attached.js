// The files in the composer: each tile tells its name, how long it is, and whether it has been read yet. The server
// says what a file is (ui/attached_files.py), in the order of the tiles; Gradio draws the tiles and takes files away.
(() => {
  let files = []; // as the server described them, in the order of the tiles
  let done = new Set(); // ids of the files that have been read
  let coming = []; // names of the files that were chosen last, until the server describes them
  const tiles = () => [...document.querySelectorAll("#composer .thumbnail-item")];

  function part(tile, selector, make) {
    return tile.querySelector(selector) || make();
  }

  function element(tag, name, parent, before = null) {
    const made = document.createElement(tag);
    made.className = name;
    parent.insertBefore(made, before);
    return made;
  }

  // "2 s to 4.5 s of 12 s"
  function partOf({ part: [start, end], detail }) {
    return end === null ? `from ${start} s of ${detail}` : `${start} s to ${end} s of ${detail}`;
  }

  // Draws what has changed only: the observer below is told of every change.
  function decorate(tile, file) {
    const reading = !file.problem && !done.has(file.id);
    const clip = file.kind === "video" && !file.problem;
    const offer = file.pages > 1 ? "choose" : clip ? !file.part && "choose a part" : file.kind === "image" && "crop";
    const detail = [file.part ? partOf(file) : file.detail, reading ? "reading…" : offer].filter(Boolean).join(", ");
    const state = JSON.stringify([file.name, detail, file.poster.length, file.problem]);
    if (tile.dataset.state === state) return;
    tile.dataset.state = state;
    const remove = tile.querySelector(".delete-button");
    const about = part(tile, ".about", () => element("span", "about", tile, remove));
    part(about, "b", () => element("b", "", about)).textContent = file.name;
    part(about, "small", () => element("small", "", about)).textContent = detail;
    tile.classList.toggle("reading", reading);
    tile.classList.toggle("refused", Boolean(file.problem));
    tile.classList.toggle("has-poster", Boolean(file.poster));
    if (file.poster) {
      const poster = part(tile, ".poster", () => element("img", "poster", tile, tile.firstChild));
      poster.src = file.poster;
      poster.alt = file.name;
    } else tile.querySelector(".poster")?.remove(); // of a file that stood here before
    const shows = file.kind === "image" && tile.querySelector(".poster, .thumbnail-image");
    if (file.pages > 1 || clip || shows) {
      const choose = part(tile, ".choose", () => element("button", "choose", tile));
      choose.type = "button";
      const does = shows ? "Crop" : clip ? "Choose the part of" : "Choose pages of";
      choose.setAttribute("aria-label", `${does} ${file.name}`);
      choose.onclick = () =>
        shows ? crop(file, tile, choose) : window.qwen2vl[clip ? "clipPart" : "pages"].open(file, choose);
    } else tile.querySelector(".choose")?.remove();
    tile.title = file.problem || `${file.name}\n${detail}`;
    tile.parentElement.setAttribute("aria-label", [file.name, detail, file.problem].filter(Boolean).join(", "));
    remove?.setAttribute("aria-label", `Remove ${file.name}`);
  }

  // Opens a picture large, to keep a part of it or to ask about one. Its number in the prompt is not known behind a
  // document, which may become several pictures.
  function crop(file, tile, opener) {
    const place = files.indexOf(file);
    const before = files.slice(0, place);
    const chat = (window.qwen2vl.pictures?.() || []).filter(one => one.number).length;
    const ahead = chat + before.filter(one => one.kind === "image").length;
    const known = before.every(one => one.kind === "image" || one.kind === "video");
    const several = chat + files.filter(one => one.kind !== "video").length > 1;
    const image = tile.querySelector(".poster") || tile.querySelector(".thumbnail-image");
    window.qwen2vl.lightbox.openFile(image, opener, {
      crop: true,
      file: file.id,
      name: file.name,
      number: known ? ahead + 1 : 0,
      several,
    });
  }

  // Gradio shows a turning circle while files arrive, and not which ones.
  function tellComing() {
    const loader = document.querySelector("#composer .thumbnails .loader");
    const told = document.querySelector("#composer .coming");
    if (!loader || !coming.length) told?.remove();
    else if (!told) {
      const most = coming.slice(0, 3).join(", ");
      const rest = coming.length > 3 ? ` and ${coming.length - 3} more` : "";
      element("span", "coming", loader.parentElement).textContent = `${most}${rest}`;
    }
  }

  function draw() {
    const all = tiles();
    if (!all.length) files = [];
    all.forEach((tile, i) => {
      const name = coming[i - files.length];
      const file = files[i] || (name && { id: "", name, detail: "", poster: "", problem: "" });
      if (file) decorate(tile, file);
    });
    tellComing();
    const notice = document.querySelector("#notice .until-there-is");
    if (notice) notice.hidden ||= Boolean(all.length || document.querySelector("#composer textarea")?.value.trim());
  }

  function describe(text) {
    files = JSON.parse(text);
    if (files.length >= tiles().length) coming = [];
    draw();
  }

  function read(text) {
    done = new Set(JSON.parse(text).files);
    draw();
  }

  // A file was moved to another place.
  function moved(from, to) {
    files.splice(to, 0, ...files.splice(from, 1));
    draw();
  }

  // A file is being read once more.
  function again(id) {
    done.delete(id);
    draw();
  }

  // A part of a clip was chosen, [start, end] in seconds; null for all of it.
  function choose(id, chosen) {
    for (const file of files) if (file.id === id) file.part = chosen;
    again(id);
  }

  document.addEventListener(
    "click",
    event => {
      const remove = event.target instanceof Element && event.target.closest("#composer .delete-button");
      if (remove) files.splice(tiles().indexOf(remove.closest(".thumbnail-item")), 1); // those behind it move up
    },
    true,
  );
  document.addEventListener(
    "change",
    event => {
      if (!(event.target instanceof HTMLInputElement) || !event.target.matches("#composer input[type=file]")) return;
      coming = [...event.target.files].map(file => file.name);
    },
    true,
  );
  document.addEventListener("input", event => event.target.closest?.("#composer") && draw());
  const watch = () => {
    const composer = document.querySelector("#composer");
    if (!composer) return setTimeout(watch, 50);
    new MutationObserver(draw).observe(composer, { childList: true, subtree: true });
  };
  watch();
  Object.assign((window.qwen2vl ||= {}), { attached: { describe, read, again, choose, moved } });
})();
