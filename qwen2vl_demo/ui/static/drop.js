// The whole page takes dropped and pasted files: they go into the composer. Dropped elsewhere, a browser would open
// them in this tab, and the chat would be gone.
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
    attach(event.dataTransfer.files);
  }

  function attach(files) {
    const input = field();
    if (!input || !files.length) return;
    input.files = files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // Gradio takes pasted pictures only. What comes with text and formatting, as from a word processor, is text.
  function paste(event) {
    const data = event.clipboardData;
    const elsewhere = event.target instanceof Element && event.target.closest("input, textarea, [contenteditable]");
    if (!data?.files.length || (elsewhere && !elsewhere.closest("#composer"))) return;
    if (data.getData("text") && data.types.includes("text/html")) return;
    event.preventDefault();
    event.stopPropagation();
    attach(data.files);
  }

  addEventListener("dragenter", over, true);
  addEventListener("dragover", over, true);
  addEventListener("drop", drop, true);
  addEventListener("paste", paste, true);
})();
