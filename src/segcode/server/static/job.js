// The whole job: the list of images with progress, filter and order, notes on images, uploads, and the export of all.

import { person, signed, url } from "./live.js";

const $ = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const ORDERS = { uncertainty: "uncertainty", change: "expected_change" }; // highest first
/** Which images a choice of the list means. */
export const IS = {
  "all": () => true,
  "to do": (image) => !IS.done(image),
  "untouched": ({ state }) => state === "untouched",
  "in work": ({ state }) => state === "in work",
  "sent back": ({ state }) => state === "sent back",
  "done": ({ state }) => state === "done" || state === "accepted",
  "to review": ({ state }) => state === "done",
  "accepted": ({ state }) => state === "accepted",
  "flagged": ({ flagged }) => flagged,
};

/** What the server answers as JSON. Throws the reason if it refuses. */
export async function json(address, options) {
  const answer = await fetch(address, options);
  const content = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(typeof content.detail === "string" ? content.detail : answer.statusText);
  return content;
}

/** Why the server does not give something; nothing if it does. */
export async function reason(address) {
  const answer = await fetch(address).catch(() => null);
  return answer && !answer.ok ? (await answer.json()).detail : null;
}

/** What people say of an image, a line for each, without somebody's own. */
export const commentLines = (comments, but) => Object.entries(comments).filter(([name]) => name !== but)
  .map(([name, comment]) => `${name || "no name"}: ${comment}`).join("\n");

