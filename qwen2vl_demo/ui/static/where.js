// "Where it looked": the words of the answer, and the attention of the selected one, drawn by the lens as the layer
// "Attention".
//
// props.value (ui/panel/attention.py): {answer, turn, answers: [turn], key, tokens: [text], remark, words: [text],
// spaces: [bool], note, caveat, map: {of, key, ...attention_payload} | null, prompt: payload of the lens | null}. The
// maps of a word, with all layers and heads that came with them, are cached, so selecting it again makes no request.
// `prompt` comes along where the panel draws another prompt than the one that was answered. Words come from the model
// and are only inserted as text nodes.
const $ = name => element.querySelector(`[data-part=${name}]`);
const percent = share => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const number = value => Math.round(value).toLocaleString("en");
const make = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const lens = () => window.qwen2vl && window.qwen2vl.lens;

let answer = "";
let cached = new Map();
let word = -1;
let selection = "all";
let lifted = false;
let waiting = false;
let bringToFront = false;
let buttons = [];
let turn = 0;
let asWas = null; // the prompt that was answered, if the panel had another one
let pending = false; // a word was clicked in the chat, and its map is on its way
let subtracting = false; // what a neutral question looks at is taken away
let playing = null; // the timer of the next layer, or true while its map is on its way
const LAYER_MS = 900; // for which a layer is shown

// Which answer is shown here, and which of its words is picked, for the laboratory below.
function publish() {
  const { key, words = [], spaces = [] } = props.value || {};
  window.qwen2vl.answer = { answer, turn, key, words: answer ? words : [], spaces, word, waiting };
  document.dispatchEvent(new Event("answer-shown"));
}

// What the model wrote, for the view of the whole prompt.
function tell() {
  const { key, tokens = [], remark = "" } = props.value || {};
  if (lens()?.setAnswer && key) lens().setAnswer({ key, tokens, remark });
}

function load() {
  const value = props.value || {};
  tell();
  $("note").textContent = value.note || "";
  $("note").hidden = !value.note;
  if (value.answer !== answer) begin(value);
  element.querySelector(".where").hidden = !answer && !value.note;
  if (value.prompt) asWas = value.prompt;
  if (value.map && value.answer === answer) {
    if (pending) clicked(value.map.of);
    const old = cached.get(value.map.of);
    const map = { ...value.map, maps: { ...old?.maps, ...value.map.maps } };
    if (old?.neutral || map.neutral)
      map.neutral = { ...old?.neutral, ...map.neutral, minus: { ...old?.neutral?.minus, ...map.neutral?.minus } };
    cached.set(value.map.of, map);
  }
  if (!value.map || value.map.of === word) waiting = false;
  if (word >= 0) show();
  publish();
}

// Another answer, or none: lists its words and removes the attention drawn for the previous one.
function begin(value) {
  if (cached.size && lens()) lens().setOverlay(null);
  answer = value.answer || "";
  turn = value.turn || 0;
  asWas = null;
  cached = new Map();
  word = -1;
  selection = "all";
  waiting = false;
  buttons = (value.words || []).map((text, i) => {
    const button = make("button", { type: "button", "aria-pressed": "false", tabindex: i ? "-1" : "0" }, text);
    button.addEventListener("click", () => pick(i));
    return button;
  });
  const line = $("words");
  line.replaceChildren(
    ...buttons.flatMap((button, i) => (i && value.spaces && value.spaces[i] ? [" ", button] : [button])),
  );
  line.scrollTop = 0;
  $("pick").hidden = !buttons.length;
  $("caveat").textContent = value.caveat || "";
  stopPlaying();
  const turns = value.answers || [];
  $("which").hidden = turns.length < 2;
  options(
    $("turn"),
    turns.map((at, i) => [String(at), `${i + 1} of ${turns.length}`]),
    String(turn),
  );
  show();
}

// The map of a word that was clicked in the chat has come: here it is picked as well.
function clicked(i) {
  pending = false;
  stopPlaying();
  word = i;
  selection = "all";
  bringToFront = true;
}
function pickInChat(at, text, nth) {
  pending = true;
  trigger("select", { index: at, value: { turn: at, text, nth, choice: "all", key: lens()?.state.data?.key } });
}

function pick(i) {
  word = i === word ? -1 : i;
  bringToFront = word >= 0; // once: show the picture, and the moment of a clip, with the highest attention
  if (word < 0) {
    waiting = false;
    if (lens()) lens().setOverlay(null);
    if (lens()?.state.data?.answered) lens().actions.back?.();
  }
  stopPlaying();
  update();
  publish();
}

// The map that is shown of a word, or undefined while it is not here.
const shownMap = data => (subtracting ? data?.neutral?.minus[selection] : data?.maps[selection]);

// Shows the selected word from the cache, or requests its map.
function update() {
  waiting = word >= 0 && !shownMap(cached.get(word));
  show();
  if (!waiting) return;
  const value = { answer, turn, word, choice: selection, key: lens()?.state.data?.key, neutral: subtracting };
  trigger("select", { index: word, value });
}

