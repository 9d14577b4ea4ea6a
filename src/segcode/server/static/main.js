// The page: choices, views, and requests to the server.

import { Job, json, reason } from "./job.js";
import { Live, deliver, unfinished, url } from "./live.js";
import { Stage, VOID } from "./stage.js";
import { Tools } from "./tools.js";

const $ = (id) => document.getElementById(id);
const identity = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.round(1e9 * Math.random())}`;

const stage = new Stage();
const state = {
  model: null, image: null, live: null, document: null,
  places: [], placeIndex: -1, seed: Math.floor(Math.random() * 2 ** 30),
  flight: null, waiting: null, // drafts: one under way, the newest waits
  asked: [], // marks that no map shows yet: {id, points, at}, the time of the movement that led to it
  latency: 0, pointer: [-1, -1], leaving: false, // for the next image, once this one is kept as done
};

const tools = new Tools(stage, {
  ready: () => stage.first !== null, // an image that is not open cannot be labelled
  draft,
  add(mark) {
    state.asked.push({ id: mark.id, points: Infinity, at: state.waiting?.at ?? performance.now() });
    state.waiting = null;
    state.live.add(mark);
  },
  keep(mark) { if (state.image) unfinished(state.model.work, state.image.name).marks = mark ? [mark] : []; },
  fill(id, x, y, label) { ask({ type: "fill", id, x, y, label }); },
  unsent: () => state.live?.unsaved.marks ?? [],
  resize: setRadius,
  hover,
});

const job = new Job({ open, notice, busy: () => state.flight !== null || tools.mark !== null });

// ---- drafts: the map is updated during the stroke -----------------------------------------------------------------------------

/** Ask for the map of a mark that is being drawn; while one is under way, only the newest is remembered. */
function draft(mark, at = performance.now()) {
  if (state.flight && performance.now() - state.flight.sent < 1000) {
    state.waiting = { mark, at };
    return;
  }
  state.waiting = null;
  state.flight = mark && { id: mark.id, points: mark.points.length, at, sent: performance.now() };
  if (mark) state.asked.push(state.flight);
  else state.asked = [];
  state.live.send({ type: "draw", mark });
}

/** A map has come and is drawn: measure how long it took, and let the next draft go. */
function arrived(header) {
  const { flight, waiting } = state;
  const shows = (one) => header.drafts[one.id] >= one.points || header.last === one.id;
  const end = performance.now();
  const shown = state.asked.splice(0, state.asked.findLastIndex(shows) + 1); // in order: what came before is in it, too
  for (const { at } of shown) {
    performance.measure("stroke to map", { start: at, end });
    state.latency = end - at;
  }
  corner(header);
  if (flight && shows(flight)) {
    state.flight = null;
    if (waiting) draft(waiting.mark, waiting.at);
  }
}

function corner(header) {
  const stages = Object.entries(header.milliseconds).map(([name, ms]) => `${name} ${ms.toFixed(0)}`).join(", ");
  const short = [header.status, `${(header.memory / 2 ** 20).toFixed(0)} MiB`];
  if (state.latency) short.unshift(`${state.latency.toFixed(0)} ms`);
  $("corner").hidden = false;
  $("corner").querySelector("summary").textContent = short.join(" · ");
  $("corner").querySelector("p").textContent =
    `from stroke to map: ${state.latency ? `${state.latency.toFixed(0)} ms` : "no stroke yet"}\n` +
    `this map, in ms: ${stages}\n${header.solver || header.status}\nimages in memory: ${header.open}`;
}

// ---- messages -------------------------------------------------------------------------------------------------------

function receive(message) {
  switch (message.type) {
    case "up":
      quiet("down");
      watch();
      if ($("photo").complete && !$("photo").naturalWidth) $("photo").src = url(state.image.name, "picture");
      break;
    case "down":
      Object.assign(state, { flight: null, asked: [] });
      notice("The server does not answer. Your marks are kept here, and sent once it is back.", 0, "down");
      fetch("health").then(async (answer) => answer.status === 403 && notice((await answer.json()).detail, 0, "down"), () => {});
      break;
    case "document":
      show(message);
      break;
    case "first":
      stage.update(message.width, message.height, { first: message.planes[0] });
      resume();
      sendLeft();
      break;
    case "map":
      stage.update(message.width, message.height, { labels: message.planes[0], painted: message.planes[1] });
      document.body.dataset.marks = message.marks;
      arrived(message);
      shares(message.planes[0]);
      mark("classes", ".accept", (_, index) => message.exhaustive.includes(index), "aria-pressed");
      if (!Object.keys(message.drafts).length) [...$("samples").querySelectorAll("canvas")].forEach(drawSample);
      hover(...state.pointer);
      break;
    case "uncertainty":
      stage.update(message.width, message.height, { uncertainty: message.planes[0] });
      break;
    case "places":
      state.places = message.places;
      state.placeIndex = -1;
      if (state.places.length) nextPlace();
      else notice("There is nothing left to look at: all pixels are labelled, or sure.", 4000);
      break;
    case "samples":
      showSamples(message);
      break;
    case "saved":
      if (!state.live.unsaved.marks.length) quiet("unsaved");
      break;
    case "unsaved":
      notice(`Not saved yet: ${message.message}`, 0, "unsaved");
      break;
    case "problem":
      notice(message.message, 6000);
      break;
    case "closed": // the image does not open: the reason stays, and nothing can be labelled
      clearTimeout(noticeTimer);
      stage.first = null;
      break;
  }
}

function ask(message) {
  const sent = state.live?.send(message) ?? false;
  if (!sent) notice("The server does not answer; try again once it is back.", 4000);
  return sent;
}

/** Go on with the polygon that was not closed when the image was left. */
function resume() {
  const [polygon] = unfinished(state.model.work, state.image.name).marks;
  if (!polygon || tools.mark || !(polygon.label < state.model.classes.length || polygon.label === VOID)) return;
  chooseClass(polygon.label);
  chooseTool("polygon");
  tools.resume(polygon);
}

/** Send marks on other images that were made while the server was away. */
let leftTimer;
async function sendLeft() {
  clearTimeout(leftTimer);
  const said = (message) => (message.type === "document" ? job.listed(message) : receive(message));
  if (!await deliver(state.model.work, state.image.name, said)) leftTimer = setTimeout(sendLeft, 5000);
}

let noticeTimer, noticed;
function notice(text, milliseconds = 0, about = "") {
  clearTimeout(noticeTimer);
  noticed = about;
  $("notice").textContent = text;
  $("notice").hidden = !text;
  if (milliseconds) noticeTimer = setTimeout(() => notice(""), milliseconds);
}

/** Hide the notice about something; a later notice stays. */
const quiet = (about) => { if (noticed === about) notice(""); };

const watch = () => state.live?.send({ type: "watch", uncertainty: stage.view === "uncertainty" });

// ---- images ---------------------------------------------------------------------------------------------------------

function open(image) {
  if (!image || image === state.image) return;
  tools.leave();
  state.live?.close();
  Object.assign(state, { image, document: null, places: [], placeIndex: -1, flight: null, waiting: null, asked: [], latency: 0, leaving: false });
  history.replaceState(null, "", `#${encodeURIComponent(image.name)}`);
  $("empty").hidden = true;
  $("corner").hidden = $("undo").disabled = $("redo").disabled = true;
  $("under").textContent = "";
  $("done").textContent = "Done";
  shares([]);
  mark("classes", ".accept", () => false, "aria-pressed");
  $("title").textContent = $("title").title = image.name;
  $("samples").replaceChildren();
  job.opened(image);
  for (const link of $("export").querySelectorAll("a")) link.href = url(image.name, `export/${link.dataset.kind}`);
  stage.open(url(image.name, "picture"), image.width || 1, image.height || 1);
  setRadius(Math.max(2, Math.max(image.width, image.height) / 100));
  state.live = new Live(state.model.work, image.name, receive);
}

