// The stage: the image, a map over it, and the labelled pixels; moved and scaled together.

const VOID = 255;
const LESS = 20; // of 255, by which the uncertainty has to grow to be shown as less certain
const stage = document.getElementById("stage");
const board = document.getElementById("board");
const photo = document.getElementById("photo");
const mapCanvas = document.getElementById("map");
const paintCanvas = document.getElementById("paint");
const over = document.getElementById("over");
const place = document.getElementById("place");

/** Colours as the 32 bits of a pixel: ABGR. */
const packed = ([red, green, blue], alpha = 255) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;

/** Dark violet over red to bright yellow, so that bright means unsure. */
const HEAT = Uint32Array.from({ length: 256 }, (_, i) => {
  const t = i / 255;
  return packed([Math.round(255 * Math.min(1, 1.6 * t)), Math.round(255 * t * t), Math.round(255 * Math.max(0, 0.35 * Math.sin(Math.PI * 1.3 * t)))]);
});

/** Draw a line with round ends. */
export function trace(context, [[x, y], ...others], width) {
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(x, y);
  if (!others.length) context.lineTo(x, y);
  for (const [x, y] of others) context.lineTo(x, y);
  context.stroke();
}

/** The labels of a map on a grid of another size. */
function fitted({ width, height, labels }, grid) {
  const made = new Uint8Array(grid.width * grid.height);
  for (let y = 0, i = 0; y < grid.height; y++) {
    const row = width * Math.floor(((y + 0.5) * height) / grid.height);
    for (let x = 0; x < grid.width; x++, i++) made[i] = labels[row + Math.floor(((x + 0.5) * width) / grid.width)];
  }
  return made;
}

export class Stage {
  constructor() {
    this.size = null; // of the image: {width, height}
    this.grid = null; // of the maps
    this.first = this.labels = this.painted = this.uncertainty = this.initially = null;
    this.view = "map";
    this.comparing = false;
    this.peeked = null; // another map, looked at for a moment
    this.scale = 1;
    this.left = this.top = 0;
    this.colours = [];
    new ResizeObserver(() => this.size && !this.touched && this.fit()).observe(stage);
  }

  /** Show another image, still without maps. */
  open(url, width, height) {
    this.size = { width, height };
    this.grid = this.first = this.labels = this.painted = this.uncertainty = this.initially = this.peeked = null;
    photo.hidden = true;
    photo.onload = () => { photo.hidden = false; };
    photo.src = url;
    board.style.width = `${width}px`;
    board.style.height = `${height}px`;
    for (const canvas of [mapCanvas, paintCanvas, over]) canvas.width = canvas.width; // clears it
    this.mark(null);
    this.fit();
  }

  /** Show planes of a message: {first, labels, painted, uncertainty}, and draw. */
  update(width, height, planes) {
    this.lay(width, height);
    Object.assign(this, planes);
    this.draw();
  }

  /** Lay out a grid of that size. */
  lay(width, height) {
    if (this.grid?.width === width && this.grid.height === height) return;
    this.grid = { width, height };
    for (const canvas of [mapCanvas, paintCanvas, over]) Object.assign(canvas, { width, height });
  }

  /** Outline the pixels of a mask, or show them for a moment in the colours of the map; nothing without one. */
  overlay(mask, flash = false) {
    if (!mask && !this.overlaid) return;
    this.overlaid = Boolean(mask);
    over.classList.remove("flash");
    const image = new ImageData(this.grid.width, this.grid.height);
    const pixels = new Uint32Array(image.data.buffer);
    const { width } = this.grid;
    mask?.forEach((inside, i) => {
      if (inside && (flash || !mask[i - 1] || !mask[i + 1] || !mask[i - width] || !mask[i + width])) pixels[i] = 0xffffffff;
    });
    over.getContext("2d").putImageData(image, 0, 0);
    void over.offsetWidth; // starts the animation again
    over.classList.toggle("flash", flash);
  }

  /** Pixels of the grid outside a line of some width in pixels of the image. */
  beyond(points, radius) {
    const { width, height } = this.grid;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.scale(width / this.size.width, height / this.size.height);
    trace(context, points, 2 * radius);
    const { data } = context.getImageData(0, 0, width, height);
    return Uint8Array.from({ length: width * height }, (_, i) => (data[4 * i + 3] ? 0 : 1));
  }

  palette(colours) {
    this.colours = colours;
    this.table = new Uint32Array(256);
    this.faint = new Uint32Array(256);
    colours.forEach((colour, index) => {
      this.table[index] = packed(colour);
      this.faint[index] = packed(colour.map((value) => Math.round(0.35 * value + 30)));
    });
    this.draw();
  }

  /** Look at a map of any size, or no longer. */
  peek(map) {
    this.peeked = map && this.grid && fitted(map, this.grid);
    this.draw();
  }

  /** A small map in colours, faint where it is as the one on the stage: what differs catches the eye. */
  sketch(map) {
    const now = fitted({ ...this.grid, labels: this.labels ?? this.first }, map);
    const image = new ImageData(map.width, map.height);
    const pixels = new Uint32Array(image.data.buffer);
    map.labels.forEach((label, i) => { pixels[i] = (label === now[i] ? this.faint : this.table)[label]; });
    return image;
  }

