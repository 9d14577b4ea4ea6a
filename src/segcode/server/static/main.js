// The page: choices, views, and requests to the server.

import { editClasses } from "./classes.js";
import { IS, Job, commentLines, json, reason } from "./job.js";
import { Live, deliver, person, unfinished, url } from "./live.js";
import { Stage, VOID } from "./stage.js";
import { Tools, identity } from "./tools.js";

const $ = (id) => document.getElementById(id);

const stage = new Stage();
const state = {
  model: null, image: null, live: null, document: null,
  places: [], placeIndex: -1, seed: Math.floor(Math.random() * 2 ** 30),
  flights: [], waiting: null, // drafts: some under way, and the newest, which waits
  asked: [], // marks that no map shows yet: {id, points, at}, the time of the movement that led to it
  before: null, stroke: null, // the map before the stroke that is drawn, and before the last one
  latency: 0, last: null, pointer: [-1, -1], leaving: "", // the state in which this image is left for the next one
};

const tools = new Tools(stage, {
  ready: () => stage.first !== null, // an image that is not open cannot be labelled
  draft,
  add(mark) {
    state.asked.push({ id: mark.id, points: Infinity, at: state.waiting?.at ?? performance.now() });
    state.waiting = null;
    if (mark.kind === "brush" && mark.label !== null) state.stroke = { mark, labels: state.before };
    state.before = null;
    state.live.add(mark);
    available();
    busy();
  },
  keep(mark) { if (state.image) unfinished(state.model.work, state.image.name).marks = mark ? [mark] : []; },
  fill(id, x, y, label) { ask({ type: "fill", id, x, y, label }); },
  unsent: () => state.live?.unsaved.marks ?? [],
  pick,
  classless() {
    notice("Choose a class first: a number key, the list on the right, or I for the class under the pointer.", 4000);
  },
  resize: setRadius,
  hover,
});

const job = new Job({ open, renamed: () => state.live?.rename(), notice, busy: () => state.flights.length > 0 || tools.mark !== null });

// ---- drafts: the map is updated during the stroke -----------------------------------------------------------------------------

const FLIGHTS = 2; // the server computes the map of one draft while that of another is drawn here

/** Ask for the map of a mark that is being drawn; while some are under way, only the newest is remembered. */
function draft(mark, at = performance.now()) {
  if (mark) {
    if (["image", "first"].includes(stage.view)) chooseView("map"); // else nobody would see what it does
    state.before ??= stage.labels;
    probe(null);
    $("hint").hidden = $("far").hidden = true;
  } else {
    state.before = null;
  }
  if (state.flights.length >= FLIGHTS && performance.now() - state.flights.at(-1).sent < 1000) {
    state.waiting = { mark, at };
    return;
  }
  state.waiting = null;
  if (mark) {
    const flight = { id: mark.id, points: mark.points.length, at, sent: performance.now() };
    state.flights.push(flight);
    state.asked.push(flight);
  } else {
    state.flights = [];
    state.asked = [];
  }
  state.live.send({ type: "draw", mark });
}

/** A map has come and is drawn: measure how long it took, and let the next draft go. */
function arrived(header) {
  const { flights, waiting } = state;
  const shows = (one) => header.drafts[one.id] >= one.points || header.last === one.id;
  const end = performance.now();
  const shown = state.asked.splice(0, state.asked.findLastIndex(shows) + 1); // in order: what came before is in it, too
  for (const { at } of shown) {
    performance.measure("stroke to map", { start: at, end });
    state.latency = end - at;
  }
  corner(header);
  if (state.stroke && header.last === state.stroke.mark.id && !Object.keys(header.drafts).length) farther(state.stroke);
  if (flights.splice(0, flights.findLastIndex(shows) + 1).length && waiting) draft(waiting.mark, waiting.at);
}