const step = (by) => open(job.beside(by));

/** Show the state of the document. */
function show(message) {
  state.document = message;
  state.places = [];
  stage.mark(null);
  $("undo").disabled = !message.undo;
  $("redo").disabled = !message.redo;
  $("done").textContent = message.state === "done" ? "Not done" : "Done";
  job.listed(message);
  if (state.leaving && message.state === "done") {
    state.leaving = false;
    if (job.next()) notice(`Done. ${$("count").textContent}.`, 3000);
  }
}

// ---- classes, samples, places ---------------------------------------------------------------------------------------

const keyOfClass = (index) => state.model.classes[index]?.key?.toUpperCase() ?? (index === VOID ? "O" : index < 10 ? String((index + 1) % 10) : index < 20 ? `⇧${(index + 1) % 10}` : "");

function listClasses() {
  const classes = [...state.model.classes.entries(), [VOID, { name: "void" }]];
  $("classes").replaceChildren(...classes.map(([index, { name }]) => {
    const item = document.createElement("li");
    const choose = document.createElement("button");
    choose.className = "class";
    choose.dataset.label = index;
    choose.setAttribute("role", "radio");
    choose.innerHTML = "<i></i><span></span><small></small><kbd></kbd>";
    choose.querySelector("span").textContent = name;
    choose.querySelector("kbd").textContent = keyOfClass(index);
    choose.addEventListener("click", () => chooseClass(index));
    const accept = document.createElement("button");
    accept.className = "accept";
    accept.textContent = "✓";
    accept.title = `All of this class: the map shows every pixel of ${name}, so the class is excluded elsewhere (A for the chosen class)`;
    accept.setAttribute("aria-label", `All of ${name}`);
    accept.addEventListener("click", () => acceptClass(index));
    if (index === VOID) accept.style.visibility = "hidden";
    item.append(choose, accept);
    return item;
  }));
}