function show() {
  const data = cached.get(word);
  const ready = Boolean(data?.maps[selection] && shownMap(data));
  buttons.forEach((button, i) => {
    button.setAttribute("aria-pressed", String(i === word));
    if (word >= 0) button.tabIndex = i === word ? 0 : -1;
  });
  $("found").hidden = word < 0;
  $("found").setAttribute("aria-busy", String(waiting));
  $("status").textContent = waiting ? "The step that wrote this word is run again …" : "";
  for (const part of ["choosers", "numbers", "more"]) $(part).hidden = !data;
  if (!data) return;
  choosers(data);
  if (!ready) return;
  const media = data.grids.map(([t, h, w]) => t * h * w);
  const cells = bytesOf(shownMap(data).data);
  const { top } = shownMap(data);
  let at = 0;
  const split = media.map(size => cells.subarray(at, (at += size)));
  const best = brightest(split);
  const strongest = brightestCell(data, best, top);
  describe(data);
  $("cost").textContent = cost(data);
  if (lens() && asWas && asWas.key === data.key && lens().state.data?.key !== data.key) lens().show(asWas);
  if (lens() && media.length)
    lens().setOverlay({
      key: data.key,
      caption:
        `${subtracting ? "What the word" : "Attention behind the word"} “${data.word}”` +
        `${subtracting ? " looked at beyond what “Describe.” does" : ""}, ${whose(data)}. ${strongest}` +
        (lifted ? " Colours follow the square root, so that faint cells show." : "") +
        ringed(data),
      media: lifted ? split.map(values => values.map(value => Math.round(Math.sqrt(value * 255)))) : split,
      labels: subtracting ? ["0", `${percent(top)} more`] : ["0 %", percent(top)],
      marks: sinks(data, media),
      open: true,
    });
  if (lens() && bringToFront && best.value > 0)
    lens().set({ medium: best.medium, t: Math.floor(best.index / area(data, best.medium)) });
  bringToFront = false;
  if (playing === true) playing = setTimeout(nextLayer, LAYER_MS);
}

// The cells that any question looks at much, for the lens.
function sinks(data, sizes) {
  return (data.neutral?.sinks || []).map(([index, times]) => {
    let medium = 0;
    while (index >= sizes[medium]) index -= sizes[medium++];
    const text =
      `an attention sink, or what stands out whatever is asked: with “Describe.” too it gets ${times} times ` +
      "an even share";
    return { medium, index, text };
  });
}
function ringed({ neutral }) {
  const count = neutral?.sinks.length || 0;
  if (!count) return "";
  const which = count === 1 ? "One cell is ringed: it draws" : `${count} cells are ringed: they draw`;
  return ` ${which} attention whatever is asked.`;
}

// Plays the layers from the first to the last; who asked for less motion gets one with each press.
const calm = matchMedia("(prefers-reduced-motion: reduce)");
function nextLayer() {
  const data = cached.get(word);
  if (!data) return stopPlaying();
  const at = selection === "all" ? -1 : Number(selection.split(".")[0]);
  if (playing && at + 1 >= data.layers) return stopPlaying();
  selection = String((at + 1) % data.layers);
  if (playing) playing = true; // `show` sets the timer once the map is here
  update();
}
function stopPlaying() {
  clearTimeout(playing);
  playing = null;
  namePlay();
}
const namePlay = () => {
  $("play").textContent = playing ? "Stop" : calm.matches ? "Next layer" : "Play the layers";
};
calm.addEventListener("change", stopPlaying);
$("play").addEventListener("click", () => {
  if (playing) return stopPlaying();
  if (calm.matches) return nextLayer();
  playing = true;
  selection = "all";
  namePlay();
  nextLayer();
});
$("subtract").addEventListener("change", event => {
  subtracting = event.target.checked;
  bringToFront = true;
  update();
});

const whose = data =>
  selection === "all"
    ? `averaged over ${data.layers} layers of ${data.heads} heads`
    : selection.includes(".")
      ? `in layer ${selection.split(".")[0]}, head ${selection.split(".")[1]}`
      : `in layer ${selection}, averaged over its ${data.heads} heads`;

const pieces = data => {
  const shares = data.shares[selection];
  const n = data.grids.length;
  const kinds = data.kinds;
  const name = i => {
    const what = kinds[i] === "video" ? "clip" : "picture";
    const same = kinds.filter(k => k === kinds[i]).length;
    return same === 1 ? `the ${what}` : `${what} ${kinds.slice(0, i + 1).filter(k => k === kinds[i]).length}`;
  };
  return {
    media: shares.slice(0, n).map((share, i) => [name(i), share]),
    first: shares[n],
    text: shares[n + 1],
    answer: shares[n + 2],
  };
};