function corner(header) {
  const stages = Object.entries(header.milliseconds).map(([name, ms]) => `${name} ${ms.toFixed(0)}`).join(", ");
  const short = [header.status, `${(header.memory / 2 ** 20).toFixed(0)} MiB`];
  if (state.latency) short.unshift(`${state.latency.toFixed(0)} ms`);
  $("corner").hidden = false;
  $("corner").querySelector("summary").textContent = short.join(" · ");
  $("corner").querySelector("p").textContent =
    `from stroke to map: ${state.latency ? `${state.latency.toFixed(0)} ms` : "no stroke yet"}\n` +
    `this map, in ms: ${stages}\nimages in memory: ${header.open}`;
}

// ---- how far a stroke reaches ---------------------------------------------------------------------------------------

const NEAR = 4; // what lies beyond this many radii of a brush is far from its stroke
const MUCH = 1 / 50; // the share of the map that is worth a look

/** Let pixels flash that a stroke changed far from it; if they are much of the map, offer to take just that back. */
function farther({ mark, labels }) {
  state.stroke = { mark };
  if (!labels || mark.reach !== null) return;
  const changed = stage.beyond(mark.points, NEAR * mark.radius);
  let count = 0;
  changed.forEach((far, i) => { changed[i] = far && labels[i] !== stage.labels[i]; count += changed[i]; });
  if (count) stage.overlay(changed, true);
  if (count < MUCH * labels.length) return;
  $("far").hidden = false;
  $("far").querySelector("span").textContent = `Far from it the stroke changed ${share(count / labels.length)} of the map.`;
}

/** The last stroke again, but the map changes near it alone. */
function keepNear() {
  const mark = state.stroke?.mark;
  if (tools.mark || mark?.id !== state.last || mark.reach !== null) return;
  $("far").hidden = true;
  again("undo");
  tools.act.add({ ...mark, id: identity(), reach: 3 * mark.radius });
}

let probing;
/** Outline what a stroke at the pointer would change, once it rests; a map that changes takes the outline away. */
function probe(point) {
  clearTimeout(probing);
  if (stage.grid) stage.overlay(null);
  if (!point || tools.label < 0 || tools.mark || !["brush", "line"].includes(tools.tool)) return;
  probing = setTimeout(() => state.live?.send({ type: "reach", mark: tools.stroke(tools.label, [point]) }), 250);
}

const share = (part) => (part < 0.01 ? "less than 1 %" : `${Math.round(100 * part)} %`);

// ---- what takes its time --------------------------------------------------------------------------------------------

/** Say that something is on its way, until a message comes. */
const busy = (is = true) => document.body.setAttribute("aria-busy", String(is));

/** Undo and redo as far as there is something, also of strokes that the server has not got. */
function available() {
  $("undo").disabled = !state.document?.undo && !state.live?.unsaved.marks.length;
  $("redo").disabled = !state.document?.redo;
}

// ---- messages -------------------------------------------------------------------------------------------------------

function receive(message) {
  if (!["up", "document"].includes(message.type)) busy(false);
  switch (message.type) {
    case "up":
      quiet("down");
      watch();
      if ($("photo").complete && !$("photo").naturalWidth) $("photo").src = url(state.image.name, "picture");
      break;
    case "down":
      Object.assign(state, { flights: [], asked: [] });
      if (!stage.grid && stage.size) { // strokes that are kept here are shown, though there is no map
        stage.lay(stage.size.width, stage.size.height);
        tools.sketch();
      }
      available();
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
      state.last = message.last;
      arrived(message);
      shares(message.planes[0]);
      mark("classes", ".accept", (_, index) => message.exhaustive.includes(index), "aria-pressed");
      if (!Object.keys(message.drafts).length) [...$("samples").querySelectorAll("canvas")].forEach(drawSample);
      hover(...state.pointer);
      break;
    case "uncertainty":
      stage.update(message.width, message.height, { uncertainty: message.planes[0], initially: message.planes[1] });
      break;
    case "reach":
      if (!tools.mark && stage.grid?.width === message.width) stage.overlay(message.planes[0]);
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
      available();
      break;
    case "unsaved":
      state.leaving = "";
      notice(`Not saved yet: ${message.message}`, 0, "unsaved");
      break;
    case "problem":
      state.leaving = "";
      state.asked = state.asked.filter(({ id }) => id !== message.mark); // no map will show it
      notice(message.message, 6000);
      break;
    case "classes": // another list: what is known here of the classes is no longer true
      location.reload();
      break;
    case "closed": // the image does not open: the reason stays, and nothing can be labelled
      clearTimeout(noticeTimer);
      stage.first = null;
      break;
  }
}