function colour() {
  const kind = $("distinct").checked ? "distinct" : "colour";
  const colours = state.model.classes.map((one) => one[kind]);
  colours[VOID] = colours[VOID - 1] = [0, 0, 0]; // in maps, and among labels
  stage.palette(colours);
  for (const button of $("classes").querySelectorAll(".class")) {
    button.querySelector("i").style.background = `rgb(${colours[button.dataset.label].join(" ")})`;
  }
  for (const canvas of $("samples").querySelectorAll("canvas")) drawSample(canvas);
}

function chooseClass(index) {
  if (index >= state.model.classes.length && index !== VOID) return;
  tools.label = index;
  if (["erase", "pan"].includes(tools.tool)) chooseTool("brush");
  mark("classes", ".class", (button) => Number(button.dataset.label) === index);
}

const acceptClass = (label) => label !== VOID && ask({ type: "accept", id: identity(), label });

/** The share of the map that each class has. */
function shares(labels) {
  const counts = new Uint32Array(256);
  for (const label of labels) counts[label]++;
  for (const button of $("classes").querySelectorAll(".class")) {
    const share = labels.length && (100 * counts[button.dataset.label]) / labels.length;
    button.querySelector("small").textContent = share === 0 ? "" : share < 1 ? "<1 %" : `${share.toFixed(0)} %`;
  }
}

function showSamples({ seed, width, height, planes }) {
  stage.peek(null);
  $("samples").replaceChildren(...planes.map((labels, index) => {
    const button = document.createElement("button");
    button.title = "Bright where it differs from the map. Start from it with a click; undo goes back";
    button.setAttribute("aria-label", `Sample ${index + 1}`);
    const canvas = Object.assign(document.createElement("canvas"), { width, height, labels });
    button.append(canvas);
    drawSample(canvas);
    button.addEventListener("click", () => state.live.add({ kind: "start", id: identity(), seed, index }));
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => stage.peek(canvas));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => stage.peek(null));
    return button;
  }));
  $("samples").scrollIntoView({ block: "nearest" });
}

const drawSample = (canvas) => canvas.getContext("2d").putImageData(stage.sketch(canvas), 0, 0);

function nextPlace() {
  if (!state.places.length) {
    ask({ type: "look" });
    return;
  }
  state.placeIndex = (state.placeIndex + 1) % state.places.length;
  stage.mark(state.places[state.placeIndex]);
}

function hover(x, y) {
  state.pointer = [x, y];
  const at = stage.at(x, y);
  if (!at) { $("under").textContent = ""; return; }
  const name = (label) => state.model.classes[label]?.name ?? "void";
  let text = name(at.label);
  if (at.painted !== 255) text += ", labelled";
  if (at.first !== at.label) text += `, initially ${name(at.first)}`;
  $("under").textContent = text;
}

