// The class list: names, colours, keys and ids, and the classes of the model that each is merged of.

import { json, posted } from "./job.js";

const $ = (id) => document.getElementById(id);
const hex = (colour) => `#${(colour ?? [136, 136, 136]).map((part) => part.toString(16).padStart(2, "0")).join("")}`;
const parts = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
const FIELDS = { // of a row: what an input shows, and what it gives
  colour: [hex, parts],
  name: [String, String],
  key: [(key) => key ?? "", (text) => text.toLowerCase() || null],
  id: [String, Number],
};

let rows = [], begun = false;

/** Show the classes of the server in a dialog; once an image was worked on they keep their places. */
export function editClasses(classes, worked) {
  begun = worked;
  $("class-places").hidden = !begun;
  rows = classes.map((one) => ({ ...one, was: one.was ?? [], now: one.name }));
  list();
  $("class-problem").textContent = "";
  $("class-list").showModal();
}

function list() {
  $("class-rows").replaceChildren(...rows.map((row) => {
    const item = document.createElement("tr");
    item.innerHTML =
      "<td><input type='color' name='colour' aria-label='Colour'><td><input type='text' name='name' aria-label='Name'>" +
      "<td><input type='text' name='key' maxlength='1' aria-label='Key'><td><input type='number' name='id' min='0' max='255' aria-label='Id'>" +
      "<td class='of'><td><select aria-label='Merge, split or remove'></select>";
    for (const input of item.querySelectorAll("input")) {
      const [shown, given] = FIELDS[input.name];
      input.value = shown(row[input.name]);
      input.addEventListener("input", () => { row[input.name] = given(input.value); });
    }
    item.querySelector(".of").textContent = row.of.length ? row.of.join(", ") : "nothing: a new class";
    const changes = possible(row), select = item.querySelector("select");
    select.hidden = !changes.length;
    select.append(new Option("Change", ""), ...changes.map(([text], index) => new Option(text, index)));
    select.addEventListener("change", () => { changes[select.value][1](); list(); });
    return item;
  }));
}

/** What can become of a class, as pairs of a text and a function. */
function possible(row) {
  const remove = () => rows.splice(rows.indexOf(row), 1);
  const stays = begun && row.now;
  const changes = stays ? [] : rows.filter((one) => one !== row).map((into) => [`Merge into ${into.name}`, () => {
    into.of = [...into.of, ...row.of];
    remove();
  }]);
  if (!row.of.length && !stays) changes.unshift(["Remove", remove]);
  if (row.of.length > 1) {
    changes.unshift(["Split", () => {
      const [first, ...others] = row.of;
      row.of = [first];
      others.forEach((name) => add(name, [name]));
    }]);
  }
  return changes;
}

/** A new row: the first free id, and a colour that turns by the golden angle, so that it is its own. */
function add(name, of) {
  const ids = new Set(rows.map(({ id }) => id));
  let id = 0;
  while (ids.has(id)) id += 1;
  const colour = [0, 8, 4].map((part) => {
    const hue = (part + rows.length * 137.508 / 30) % 12;
    return Math.round(255 * (0.5 - 0.35 * Math.max(-1, Math.min(hue - 3, 9 - hue, 1))));
  });
  rows.push({ name, colour, key: null, id, of, was: [] });
}

async function save() {
  const tables = rows.map(({ name, colour, id, key, of, was, now }) => (
    { name, colour, id, key, of, was: !now || now === name ? was : [...was, now] }));
  try {
    await json("api/classes", posted(tables));
    location.reload();
  } catch (problem) {
    $("class-problem").textContent = problem.message;
  }
}

$("add-class").addEventListener("click", () => {
  add("", []);
  list();
  $("class-rows").lastElementChild.querySelector("[name=name]").focus();
});
$("save-classes").addEventListener("click", save);