function ask(message) {
  const sent = state.live?.ask(message) ?? false;
  if (!sent) notice("The server does not answer; try again once it is back.", 4000);
  else busy();
  if (sent && message.id) state.asked.push({ id: message.id, points: Infinity, at: performance.now() });
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

const watch = () => state.live?.send({ type: "watch", uncertainty: ["uncertainty", "difference"].includes(stage.view) });

// ---- images ---------------------------------------------------------------------------------------------------------

function open(image) {
  if (!image || image === state.image) return;
  tools.leave();
  quiet("sent back");
  state.live?.close();
  Object.assign(state, { image, document: null, places: [], placeIndex: -1, flights: [], waiting: null, asked: [], before: null, stroke: null, latency: 0, leaving: "" });
  $("far").hidden = true;
  const address = `#${encodeURIComponent(image.name)}`; // Back goes to the image before
  if (location.hash !== address) history[location.hash ? "pushState" : "replaceState"](null, "", address);
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
  if (message.state === "sent back" && !state.leaving && state.document?.state !== "sent back") notice(`Sent back.\n${commentLines(message.comments)}`, 15000, "sent back");
  state.document = message;
  state.places = [];
  stage.mark(null);
  available();
  if (message.marks) $("hint").hidden = true;
  $("done").textContent = IS.done(message) ? "Reopen" : "Done";
  $("done").classList.toggle("primary", !IS.done(message));
  job.listed(message);
  if (state.leaving && IS[state.leaving](message)) {
    const kept = state.leaving[0].toUpperCase() + state.leaving.slice(1);
    state.leaving = "";
    if (job.next()) notice(`${kept}. ${$("count").textContent}.`, 3000);
  }
}

// ---- classes, samples, places ---------------------------------------------------------------------------------------

const keyOfClass = (index) => state.model.classes[index]?.key?.toUpperCase() ?? (index === VOID ? "U" : index < 10 ? String((index + 1) % 10) : index < 20 ? `⇧${(index + 1) % 10}` : "");

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
    accept.title = `All of this class: the map shows every pixel of ${name}, so the class is excluded elsewhere (A for the chosen class)`;
    accept.setAttribute("aria-label", `All of ${name}`);
    accept.addEventListener("click", () => acceptClass(index));
    if (index === VOID) accept.style.visibility = "hidden";
    item.append(choose, accept);
    return item;
  }));
  const own = new Set(state.model.classes.map(({ key }) => key?.toUpperCase())); // they go before those of tools
  for (const kbd of document.querySelectorAll(":is(nav, aside) kbd:not(#classes kbd)")) kbd.hidden = own.has(kbd.textContent);
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
  limit(remembered(index));
  if (["erase", "pan"].includes(tools.tool)) chooseTool("brush");
  mark("classes", ".class", (button) => Number(button.dataset.label) === index);
}

/** The class under the pointer is chosen. */
function pick(x, y) {
  const at = stage.at(x, y);
  if (at) chooseClass(at.label);
}

/** Whether strokes of a class change the map near them alone. */
const remembered = (index) => {
  try { return localStorage.getItem(`segcode:near:${className(index)}`) === "yes"; } catch { return tools.limited; }
};

function limit(near) {
  tools.limited = $("limited").checked = near;
  try {
    if (tools.label >= 0) localStorage.setItem(`segcode:near:${className(tools.label)}`, near ? "yes" : "no");
  } catch { /* kept while the class is chosen */ }
  if (tools.pointer) tools.hover(...tools.pointer);
}