// The sentence and the bar show the same shares; the coloured squares in the sentence are the bar's legend.
function describe(data) {
  const { media: seen, first, text, answer: before } = pieces(data);
  const total = seen.reduce((sum, [, share]) => sum + share, 0);
  const pictures = seen.length > 4 ? [[`the ${seen.length} pictures and clips`, total]] : seen;
  const parts = [
    ...pictures.map(([name, share]) => ["pictures", name, share]),
    ["first", "the first token", first],
    ["text", "the other tokens of the prompt", text],
    ...(before > 0 ? [["before", "the answer before it", before]] : []),
  ];
  const many = data.tokens > 1 ? ` (the mean of its ${data.tokens} tokens)` : "";
  $("sentence").replaceChildren(
    `The word “${data.word}”${many} was produced while `,
    ...parts.flatMap(([name, where, share], i) => {
      const key = make(
        "span",
        { class: `key ${name}` },
        `${percent(share)}${i ? "" : " of the attention lay"} on ${where}`,
      );
      return [i === 0 ? "" : i === parts.length - 1 ? " and " : ", ", key];
    }),
    ".",
  );
  $("bar").replaceChildren(
    ...parts.map(([name, , share]) => {
      const piece = make("i", { class: name });
      piece.style.width = `${100 * share}%`;
      return piece;
    }),
  );
}

const area = (data, medium) => data.grids[medium][1] * data.grids[medium][2];

// The cell with the highest attention: {value, medium, index}.
function brightest(split) {
  const best = { value: 0, medium: 0, index: 0 };
  split.forEach((cells, medium) =>
    cells.forEach((value, index) => {
      if (value > best.value) Object.assign(best, { value, medium, index });
    }),
  );
  return best;
}

function brightestCell(data, { value, medium, index }, top) {
  if (!value) return "";
  const [t, , w] = data.grids[medium];
  const place = index % area(data, medium);
  const which = data.grids.length > 1 ? ` of ${pieces(data).media[medium][0]}` : "";
  const when = t > 1 ? `, step ${Math.floor(index / area(data, medium))}` : "";
  const cell = `row ${Math.floor(place / w)}, column ${place % w}${when}`;
  const much = subtracting
    ? `${percent(top)} more of the attention on the pictures`
    : `${percent(top)} of all attention`;
  return `The brightest cell${which} is ${cell}: ${much}.`;
}

function cost(data) {
  const reread = data.exact
    ? ""
    : " The answer was not in memory any more, so its words were cut into tokens anew, " +
      "with the present settings for pictures.";
  const seconds = data.seconds.toFixed(data.seconds < 0.995 ? 2 : 1);
  return (
    `The step that wrote the word was run once more: it took ${seconds} s and ${number(data.computed)} ` +
    `${data.computed === 1 ? "token" : "tokens"} of work; the ${data.layers} x ${data.heads} rows of weights are ` +
    `${number(data.bytes / 1000)} kB, and nothing of them is kept.${reread}`
  );
}

function options(select, entries, value) {
  if (select.dataset.of !== entries.map(e => e[0]).join(" ")) {
    select.dataset.of = entries.map(e => e[0]).join(" ");
    select.replaceChildren(...entries.map(([key, text]) => make("option", { value: key }, text)));
  }
  select.value = value;
}
function choosers(data) {
  const [layer, head = "all"] = selection.split(".");
  const last = data.layers - 1;
  options(
    $("layer"),
    [
      ["all", `all ${data.layers}, averaged`],
      ...Array.from({ length: data.layers }, (_, i) => [
        String(i),
        `${i}${i === 0 ? " (first)" : i === last ? " (last)" : ""}`,
      ]),
    ],
    layer,
  );
  options(
    $("head"),
    [["all", `all ${data.heads}, averaged`], ...Array.from({ length: data.heads }, (_, i) => [String(i), String(i)])],
    head,
  );
  $("head").disabled = layer === "all";
}
$("layer").addEventListener("change", event => {
  stopPlaying();
  selection = event.target.value;
  update();
});
$("head").addEventListener("change", event => {
  stopPlaying();
  const layer = selection.split(".")[0];
  selection = event.target.value === "all" ? layer : `${layer}.${event.target.value}`;
  update();
});
$("lift").addEventListener("change", event => {
  lifted = event.target.checked;
  show();
});
$("words").addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -1e9, End: 1e9 }[event.key];
  const at = buttons.indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  const next = buttons[Math.max(0, Math.min(buttons.length - 1, at + step))];
  buttons.forEach(button => {
    button.tabIndex = button === next ? 0 : -1;
  });
  next.focus();
});

// The words of another answer of the chat.
$("turn").addEventListener("change", event => {
  trigger("select", { index: Number(event.target.value), value: { turn: Number(event.target.value), words: true } });
});

// When the panel goes over to another prompt, what is picked here no longer lies over it.
function follow() {
  if (!lens() || !lens().on) return setTimeout(follow, 50);
  lens().on("data", data => {
    tell();
    const of = cached.get(word)?.key;
    if (word < 0 || !of || data?.key === of) return;
    word = -1;
    waiting = false;
    stopPlaying();
    show();
    publish();
  });
  Object.assign(window.qwen2vl, { pickInChat });
}
follow();

load();
watch("value", load);