  /** The change that most pixels of a map see beside the one on the stage: [from, to, share]. */
  contrast(map) {
    const now = fitted({ ...this.grid, labels: this.labels ?? this.first }, map);
    const counts = new Map();
    map.labels.forEach((label, i) => label !== now[i] && counts.set(256 * now[i] + label, (counts.get(256 * now[i] + label) ?? 0) + 1));
    const [pair, count] = [...counts].reduce((most, one) => (one[1] > most[1] ? one : most), [0, 0]);
    return [pair >> 8, pair & 255, count / now.length];
  }

  get shown() {
    if (this.peeked) return "map";
    return this.comparing ? "first" : this.view;
  }

  draw() {
    if (!this.grid || !this.first) return;
    const image = new ImageData(this.grid.width, this.grid.height);
    const pixels = new Uint32Array(image.data.buffer);
    const labels = this.shown === "first" ? this.first : this.peeked ?? this.labels ?? this.first;
    if (this.shown === "uncertainty") {
      if (this.uncertainty) for (let i = 0; i < pixels.length; i++) pixels[i] = HEAT[this.uncertainty[i]];
    } else if (this.shown === "difference") {
      const veil = packed([225, 228, 233], 150);
      const less = packed([255, 150, 40], 210), { uncertainty: now, initially: then } = this;
      for (let i = 0; i < pixels.length; i++) {
        if (labels[i] !== this.first[i]) pixels[i] = this.table[labels[i]];
        else pixels[i] = then && now[i] > then[i] + LESS ? less : veil;
      }
    } else if (this.shown !== "image") {
      for (let i = 0; i < pixels.length; i++) pixels[i] = this.table[labels[i]];
    }
    mapCanvas.getContext("2d").putImageData(image, 0, 0);
    this.drawPaint();
  }

  /** Labelled pixels in full colour with a white rim; `draw` is called with the context to add unfinished marks. */
  drawPaint(draw = this.making) {
    this.making = draw;
    if (!this.grid) return;
    const { width, height } = this.grid;
    const context = paintCanvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (this.painted && this.shown !== "first") {
      const image = new ImageData(width, height);
      const pixels = new Uint32Array(image.data.buffer);
      const known = this.painted, white = packed([255, 255, 255]);
      const inside = !["difference", "image"].includes(this.shown);
      for (let i = 0; i < pixels.length; i++) {
        const own = known[i];
        if (own === VOID) continue;
        const x = i % width;
        const edge = (x > 0 && known[i - 1] === VOID) || (x < width - 1 && known[i + 1] === VOID) ||
          (i >= width && known[i - width] === VOID) || (i + width < known.length && known[i + width] === VOID);
        if (edge) pixels[i] = white;
        else if (inside) pixels[i] = this.table[own];
      }
      context.putImageData(image, 0, 0);
    }
    if (draw) {
      context.save();
      context.scale(width / this.size.width, height / this.size.height);
      draw(context);
      context.restore();
    }
  }

  /** A region to look at, or none. */
  mark(region) {
    place.hidden = !region;
    if (!region) return;
    for (const [side, value] of Object.entries({ left: region.column, top: region.row, width: region.width, height: region.height })) {
      place.style[side] = `${value}px`;
    }
    place.style.animation = "none";
    void place.offsetWidth; // starts the animation again
    place.style.animation = "";
    this.reveal(region);
  }

  /** Bring a region into the middle, large enough to paint in. */
  reveal({ column, row, width, height }) {
    const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height) / 3;
    this.touched = true;
    this.scale = Math.max(this.scale, Math.min(scale, 12));
    this.left = stage.clientWidth / 2 - (column + width / 2) * this.scale;
    this.top = stage.clientHeight / 2 - (row + height / 2) * this.scale;
    this.place();
  }

  /** Fit the image to the window. */
  fit() {
    const { clientWidth, clientHeight } = stage;
    this.touched = false;
    this.scale = this.fitted = Math.min(clientWidth / this.size.width, clientHeight / this.size.height) * 0.98;
    this.left = (clientWidth - this.scale * this.size.width) / 2;
    this.top = (clientHeight - this.scale * this.size.height) / 2;
    this.place();
  }

  /** Scale by a factor, the point under the pointer staying where it is. */
  zoom(factor, x, y) {
    const scale = Math.min(60, Math.max(this.fitted / 2, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.touched = true;
    this.place();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.touched = true;
    this.place();
  }

  place() {
    board.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.scale})`;
    board.style.setProperty("--rim", `${2 / this.scale}px`);
    board.classList.toggle("close", this.scale > 3);
  }

  blend(share) {
    mapCanvas.style.opacity = String(share);
    paintCanvas.style.opacity = String(0.3 + 0.7 * share); // never gone altogether
  }

  /** From the pointer's place in the stage to pixels of the image. */
  toImage(x, y) { return [(x - this.left) / this.scale, (y - this.top) / this.scale]; }

  /** The classes at a pixel of the image: {first, label, painted}; null outside. */
  at(x, y) {
    if (!this.grid || !this.first || x < 0 || y < 0 || x >= this.size.width || y >= this.size.height) return null;
    const column = Math.floor((x * this.grid.width) / this.size.width);
    const row = Math.floor((y * this.grid.height) / this.size.height);
    const i = row * this.grid.width + column;
    return { first: this.first[i], label: (this.labels ?? this.first)[i], painted: this.painted ? this.painted[i] : VOID };
  }
}

export { VOID };
