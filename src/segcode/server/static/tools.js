// From the pointer to marks: brush, line, polygon, fill, erase; and moving and scaling with any tool.

import { trace } from "./stage.js";

const stageElement = document.getElementById("stage");
const cursor = document.getElementById("cursor");
const REACH = 3; // how far a stroke reaches that changes the map near it alone, by the brush's radius
const CLOSE = 12; // screen pixels around a polygon's first corner that close it
const KEYS = -1; // the pointer that keys move

export const identity = () => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
const rounded = ([x, y]) => [Math.round(10 * x) / 10, Math.round(10 * y) / 10];

export class Tools {
  /**
   * @param stage the stage that marks are drawn on
   * @param act {draft(mark), add(mark), keep(mark), fill(id, x, y, label), hover(x, y), pick(x, y), classless(), ready()}: called with marks
   */
  constructor(stage, act) {
    this.stage = stage;
    this.act = act;
    this.tool = "brush";
    this.label = -1; // none is chosen
    this.limited = false; // a stroke changes the map near it alone
    this.radius = 5;
    this.mark = null; // unfinished
    this.pointers = new Map();
    this.pens = new Set(); // those of the pointers that are pens
    this.pen = false; // whether there ever was one: a hand that rests beside it draws nothing
    this.moving = false;
    this.space = false;
    const listen = (name, call) => stageElement.addEventListener(name, call);
    listen("pointerdown", (event) => this.down(event));
    listen("pointermove", (event) => { this.keys = this.pointers.has(KEYS); if (!this.keys) this.move(event); });
    listen("pointerup", (event) => this.up(event));
    listen("pointercancel", (event) => this.up(event));
    listen("blur", () => stageElement.classList.remove("pointed"));
    listen("pointerleave", () => { cursor.hidden = true; this.act.hover(-1, -1); });
    listen("dblclick", () => this.mark?.kind === "polygon" && this.finish());
    listen("contextmenu", (event) => event.preventDefault());
    stageElement.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    addEventListener("pagehide", () => this.mark && this.mark.kind === "brush" && this.finish());
  }

  choose(tool) {
    this.finish();
    this.tool = tool;
    stageElement.dataset.tool = tool;
    cursor.hidden = true;
  }

  where(event) {
    const box = stageElement.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (!this.act.ready()) return;
    stageElement.focus({ preventScroll: true });
    stageElement.classList.toggle("pointed", event.pointerId !== KEYS); // whoever points sees where
    try { stageElement.setPointerCapture(event.pointerId); } catch { /* a pointer that a test makes up */ }
    const [x, y] = this.where(event);
    const eraser = event.pointerType === "pen" && event.button === 5; // its other end
    if (event.pointerType === "pen") {
      this.pen = true;
      for (const id of this.pointers.keys()) if (!this.pens.has(id)) this.lift(id);
      this.pens.add(event.pointerId);
    } else if (event.pointerType === "touch" && this.pens.size) {
      return;
    }
    this.pointers.set(event.pointerId, [x, y]);
    const drags = event.button !== 0 && !eraser;
    const hand = event.pointerType === "touch" && this.pen;
    if (this.pointers.size > 1 || drags || this.space || (this.tool === "pan" && !eraser)) {
      if (this.mark?.kind === "brush") this.cancel(); // two fingers move the image
      this.moving = true;
      stageElement.classList.add("panning");
      return;
    }
    if (hand) return; // a second finger moves the image
    const point = rounded(this.stage.toImage(x, y));
    const label = this.tool === "erase" || eraser ? null : this.label;
    if (event.altKey) { this.act.pick(...this.stage.toImage(x, y)); return; }
    if (label === -1 && !(this.tool === "fill" && event.shiftKey)) { this.act.classless(); return; }
    if (eraser && this.mark) return; // the corners of a polygon are taken back by undo
    if (this.tool === "fill" && !eraser) {
      this.act.fill(identity(), ...this.stage.toImage(x, y), event.shiftKey ? null : this.label);
    } else if (this.tool === "polygon" && !eraser) {
      this.corner(point, x, y);
    } else {
      const points = this.tool === "line" ? [point, point] : [point];
      this.mark = this.stroke(label, points);
      this.changed();
    }
  }

  /** A brush mark; erasing always counts for the whole map. */
  stroke(label, points) {
    const reach = this.limited && label !== null ? REACH * this.radius : null;
    return { kind: "brush", extent: "part", id: identity(), label, radius: this.radius, reach, points };
  }