const acceptClass = (label) => (label < 0 ? tools.act.classless() : label !== VOID && ask({ type: "accept", id: identity(), label }));

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
    const canvas = Object.assign(document.createElement("canvas"), { width, height, labels });
    const text = document.createElement("small");
    button.append(canvas, text);
    drawSample(canvas);
    button.addEventListener("click", () => {
      state.live.add({ kind: "start", id: identity(), seed, index });
      notice("This map is the initial prediction now; undo goes back.", 4000);
    });
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => stage.peek(canvas));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => stage.peek(null));
    return button;
  }));
  $("samples").scrollIntoView({ block: "nearest" });
}

function drawSample(canvas) {
  canvas.getContext("2d").putImageData(stage.sketch(canvas), 0, 0);
  const [from, to, part] = stage.contrast(canvas);
  canvas.nextSibling.textContent = part ? `${className(to)}, not ${className(from)}: ${share(part)}` : "like the map";
}

const className = (label) => state.model.classes[label]?.name ?? "void";

function nextPlace() {
  if (!state.places.length) {
    ask({ type: "look" });
    return;
  }
  state.placeIndex = (state.placeIndex + 1) % state.places.length;
  const place = state.places[state.placeIndex];
  stage.mark(place);
  tools.centre();
  $("under").textContent = "";
  notice(`${className(place.classes[0])}, or ${className(place.classes[1])}?`, 4000);
}

function hover(x, y) {
  if (x !== state.pointer[0] || y !== state.pointer[1]) probe(x < 0 ? null : [x, y]);
  state.pointer = [x, y];
  const at = stage.at(x, y);
  if (!at) { $("under").textContent = ""; return; }
  let text = className(at.label);
  if (at.painted !== 255) text += ", labelled";
  if (at.first !== at.label) text += `, initially ${className(at.first)}`;
  $("under").textContent = text;
}

// ---- choices --------------------------------------------------------------------------------------------------------

function mark(list, selector, chosen, as = "aria-checked") {
  const buttons = [...$(list).querySelectorAll(selector)];
  const on = buttons.map(chosen);
  buttons.forEach((button, index) => {
    button.setAttribute(as, String(on[index]));
    if (as === "aria-checked") button.tabIndex = on[index] || (index === 0 && !on.includes(true)) ? 0 : -1; // one Tab stop
  });
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
  $("far").hidden = true;
  const unsent = state.live?.unsaved.marks ?? [];
  if (step === "undo" && unsent.length && !state.live.up) { // the server has not got the last stroke
    state.live.unsaved.remove(unsent.at(-1).id);
    tools.sketch();
    available();
  } else {
    ask({ type: step });
  }
};

const done = (go) => {
  tools.finish();
  const isDone = state.document && IS.done(state.document);
  state.leaving = ask({ type: "done", done: go ? true : !isDone }) && go ? "done" : "";
};

/** Accept the image, or send it back, and go on to the next one. */
const review = (verdict, comment = "") => {
  if (!reviewable()) return;
  tools.finish();
  state.leaving = ask({ type: "review", review: verdict, comment }) ? verdict : "";
};

const reviewable = () => {
  if ($("accept").hidden) {
    notice("Nobody has called this image done yet.", 4000);
  } else if (!person.name) {
    notice("Your name first: a review needs it.", 4000);
    $("person").focus();
  } else {
    return true;
  }
  return false;
};

const sendBack = () => {
  const comment = reviewable() && prompt("What is to be done?", state.image.comments[person.name] ?? "");
  if (comment) review("sent back", comment.slice(0, 2000));
};

