/** The picture of all ports: 256 rows of 256, each in the colour of the rule that owns it. */
import { fillRows, make, setText } from "./dom.js";
import { colour, onTheme, paletteColour } from "./theme.js";

const SIDE = 256;
const PORTS = SIDE * SIDE;
/** Ranges with fewer ports get a halo, or nobody would see them. */
const SMALL = 1024;
const HALO = 2;
const RANGES_SHOWN = 1000;
const LEGEND_RULES = 8;

export class PortMap {
  #canvas;
  #tip;
  #input;
  #rules = [];
  #ranges = [];
  /** Index of the owning rule plus one; 0: none. Of several rules with other addresses, the last. */
  #owner = new Uint16Array(PORTS);
  /** The same with halos: what is drawn, and what the pointer finds. */
  #drawn = new Uint16Array(PORTS);
  /** The port a drawn pixel stands for. */
  #portOf = new Uint16Array(PORTS);

  constructor(canvas, tip, input, output) {
    this.#canvas = canvas;
    this.#tip = tip;
    this.#input = input;
    this.output = output;
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => tip.hidden = true);
    input.addEventListener("input", () => this.#answer());
    onTheme(() => this.#draw());
  }

  /** @param rules In the order of the configuration, ports as "7777,27015-27030". */
  show(rules) {
    this.#rules = rules;
    this.#owner.fill(0);
    const ranges = [];
    rules.forEach((rule, index) => {
      for (const part of rule.ports.split(",")) {
        const [first, last = first] = part.split("-").map(Number);
        this.#owner.fill(index + 1, first, last + 1);
        ranges.push({ first, last, rule });
      }
    });
    ranges.sort((left, right) => left.first - right.first);
    this.#ranges = ranges;
    this.#spread(ranges);
    this.#draw();
    this.#answer();
    return ranges;
  }

  #spread(ranges) {
    this.#drawn.set(this.#owner);
    for (let port = 0; port < PORTS; port++) this.#portOf[port] = port;
    for (const { first, last } of ranges) {
      if (last - first >= SMALL) continue;
      for (let port = first; port <= last; port++) {
        const [x, y] = [port % SIDE, Math.floor(port / SIDE)];
        for (let dy = -HALO; dy <= HALO; dy++) {
          for (let dx = -HALO; dx <= HALO; dx++) {
            if (x + dx < 0 || x + dx >= SIDE || y + dy < 0 || y + dy >= SIDE) continue;
            const near = port + dy * SIDE + dx;
            if (this.#owner[near] !== 0) continue;
            this.#drawn[near] = this.#owner[port];
            this.#portOf[near] = port;
          }
        }
      }
    }
  }

  #draw() {
    const context = this.#canvas.getContext("2d");
    const image = context.createImageData(SIDE, SIDE);
    const words = new Uint32Array(image.data.buffer);
    const colours = [colour("--empty"), ...this.#rules.map((_, index) => paletteColour(index))].map(pixel);
    for (let at = 0; at < PORTS; at++) words[at] = colours[this.#drawn[at]];
    context.putImageData(image, 0, 0);
  }

  #point({ offsetX, offsetY }) {
    const { clientWidth, clientHeight } = this.#canvas;
    const x = Math.min(SIDE - 1, Math.max(0, Math.floor(offsetX / clientWidth * SIDE)));
    const y = Math.min(SIDE - 1, Math.max(0, Math.floor(offsetY / clientHeight * SIDE)));
    setText(this.#tip, this.#sentence(this.#portOf[y * SIDE + x]));
    this.#tip.hidden = false;
    const left = this.#canvas.offsetLeft + Math.max(0, Math.min(offsetX + 12, clientWidth - this.#tip.offsetWidth));
    const top = offsetY + 18 + this.#tip.offsetHeight > clientHeight
      ? offsetY - this.#tip.offsetHeight - 8
      : offsetY + 18;
    this.#tip.style.left = `${left}px`;
    this.#tip.style.top = `${top}px`;
  }

  #answer() {
    const port = Number(this.#input.value);
    const valid = this.#input.value !== "" && Number.isInteger(port) && port > 0 && port < PORTS;
    setText(this.output, valid ? this.#sentence(port) : "");
  }

  #sentence(port) {
    if (this.#owner[port] === 0) return `Port ${port}: no rule, passes to the kernel`;
    const rules = this.#ranges.filter(({ first, last }) => first <= port && port <= last).map(({ rule }) => rule);
    return `Port ${port}: ${rules.map((rule) => `${rule.name}, ${describe(rule)}`).join("; ")}`;
  }
}

/** "worker 1, count", "to any address, spread by hash, echo", or no worker where none sees the packets. */
export function describe({ addresses, worker, action, ends }) {
  const to = addresses === "own" ? "" : `to ${addressesText(addresses)}, `;
  if (ends === "kernel") return `${to}${action} in the kernel`;
  return `${to}${worker === "hash" ? "spread by hash" : `worker ${worker}`}, ${action}`;
}

/** "any address", "192.0.2.10, 192.0.2.11" */
function addressesText(addresses) {
  return addresses === "any" ? "any address" : addresses.replaceAll(",", ", ");
}

/** "7777, 27015–27030", with the addresses where they are not the box's own. */
export function portsText({ ports, addresses }) {
  const text = ports.replaceAll(",", ", ").replaceAll("-", "–");
  return addresses === "own" ? text : `${text} to ${addressesText(addresses)}`;
}

export function workerText({ worker, ends }) {
  return ends === "kernel" ? "–" : `${worker}`;
}

export function fillRanges(body, note, ranges) {
  fillRows(
    body,
    ranges.slice(0, RANGES_SHOWN).map(({ first, last, rule }) => [
      { text: first === last ? `${first}` : `${first}–${last}`, className: "ports" },
      rule.addresses === "own" ? rule.name : `${rule.name} (to ${addressesText(rule.addresses)})`,
      workerText(rule),
      rule.action,
    ]),
  );
  const owned =
    new Set(ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at)))
      .size;
  const more = ranges.length > RANGES_SHOWN ? `; the table has the first ${RANGES_SHOWN} ranges` : "";
  setText(note, `${owned.toLocaleString("en-US")} of 65,535 ports have a rule${more}`);
}

export function fillMapLegend(list, rules) {
  list.replaceChildren(
    ...rules.slice(0, LEGEND_RULES).map((rule, index) => {
      const item = make("li");
      const swatch = make("span", "swatch");
      swatch.setAttribute("aria-hidden", "true");
      swatch.style.backgroundColor = paletteColour(index);
      item.append(
        swatch,
        make("span", "", rules.length > LEGEND_RULES ? rule.name : `${rule.name}: ${describe(rule)}`),
      );
      return item;
    }),
  );
  if (rules.length > LEGEND_RULES) list.append(make("li", "quiet", `and ${rules.length - LEGEND_RULES} more`));
}

/** "#rrggbb" as the word that canvas memory holds. */
function pixel(hex) {
  const value = parseInt(hex.slice(1), 16);
  const bytes = new Uint8ClampedArray([value >> 16, value >> 8 & 255, value & 255, 255]);
  return new Uint32Array(bytes.buffer)[0];
}