  /** Another corner of the polygon, or its end where the first one is. */
  corner(point, x, y) {
    if (!this.mark) {
      this.mark = { kind: "polygon", extent: "outline", id: identity(), label: this.label, points: [point] };
    } else {
      const [firstX, firstY] = this.mark.points[0];
      const near = Math.hypot(firstX * this.stage.scale + this.stage.left - x, firstY * this.stage.scale + this.stage.top - y) < CLOSE;
      if (near && this.mark.points.length > 2) { this.finish(); return; }
      this.mark = { ...this.mark, points: [...this.mark.points, point] };
    }
    this.changed();
  }

  move(event) {
    if (event.pointerType === "touch" && !this.pointers.has(event.pointerId)) return;
    const [x, y] = this.where(event);
    this.hover(x, y);
    if (this.moving && this.pointers.has(event.pointerId)) {
      this.drag(event.pointerId, x, y);
      return;
    }
    if (this.mark?.kind === "polygon") this.sketch();
    if (this.mark?.kind !== "brush" || !this.pointers.has(event.pointerId)) return;
    const points = (event.getCoalescedEvents?.() ?? []).concat(event).map((e) => rounded(this.stage.toImage(...this.where(e))));
    if (this.tool === "line") {
      this.mark = { ...this.mark, points: [this.mark.points[0], points.at(-1)] };
    } else {
      const all = [...this.mark.points];
      for (const point of points) {
        const last = all.at(-1);
        if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= Math.min(1, this.radius / 4) && all.length < 20000) all.push(point);
      }
      if (all.length === this.mark.points.length) return;
      this.mark = { ...this.mark, points: all };
    }
    this.changed();
  }

  /** One pointer moves the image; two scale it, too. */
  drag(id, x, y) {
    const [oldX, oldY] = this.pointers.get(id);
    const other = [...this.pointers].find(([key]) => key !== id)?.[1];
    this.pointers.set(id, [x, y]);
    if (other) {
      const before = Math.hypot(oldX - other[0], oldY - other[1]);
      const after = Math.hypot(x - other[0], y - other[1]);
      this.stage.pan((x - oldX) / 2, (y - oldY) / 2);
      if (before > 0) this.stage.zoom(after / before, (x + other[0]) / 2, (y + other[1]) / 2);
    } else {
      this.stage.pan(x - oldX, y - oldY);
    }
  }

  up(event) {
    if (!this.pointers.has(event.pointerId) || this.lift(event.pointerId)) return;
    if (this.mark?.kind === "brush") {
      if (event.type === "pointercancel") this.cancel();
      else this.finish();
    }
  }

  /** A pointer is gone; whether it moved the image. */
  lift(id) {
    this.pointers.delete(id);
    this.pens.delete(id);
    const moved = this.moving;
    this.moving &&= this.pointers.size > 0;
    if (!this.moving) stageElement.classList.remove("panning");
    return moved;
  }

  /** Move the pointer by keys, in screen pixels; a stroke that was begun goes on. */
  steer(dx, dy) {
    const { width, height } = stageElement.getBoundingClientRect();
    const [x, y] = this.keys ? this.pointer : this.middle;
    this.keys = true;
    stageElement.classList.remove("pointed");
    this.pointer = [Math.min(width - 1, Math.max(0, x + dx)), Math.min(height - 1, Math.max(0, y + dy))];
    if (this.stage.touched) this.stage.pan(this.pointer[0] - x - dx, this.pointer[1] - y - dy); // beyond the edge
    this.move(this.typed());
  }

  get middle() { return [stageElement.clientWidth / 2, stageElement.clientHeight / 2]; }

  /** The image has moved under the pointer. */
  moved() { if (this.pointer) this.hover(...this.pointer); }

  /** A pointer that keys move goes to the middle. */
  centre() { if (this.keys) this.hover(...this.middle); }

  /** Begin or end a stroke at the pointer that keys move; fill, or another corner. */
  press() {
    const begun = this.pointers.has(KEYS);
    if (!begun) this.down(this.typed());
    if (begun || this.mark?.kind !== "brush") this.up(this.typed("pointerup"));
  }

  typed(type = "pointermove") {
    const box = stageElement.getBoundingClientRect();
    const [x, y] = this.pointer;
    return { type, pointerType: "keys", pointerId: KEYS, button: 0, clientX: box.left + x, clientY: box.top + y };
  }

  wheel(event) {
    event.preventDefault();
    const [x, y] = this.where(event);
    const turn = event.deltaY || event.deltaX; // with Shift some browsers turn it
    if (event.shiftKey) this.act.resize(this.radius * (turn < 0 ? 1.15 : 1 / 1.15));
    else this.stage.zoom(Math.exp(-turn * (event.ctrlKey ? 0.01 : 0.0015)), x, y);
    this.hover(x, y);
  }

  hover(x, y) {
    this.pointer = [x, y];
    const brush = ["brush", "line", "erase"].includes(this.tool);
    cursor.hidden = !(brush || this.keys) || !this.act.ready();
    const across = `${brush ? 2 * this.radius * this.stage.scale : 9}px`;
    Object.assign(cursor.style, { left: `${x}px`, top: `${y}px`, width: across, height: across });
    cursor.classList.toggle("wide", brush && this.limited && this.tool !== "erase");
    cursor.style.setProperty("--reach", `${REACH * this.radius * this.stage.scale}px`);
    this.act.hover(...this.stage.toImage(x, y));
  }

  /** Close a polygon, or end a stroke. */
  finish() {
    const mark = this.mark;
    this.mark = null;
    if (mark?.kind === "polygon") this.act.keep(null);
    if (mark && (mark.kind !== "polygon" || mark.points.length > 2) && this.touches(mark)) this.act.add(mark);
    else if (mark) this.act.draft(null);
    this.sketch();
  }

  /** End a stroke; a polygon is gone on with when the image is opened again. */
  leave() {
    if (this.mark?.kind === "polygon") this.mark = null;
    this.finish();
  }

  /** Go on with a polygon that was left. */
  resume(polygon) {
    this.pointer ??= [0, 0];
    this.mark = { ...polygon, id: identity() }; // another tab may go on with it, too
    this.changed();
  }

  /** Whether a mark may reach into the image. */
  touches({ points, radius = 0 }) {
    const { width, height } = this.stage.size;
    const [left, right] = [Math.min, Math.max].map((end) => points.reduce((x, point) => end(x, point[0]), points[0][0]));
    const [top, bottom] = [Math.min, Math.max].map((end) => points.reduce((y, point) => end(y, point[1]), points[0][1]));
    return right + radius > 0 && left - radius < width && bottom + radius > 0 && top - radius < height;
  }

  /** Take the last corner of a polygon back; a stroke goes entirely. */
  back() {
    if (this.mark.kind !== "polygon" || this.mark.points.length < 2) { this.cancel(); return; }
    this.mark = { ...this.mark, points: this.mark.points.slice(0, -1) };
    if (this.mark.points.length < 3) this.act.draft(null);
    this.changed();
  }

  cancel() {
    if (!this.mark) return;
    if (this.mark.kind === "polygon") this.act.keep(null);
    this.mark = null;
    this.act.draft(null);
    this.sketch();
  }

  /** Draw marks that the server does not have yet: those not confirmed, and the unfinished one. */
  sketch() {
    this.stage.drawPaint((context) => {
      for (const mark of [...this.act.unsent(), this.mark]) if (mark?.points) sketch(context, mark, this.stage);
      if (this.mark?.kind === "polygon") thread(context, this.mark.points.at(-1), this.stage.toImage(...this.pointer), this.stage);
    });
  }

  changed() {
    const mark = this.mark;
    if (mark.kind === "polygon") this.act.keep(mark);
    this.sketch();
    if (mark.kind !== "polygon" || mark.points.length > 2) this.act.draft(mark);
  }
}

/** Draw an unfinished mark, in pixels of the image. */
function sketch(context, mark, stage) {
  const [red, green, blue] = mark.label === null ? [40, 40, 40] : stage.colours[mark.label];
  context.strokeStyle = context.fillStyle = `rgb(${red} ${green} ${blue})`;
  trace(context, mark.points, mark.kind === "brush" ? 2 * mark.radius : 2 / stage.scale);
  if (mark.kind === "polygon") {
    for (const [x, y] of mark.points) context.fillRect(x - 3 / stage.scale, y - 3 / stage.scale, 6 / stage.scale, 6 / stage.scale);
    context.globalAlpha = 0.5;
    context.fill();
    context.globalAlpha = 1;
  }
}

/** From the last corner of a polygon to the pointer, in pixels of the image. */
function thread(context, [x, y], [toX, toY], stage) {
  context.lineWidth = 1 / stage.scale;
  context.strokeStyle = "#fff";
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(toX, toY);
  context.stroke();
}
