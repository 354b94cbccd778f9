// Copies text, also where the page came by plain http from another machine and the browser offers no clipboard.
(window.qwen2vl ||= {}).toClipboard = async text => {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  const focused = document.activeElement;
  (document.querySelector("dialog[open]") || document.body).append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  if (!copied) throw new Error("not copied");
};