/** The options of a request that sends JSON. */
export const posted = (content) => ({ method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" } });

export class Job {
  /**
   * @param act {open(image), renamed(), busy(), notice(text, milliseconds)}: `open` takes null if there is no image left
   */
  constructor(act) {
    this.act = act;
    this.images = [];
    this.current = null;
    this.items = new Map(); // of the list, by the names of images
    for (const id of ["only", "export-only"]) $(id).append(...Object.keys(IS).map((which) => new Option(which, which)));
    $("only").addEventListener("change", () => this.arrange());
    $("order").addEventListener("change", () => {
      this.images.forEach((image) => this.describe(image));
      this.arrange();
      this.measure();
    });
    for (const id of ["only", "order"]) $(id).addEventListener("change", () => $(id).blur()); // keys are for the image
    $("person").value = person.name;
    $("person").addEventListener("change", () => {
      person.name = $("person").value.trim();
      this.act.renamed();
      if (this.current) this.notes();
    });
    for (const id of ["comment", "person"]) {
      $(id).addEventListener("keydown", ({ key }) => ["Enter", "Escape"].includes(key) && $(id).blur());
    }
    $("needs").addEventListener("click", () => this.next());
    $("flag").addEventListener("click", () => this.flag());
    $("comment").addEventListener("change", () => this.note({ comment: $("comment").value }));
    $("remove").addEventListener("click", () => this.remove());
    $("files").addEventListener("change", () => this.upload($("files").files));
    $("export-job").addEventListener("click", () => this.export());
    for (const id of ["export-only", "export-layout"]) $(id).addEventListener("change", () => this.link());
  }

  list(images) {
    this.images = images;
    for (const image of images) this.item(image);
    this.arrange();
  }

  /** An image in the list. */
  item(image) {
    const item = document.createElement("li");
    item.innerHTML = "<button><img loading='lazy' alt=''><span></span><small></small></button>";
    const [button, picture] = item.querySelectorAll("button, img");
    button.dataset.name = image.name;
    picture.src = url(image.name, "thumbnail");
    picture.addEventListener("error", async () => { // the header of a damaged file may be right
      image.problem ??= await reason(url(image.name, "thumbnail"));
      this.describe(image);
    });
    item.querySelector("span").textContent = image.name;
    button.addEventListener("click", () => this.act.open(image));
    this.items.set(image.name, item);
    this.describe(image);
  }

  /** The state of an image in the list, or why it cannot be worked on. */
  describe(image) {
    const { name, state, problem, flagged, comments } = image;
    const button = this.items.get(name).firstElementChild;
    const score = image[ORDERS[$("order").value]];
    button.dataset.state = problem ? "problem" : state;
    button.dataset.flagged = flagged;
    button.title = [name, problem, commentLines(comments)].filter(Boolean).join("\n");
    button.querySelector("small").textContent = problem ? "cannot be opened" : state + (score == null ? "" : ` · ${shown(score)}`);
  }

  /** All images in the order that is chosen. */
  ordered() {
    const key = ORDERS[$("order").value];
    if (!key) return this.images;
    return [...this.images].sort((one, other) => (other[key] ?? -1) - (one[key] ?? -1));
  }

  /** Show those that are asked for; the one that is open stays until another one is. */
  arrange() {
    const is = IS[$("only").value];
    const images = this.ordered().filter((image) => is(image) || image === this.current);
    const items = images.map(({ name }) => this.items.get(name)), now = $("images").children;
    if (items.length !== now.length || items.some((item, at) => item !== now[at])) $("images").replaceChildren(...items);
    this.count();
  }

  /** How many images are how far. */
  count() {
    const all = this.images.length, done = this.images.filter(IS.done).length;
    Object.assign($("progress"), { max: all || 1, value: done });
    const known = this.images.filter(({ problem, uncertainty }) => problem || uncertainty !== null).length;
    const looked = this.measuring && known < all ? ` · looked at ${known}` : "";
    const accepted = this.images.filter(IS.accepted).length;
    $("count").textContent = `${done} of ${all} done${accepted ? ` · ${accepted} accepted` : ""}${looked}`;
    for (const option of document.querySelectorAll("#only option, #export-only option")) {
      option.textContent = `${option.value} (${this.images.filter(IS[option.value]).length})`;
    }
  }

  /** Another image is open. */
  opened(image) {
    this.current?.name && this.items.get(this.current.name)?.firstElementChild.setAttribute("aria-current", "false");
    this.current = image;
    this.arrange();
    this.notes();
    const button = this.items.get(image.name).firstElementChild;
    button.setAttribute("aria-current", "true");
    button.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.measure();
  }

  /** The flag and the comments of the image that is open, who worked on it, and what a review may say. */
  notes() {
    const { flagged, comments, uploaded, finished_by, people = {} } = this.current;
    const latest = Object.entries(people).sort(([, one], [, other]) => other.localeCompare(one));
    const when = (at) => new Date(at).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
    $("people").textContent = latest.map(([name, at]) => `${name || "no name"}, ${when(at)}`).join("\n");
    $("accept").hidden = $("send-back").hidden = finished_by === null;
    $("flag").disabled = $("comment").disabled = false;
    $("flag").setAttribute("aria-pressed", String(flagged));
    if (document.activeElement !== $("comment")) $("comment").value = comments[person.name] ?? "";
    $("comments").textContent = commentLines(comments, person.name);
    $("remove").hidden = !uploaded;
  }

  /** Take over what the server says of an image. */
  listed({ name, state, flagged, comments, finished_by, people, uncertainty, expected_change }) {
    const image = this.images.find((one) => one.name === name);
    if (!image) return; // another tab has added it
    Object.assign(image, { state, flagged, comments, finished_by, people, uncertainty, expected_change });
    this.describe(image);
    this.count();
    if (image === this.current) this.notes();
  }

  /** The image before or after the present one, among those that are shown. */
  beside(by) {
    const names = [...$("images").children].map((item) => item.firstElementChild.dataset.name);
    const at = names.indexOf(this.current?.name);
    return this.images.find(({ name }) => name === names[Math.min(names.length - 1, Math.max(0, at + by))]);
  }

  /** Whether an image was worked on. */
  get begun() { return this.images.some(({ state }) => state !== "untouched"); }

  /** Whether the list shows what is to review. */
  get reviewing() { return $("only").value === "to review"; }

  /**
   * Open the next image that is not done, of those that are asked for; after the last one begin again. In a review it
   * is the next one that somebody else has called done.
   */
  next() {
    const to = (image) => (this.reviewing ? !image.finished_by || image.finished_by !== person.name : IS["to do"](image));
    const images = this.ordered(), at = images.indexOf(this.current);
    const others = [...images.slice(at + 1), ...images.slice(0, Math.max(at, 0))];
    const found = others.find((image) => to(image) && !image.problem && IS[$("only").value](image));
    if (found) this.act.open(found);
    else this.act.notice(`No other image of “${$("only").value}” is left to do.`, 3000);
    return found;
  }

  flag() { if (this.current) this.note({ flagged: !this.current.flagged }); }

  async note(content) {
    const image = this.current;
    try {
      this.listed({ ...image, ...await json(signed(image.name, "note"), posted(content)) });
    } catch (problem) {
      this.act.notice(`The note on ${image.name} was not saved: ${problem.message}`, 6000);
    }
  }

  /** Ask how much each image needs a person, one after the other, while the order needs it and nothing is drawn. */
  async measure() {
    if (this.measuring) return;
    this.measuring = true;
    const missing = (image) => !image.problem && image.uncertainty === null;
    for (let image; $("order").value in ORDERS && (image = this.images.find(missing));) {
      while (this.act.busy()) await pause(500);
      try {
        Object.assign(image, await json(url(image.name, "score")));
        this.describe(image);
        this.arrange();
      } catch (problem) {
        this.act.notice(`Images cannot be sorted now: ${problem.message}`, 6000);
        break;
      }
    }
    this.measuring = false;
    this.count();
  }

  async upload(files) {
    const refused = [];
    for (const [number, file] of [...files].entries()) {
      this.act.notice(`Adding ${file.name} (${number + 1} of ${files.length})`);
      try {
        const image = await json(`api/images?name=${encodeURIComponent(file.name)}`, {
          method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
        });
        this.images.push(image);
        this.item(image);
        this.act.open(image);
        this.act.notice("");
      } catch (problem) {
        refused.push(`${file.name} was not added: ${problem.message}`);
      }
    }
    if (refused.length) this.act.notice(refused.join(" "), 8000 + 2000 * refused.length);
  }

  /** Remove the image that is open, which was uploaded. */
  async remove() {
    const image = this.current;
    if (!confirm(`Remove ${image.name}? Its file is deleted; its marks stay in the folder of work.`)) return;
    const beside = [this.beside(1), this.beside(-1)].find((one) => one !== image);
    try {
      await json(url(image.name, "remove"), { method: "POST" });
    } catch (problem) {
      this.act.notice(problem.message, 6000);
      return;
    }
    this.images.splice(this.images.indexOf(image), 1);
    if (!beside) { location.reload(); return; } // an empty page
    this.act.open(beside);
    this.items.delete(image.name);
    this.arrange();
  }

  export() {
    $("export-only").value = $("only").value;
    this.link();
    $("export-all").showModal();
  }

  link() {
    const asked = new URLSearchParams({ layout: $("export-layout").value, only: $("export-only").value });
    $("export-link").href = `api/export?${asked}`;
  }
}

const shown = (score) => (score < 0.01 ? "<0.01" : score.toFixed(2));