// ---- choices --------------------------------------------------------------------------------------------------------

function mark(list, selector, chosen, as = "aria-checked") {
  [...$(list).querySelectorAll(selector)].forEach((button, index) => button.setAttribute(as, String(chosen(button, index))));
}

function chooseTool(tool) {
  tools.choose(tool);
  mark("tools", "button", (button) => button.dataset.tool === tool);
}

function chooseView(view) {
  stage.view = view;
  mark("views", "button", (button) => button.dataset.view === view);
  watch();
  stage.draw();
}

function setRadius(radius) {
  const widest = state.image ? Math.min(1000, Math.max(state.image.width, state.image.height) / 8) : 60;
  tools.radius = Math.round(2 * Math.min(widest, Math.max(0.5, radius))) / 2;
  Object.assign($("radius"), { max: widest, min: 0.5 });
  $("radius").value = tools.radius;
  $("radius-value").textContent = tools.radius;
}

const compare = (on) => {
  if (stage.comparing !== on) { stage.comparing = on; stage.draw(); }
};

const again = (step) => {
  state.asked = []; // marks that it takes away are not waited for
  ask({ type: step });
};

const done = (go) => {
  tools.finish();
  const isDone = state.document?.state === "done";
  state.leaving = ask({ type: "done", done: go ? true : !isDone }) && go;
};

const KEYS = [
  ["1 … 9, 0", "choose a class; with Shift the next ten"],
  ["B L P F X H", "brush, line, polygon, fill, erase, move"],
  ["[ ]", "smaller, larger brush; or Shift and wheel"],
  ["Wheel", "zoom under the pointer"],
  ["Space", "held: drag to move; also the right button, or two fingers"],
  ["V", "fit the image to the window"],
  ["Q W E R T", "image, initial prediction, map, uncertainty, changes"],
  ["C", "held: compare with the initial prediction"],
  ["N", "the next place to look at"],
  ["S", "samples: eight other maps that your labels leave open"],
  ["A", "the map shows all of the chosen class: exclude it elsewhere"],
  ["Shift + fill", "label this region as the class that it has"],
  ["Enter", "close a polygon; or done, and on to the next image"],
  ["Esc", "drop what is being drawn"],
  ["Ctrl+Z", "undo, or the last corner of a polygon; with Shift, redo"],
  ["Page Up, Page Down", "previous, next image"],
  ["J", "the next image that is not done"],
  ["G", "flag this image"],
  ["O", "void: pixels of no class, 255 in exports"],
  ["D", "distinct colours"],
  ["?", "this help"],
];

const BY_KEY = {
  b: () => chooseTool("brush"), l: () => chooseTool("line"), p: () => chooseTool("polygon"), f: () => chooseTool("fill"),
  x: () => chooseTool("erase"), h: () => chooseTool("pan"),
  q: () => chooseView("image"), w: () => chooseView("first"), e: () => chooseView("map"), r: () => chooseView("uncertainty"),
  t: () => chooseView("difference"),
  "[": () => setRadius(tools.radius / 1.15), "]": () => setRadius(tools.radius * 1.15),
  v: () => stage.size && stage.fit(), n: nextPlace, s: () => $("sample").click(), a: () => acceptClass(tools.label),
  d: () => $("distinct").click(), j: () => job.next(), g: () => job.flag(), o: () => chooseClass(VOID), c: () => compare(true), "?": () => $("keys").showModal(),
  pageup: () => step(-1), pagedown: () => step(1), escape: () => tools.cancel(),
  enter: () => (tools.mark ? tools.finish() : done(true)),
};
const PLACES = { BracketLeft: "[", BracketRight: "]" };

/** The key that is meant: what it writes or, on a layout of other letters, what is there on a Latin one. */
function keyOf({ key, code }) {
  if (/^[ -~]+$/.test(key)) return key.toLowerCase();
  return code.match(/^Key([A-Z])$/)?.[1].toLowerCase() ?? PLACES[code] ?? key;
}

addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.isComposing || event.target.matches("input[type=text]")) return;
  const key = keyOf(event);
  const writes = event.getModifierState("AltGraph") || (event.altKey && "[]".includes(key)); // the character needs it
  if (!writes && (event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
    event.preventDefault();
    if (tools.mark) tools.back();
    else again(key === "y" || event.shiftKey ? "redo" : "undo");
    return;
  }
  if (!writes && (event.ctrlKey || event.metaKey || event.altKey)) return;
  const own = state.model?.classes.findIndex((one) => one.key === key) ?? -1; // a key of the class list goes first
  const digit = event.code.match(/^(?:Digit|Numpad)([0-9])$/);
  if (own >= 0) {
    chooseClass(own);
  } else if (digit && !"[]?".includes(key)) {
    chooseClass(((Number(digit[1]) + 9) % 10) + (event.shiftKey ? 10 : 0));
  } else if (key === " ") {
    if (event.target.matches("button, summary")) return;
    tools.space = true;
    $("stage").classList.add("panning");
    event.preventDefault();
  } else if (BY_KEY[key] && !(event.repeat && ["enter", "n", "s", "a", "d", "g"].includes(key))) {
    if (key === "enter" && event.target.matches("button, a, summary")) return;
    event.preventDefault();
    BY_KEY[key]();
  }
});
addEventListener("keyup", (event) => {
  if (keyOf(event) === "c") compare(false);
  if (event.key === " ") {
    tools.space = false;
    $("stage").classList.remove("panning");
  }
});
addEventListener("click", (event) => { // keys are for the image again, unless the button was reached by keys
  if (event.detail) event.target.closest("button, summary")?.blur();
});
addEventListener("blur", () => { compare(false); tools.space = false; });

for (const button of $("tools").children) button.addEventListener("click", () => chooseTool(button.dataset.tool));
for (const button of $("views").children) button.addEventListener("click", () => chooseView(button.dataset.view));
$("blend").addEventListener("input", () => stage.blend($("blend").value / 100));
$("distinct").addEventListener("change", colour);
$("radius").addEventListener("input", () => setRadius(Number($("radius").value)));
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("undo").addEventListener("click", () => again("undo"));
$("redo").addEventListener("click", () => again("redo"));
$("reset").addEventListener("click", () => state.live?.add({ kind: "reset", id: identity() }));
$("done").addEventListener("click", () => done(false));
$("help").addEventListener("click", () => $("keys").showModal());
$("look").addEventListener("click", nextPlace);
$("sample").addEventListener("click", () => ask({ type: "sample", seed: state.seed++ }));
$("export").addEventListener("click", (event) => event.target.matches("a") && $("export").removeAttribute("open"));
$("corner").addEventListener("pointerdown", (event) => event.stopPropagation()); // no paint under it
$("photo").addEventListener("error", async () => {
  const problem = await reason($("photo").src);
  if (problem) notice(problem);
});
addEventListener("dragover", (event) => { event.preventDefault(); $("stage").classList.add("dropping"); });
addEventListener("dragleave", (event) => event.relatedTarget === null && $("stage").classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("stage").classList.remove("dropping");
  job.upload(event.dataTransfer.files);
});
addEventListener("hashchange", () => open(wanted()));

const wanted = () => {
  const name = decodeURIComponent(location.hash.slice(1));
  return job.images.find((image) => image.name === name) ?? job.images.find((image) => image.state !== "done" && !image.problem) ?? job.images[0];
};

$("keys").querySelector("dl").append(...KEYS.flatMap(([key, text]) => {
  const term = document.createElement("dt");
  term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
  return [term, Object.assign(document.createElement("dd"), { textContent: text })];
}));

try {
  const [model, images] = await Promise.all([json("api/model"), json("api/images")]);
  state.model = model;
  $("model").textContent = `Model: ${[state.model.name, state.model.purpose].filter(Boolean).join(", for ")}`;
  listClasses();
  job.list(images);
  colour();
  stage.blend($("blend").value / 100);
  chooseTool("brush");
  chooseView("map");
  chooseClass(0);
  open(wanted());
  document.body.dataset.ready = "yes";
} catch (problem) {
  notice(`The page could not be opened: ${problem.message}`);
}