const KEYS = [
  ["1 … 9, 0", "choose a class; with Shift the next ten"],
  ["I", "choose the class under the pointer; also Alt and click"],
  ["B L P F X H", "brush, line, polygon, fill, erase, move"],
  ["O", "strokes of this class change the map near them alone"],
  ["K", "after a stroke: keep only what it changed near it"],
  ["Arrows, Space", "move the pointer (Shift: finely, Ctrl: far); begin and end a stroke, fill, set a corner"],
  ["[ ]", "smaller, larger brush; or Shift and wheel"],
  ["Wheel, + −", "zoom under the pointer; arrows at the edge move the image"],
  ["Space", "held: drag with the mouse to move; also the right button, or two fingers"],
  ["V", "fit the image to the window"],
  ["Q W E R T", "image, initial prediction, map, uncertainty, changes"],
  ["C", "held: compare with the initial prediction"],
  ["N", "the next place to look at"],
  ["S", "samples: eight other maps that your labels leave open"],
  ["A", "the map shows all of the chosen class: exclude it elsewhere"],
  ["Shift + fill", "label this region as the class that it has"],
  ["Enter", "close a polygon; or done (accepted, where the list shows what is to review), and on to the next image"],
  ["Y, M", "review what somebody called done: accept it as it is now, or send it back with a comment"],
  ["Esc", "drop what is being drawn"],
  ["Ctrl+Z", "undo, or the last corner of a polygon; with Shift, redo"],
  ["Page Up, Page Down", "previous, next image"],
  ["J", "the next image that is not done, or to review"],
  ["G", "flag this image"],
  ["U", "void: pixels of no class, 255 in exports"],
  ["D", "distinct colours"],
  ["?", "this help"],
];

const BY_KEY = {
  b: () => chooseTool("brush"), l: () => chooseTool("line"), p: () => chooseTool("polygon"), f: () => chooseTool("fill"),
  x: () => chooseTool("erase"), h: () => chooseTool("pan"),
  q: () => chooseView("image"), w: () => chooseView("first"), e: () => chooseView("map"), r: () => chooseView("uncertainty"),
  t: () => chooseView("difference"),
  "[": () => setRadius(tools.radius / 1.15), "]": () => setRadius(tools.radius * 1.15),
  v: () => { if (stage.size) { stage.fit(); tools.moved(); } }, "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), n: nextPlace, s: () => $("sample").click(), a: () => acceptClass(tools.label),
  i: () => pick(...state.pointer), o: () => limit(!tools.limited), k: keepNear,
  d: () => $("distinct").click(), j: () => job.next(), g: () => job.flag(), u: () => chooseClass(VOID), c: () => compare(true), "?": () => $("keys").showModal(),
  pageup: () => step(-1), pagedown: () => step(1), escape: () => { closeMenus(); tools.cancel(); },
  y: () => review("accepted"), m: sendBack,
  enter: () => (tools.mark ? tools.finish() : job.reviewing && !$("accept").hidden ? review("accepted") : done(true)),
};
const closeMenus = () => document.querySelectorAll("details.menu[open]").forEach((menu) => {
  if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
  menu.open = false;
});
const zoom = (factor) => { if (stage.size) { stage.zoom(factor, ...(tools.pointer ?? tools.middle)); tools.moved(); } };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PLACES = { BracketLeft: "[", BracketRight: "]" };

/** The key that is meant: what it writes or, on a layout of other letters, what is there on a Latin one. */
function keyOf({ key, code }) {
  if (/^[ -~]+$/.test(key)) return key.toLowerCase();
  return code.match(/^Key([A-Z])$/)?.[1].toLowerCase() ?? PLACES[code] ?? key;
}

addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.isComposing || event.target.matches("input[type=text], select")) return;
  const key = keyOf(event);
  const writes = event.getModifierState("AltGraph") || (event.altKey && "[]".includes(key)); // the character needs it
  if (!writes && (event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
    event.preventDefault();
    if (tools.mark) tools.back();
    else again(key === "y" || event.shiftKey ? "redo" : "undo");
    return;
  }
  const arrow = ARROWS[event.key];
  if (!writes && (event.metaKey || event.altKey || (event.ctrlKey && !arrow))) return;
  const own = state.model?.classes.findIndex((one) => one.key === key) ?? -1; // a key of the class list goes first
  const radios = event.target.closest("[role=radiogroup]");
  if (arrow && radios) {
    const buttons = [...radios.querySelectorAll("[role=radio]")];
    const by = arrow[0] + arrow[1];
    const next = buttons[(buttons.indexOf(event.target.closest("[role=radio]")) + by + buttons.length) % buttons.length];
    next.click();
    next.focus();
    event.preventDefault();
    return;
  }
  if (arrow && !event.target.matches("input")) {
    const by = event.shiftKey ? 1 : event.ctrlKey ? 50 : 10;
    $("stage").focus({ preventScroll: true }); // the next Space is for the image, not for a button
    tools.steer(by * arrow[0], by * arrow[1]);
    event.preventDefault();
    return;
  }
  const digit = event.code.match(/^(?:Digit|Numpad)([0-9])$/);
  if (own >= 0) {
    chooseClass(own);
  } else if (digit && !"[]?".includes(key)) {
    chooseClass(((Number(digit[1]) + 9) % 10) + (event.shiftKey ? 10 : 0));
  } else if (key === " ") {
    if (event.target.matches("button, summary, input")) return;
    event.preventDefault();
    if (tools.keys) {
      if (!event.repeat) tools.press();
      return;
    }
    tools.space = true;
    $("stage").classList.add("panning");
  } else if (BY_KEY[key] && !(event.repeat && ["enter", "n", "s", "a", "d", "o", "k", "g", "y", "m"].includes(key))) {
    if (key === "enter" && event.target.matches("button, a, summary, input")) return;
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
addEventListener("change", ({ target }) => target.matches("select:not(:focus-visible)") && target.blur()); // chosen by mouse
addEventListener("blur", () => { compare(false); tools.space = false; });

for (const button of $("tools").children) button.addEventListener("click", () => chooseTool(button.dataset.tool));
for (const button of $("views").children) button.addEventListener("click", () => chooseView(button.dataset.view));
$("blend").addEventListener("input", () => stage.blend($("blend").value / 100));
$("distinct").addEventListener("change", colour);
$("limited").addEventListener("change", () => limit($("limited").checked));
$("far").querySelector("button").addEventListener("click", keepNear);
$("far").addEventListener("pointerdown", (event) => event.stopPropagation()); // no paint under it
for (const id of ["brightness", "contrast"]) {
  $(id).addEventListener("input", () => {
    $("photo").style.filter = `brightness(${$("brightness").value / 100}) contrast(${$("contrast").value / 100})`;
  });
}
$("radius").addEventListener("input", () => setRadius(Number($("radius").value)));
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("undo").addEventListener("click", () => again("undo"));
$("redo").addEventListener("click", () => again("redo"));
$("reset").addEventListener("click", () => state.live?.add({ kind: "reset", id: identity() }));
$("done").addEventListener("click", () => done(false));
$("accept").addEventListener("click", () => review("accepted"));
$("send-back").addEventListener("click", sendBack);
$("help").addEventListener("click", () => $("keys").showModal());
$("edit-classes").addEventListener("click", () => editClasses(state.model.classes, job.begun));
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
  return job.images.find((image) => image.name === name) ?? job.images.find((image) => IS["to do"](image) && !image.problem) ?? job.images[0];
};

$("keys").querySelector("dl").append(...KEYS.flatMap(([key, text]) => {
  const term = document.createElement("dt");
  term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
  return [term, Object.assign(document.createElement("dd"), { textContent: text })];
}));

try {
  const [model, images] = await Promise.all([json("api/model"), json("api/images")]);
  state.model = model;
  $("model").textContent = state.model.name;
  $("model").title = state.model.purpose ?? "";
  $("purpose").textContent = `Model: ${[state.model.name, state.model.purpose].filter(Boolean).join(", for ")}`;
  listClasses();
  job.list(images);
  colour();
  stage.blend($("blend").value / 100);
  chooseTool("brush");
  chooseView("map");
  mark("classes", ".class", () => false);
  open(wanted());
  document.body.dataset.ready = "yes";
} catch (problem) {
  notice(`The page could not be opened: ${problem.message}`);
}
