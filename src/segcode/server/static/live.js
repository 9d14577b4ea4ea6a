// The connection to the server: maps come in, marks go out, and a mark is dropped here only once it is saved there.

/** The address of a part of an image; beside the page's own, which a proxy may have put below another path. */
export const url = (name, rest) => `api/images/${name.split("/").map(encodeURIComponent).join("/")}/${rest}`;

/** Whoever is at this page; the journal keeps the name with what they do. */
export const person = {
  get name() {
    try { this.known ??= localStorage.getItem("segcode:person"); } catch { /* it is asked for again */ }
    return this.known ?? "";
  },
  set name(name) {
    this.known = name;
    try { localStorage.setItem("segcode:person", name); } catch { /* known as long as the tab is open */ }
  },
};

/** The address of a change of an image by whoever is here. */
export const signed = (name, rest, more = {}) => `${url(name, rest)}?${new URLSearchParams({ ...more, by: person.name })}`;

/** A binary frame: the length of a JSON header, the header, and planes of bytes as one zlib stream. */
async function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const packed = new Blob([new Uint8Array(buffer, 4 + length)]);
  const bytes = new Uint8Array(await new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
  const size = header.width * header.height;
  header.planes = Array.from({ length: header.planes }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
  return header;
}

/** Marks of an image, kept where a closed tab does not take them along. */
class Kept {
  constructor(kind, work, name) {
    this.name = name;
    this.key = `segcode:${kind}:${work}:${name}`; // other folders of work may have images of that name
    this.spare = []; // where the browser keeps nothing
  }

  get marks() {
    if (this.refused) return this.spare;
    try { return JSON.parse(localStorage.getItem(this.key) ?? "[]"); } catch { return this.spare; }
  }

  set marks(marks) {
    this.spare = marks;
    this.refused = false;
    try {
      if (marks.length) localStorage.setItem(this.key, JSON.stringify(marks));
      else localStorage.removeItem(this.key);
    } catch { this.refused = true; } // kept in `spare` as long as the tab is open
  }
}

/** The polygon of an image that is not closed yet. */
export const unfinished = (work, name) => new Kept("unfinished", work, name);

/** Marks of an image that the server has not confirmed. */
class Unsaved extends Kept {
  constructor(work, name) { super("unsaved", work, name); }

  add(mark) { this.marks = [...this.marks.filter((m) => m.id !== mark.id), mark]; }
  remove(id) { this.marks = this.marks.filter((m) => m.id !== id); }
}

/**
 * Send marks on images that are not open, made while the server was away; a mark sent twice is kept once.
 * `on` is called with the answer for each image: its document, or {type: "problem"}. False if the server was gone
 * or its disk was full, so that it is worth trying again.
 */
export async function deliver(work, open, on) {
  let keys = [];
  try { keys = Object.keys(localStorage); } catch { /* the browser keeps nothing */ }
  const prefix = new Unsaved(work, "").key;
  for (const key of keys.filter((one) => one.startsWith(prefix) && one !== prefix + open)) {
    const unsaved = new Unsaved(work, key.slice(prefix.length));
    for (const mark of unsaved.marks) {
      const answer = await fetch(signed(unsaved.name, "marks", { work }), {
        method: "POST", body: JSON.stringify(mark), headers: { "Content-Type": "application/json" },
      }).catch(() => null);
      if (answer?.ok) {
        unsaved.remove(mark.id);
        on({ ...await answer.json(), type: "document" });
      } else if (!answer || answer.status >= 500) {
        return false;
      } else if (answer.status === 422) { // it never can be saved
        unsaved.remove(mark.id);
        on({ type: "problem", message: `A stroke on ${unsaved.name} was refused.` });
      } else { // the image is not there now, or is another
        on({ type: "problem", message: `Strokes on ${unsaved.name} are kept here: ${(await answer.json()).detail}` });
        break;
      }
    }
  }
  return true;
}

/** One image's live connection; `on` is called with every message, and with {type: "up" | "down"}. */
export class Live {
  constructor(work, name, on) {
    this.work = work;
    this.name = name;
    this.on = on;
    this.unsaved = new Unsaved(work, name);
    this.wait = 300;
    this.closed = false;
    this.order = Promise.resolve();
    this.connect();
  }

  connect() {
    const address = new URL(signed(this.name, "live", { work: this.work }), document.baseURI).href;
    this.socket = new WebSocket(address.replace(/^http/, "ws"));
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.wait = 300;
      this.on({ type: "up" });
      this.resend();
    };
    this.socket.onmessage = ({ data }) => { // unpacking takes its time, and messages stay in order
      this.order = this.order.then(async () => this.receive(typeof data === "string" ? JSON.parse(data) : await unpack(data)));
    };
    this.socket.onclose = ({ code }) => {
      if (this.closed) return;
      if (code === 4404) { // it has said why, and will say the same again
        this.order = this.order.then(() => { // after what it said
          if (!this.closed) this.on({ type: "closed" });
          this.closed = true;
        });
        return;
      }
      this.on({ type: "down" });
      setTimeout(() => this.closed || this.connect(), this.wait);
      this.wait = Math.min(3000, this.wait * 1.6);
    };
  }

  receive(message) {
    if (this.closed) return;
    if (message.type === "saved") this.unsaved.remove(message.mark);
    if (message.type === "problem" && message.mark) this.unsaved.remove(message.mark); // it never can be saved
    if (message.type === "unsaved") {
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.resend(), 3000);
    }
    this.on(message);
  }

  resend() { for (const mark of this.unsaved.marks) this.send({ type: "add", mark }); }

  /** Whether there is a connection. */
  get up() { return this.socket.readyState === WebSocket.OPEN; }

  /** False if there is no connection. */
  send(message) {
    if (!this.up) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** The same, but what is asked while a connection is being made waits for it. */
  ask(message) {
    if (this.socket.readyState !== WebSocket.CONNECTING) return this.send(message);
    this.socket.addEventListener("open", () => this.send(message));
    return true;
  }

  /** Keep a mark: here until the server has it. */
  add(mark) {
    this.unsaved.add(mark);
    this.send({ type: "add", mark });
  }

  /** Connect again, under the name of whoever is here now. */
  rename() {
    if (this.closed) return;
    this.socket.onclose = null;
    this.socket.close();
    this.connect();
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    this.socket.close();
  }
}
