// The whole page takes dropped files: they go into the composer. Elsewhere a browser would open them in this tab, and
// the chat would be gone.
(() => {
  const hasFiles = event => [...(event.dataTransfer?.types || [])].includes("Files");
  const field = () => document.querySelector("#composer input[type=file]");
  let overlay = null;
  let leaving = null;

  function show(shown) {
    clearTimeout(leaving);
    if (shown && !overlay) {
      overlay = document.createElement("div");
      overlay.id = "drop";
      overlay.textContent = "Drop files here to attach them";
      document.body.append(overlay);
    }
    overlay?.classList.toggle("shown", shown);
  }

  function over(event) {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = field() ? "copy" : "none";
    show(Boolean(field()));
    leaving = setTimeout(() => show(false), 400); // "dragover" comes every 50 ms or so for as long as files are there
  }

  function drop(event) {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.stopPropagation(); // else the composer's own handler would attach what was dropped on it twice
    show(false);
    const input = field();
    if (!input || !event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  addEventListener("dragenter", over, true);
  addEventListener("dragover", over, true);
  addEventListener("drop", drop, true);
})();
