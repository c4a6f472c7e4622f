/**
 * All bodies of a message. An agent with thousands of tool calls has thousands of short ones, and every paint asks which
 * of them are near the reader: so 64 neighbours are asked as one, and only those that are near, or still have something on
 * the page, are looked at one by one.
 */

/** @typedef {import("./body.js").Body} Body */
/** @typedef {{middle: number, near: (rect: {top: number, bottom: number, height: number}, times: number) => boolean}} View */

const MOST = 64;

/** Bodies of one agent that came one behind the other. */
class Neighbours {
  /** @type {Body[]} */
  all = [];
  /** With something on the page. @type {Set<Body>} */
  shown = new Set();

  /** From the top of the first that stands on the page to the bottom of the last, or null. */
  get rect() {
    const first = firstRect(this.all);
    const last = first && firstRect([...this.all].reverse());
    if (!first || !last) return null;
    const [top, bottom] = [Math.min(first.top, last.top), Math.max(first.bottom, last.bottom)];
    return { top, bottom, height: bottom - top };
  }
}

export class Bodies {
  /** Code points of all. */
  points = 0;
  /** @type {Neighbours[]} */
  #all = [];
  /** @type {Map<string, Neighbours>} the last of each agent */
  #last = new Map();
  /** @type {WeakMap<Body, Neighbours>} */
  #of = new WeakMap();

  /** @param {Body} body */
  add(body) {
    let last = this.#last.get(body.agent);
    if (!last || last.all.length >= MOST) {
      last = new Neighbours();
      this.#last.set(body.agent, last);
      this.#all.push(last);
    }
    last.all.push(body);
    last.shown.add(body);
    this.#of.set(body, last);
  }

  /**
   * Whether a body has something on the page.
   * @param {Body} body
   * @param {boolean} shown
   */
  show(body, shown) {
    const neighbours = this.#of.get(body);
    if (shown) neighbours?.shown.add(body);
    else neighbours?.shown.delete(body);
  }

  /** Whether nothing of its agent came behind it. @param {Body} body */
  isNewest(body) {
    return this.#last.get(body.agent)?.all.at(-1) === body;
  }

  /** Drop those that were taken back whole. @param {(body: Body) => boolean} stays */
  keep(stays) {
    for (const neighbours of this.#all) {
      neighbours.all = neighbours.all.filter(stays);
      for (const body of neighbours.shown) if (!stays(body)) neighbours.shown.delete(body);
    }
  }

  *[Symbol.iterator]() {
    for (const { all } of this.#all) yield* all;
  }

  /** Those with something on the page. */
  *shown() {
    for (const { shown } of this.#all) yield* shown;
  }

  /**
   * Those near the reader, by their neighbours.
   * @param {View} view
   */
  *near(view) {
    for (const neighbours of this.#all) if (isNear(neighbours, view)) yield* neighbours.all;
  }

  /**
   * Those where something may have to go or to come.
   * @param {View | null} view
   */
  *worthALook(view) {
    for (const neighbours of this.#all) yield* view && isNear(neighbours, view) ? neighbours.all : neighbours.shown;
  }
}

/**
 * @param {Neighbours} neighbours
 * @param {View} view
 */
function isNear(neighbours, view) {
  const { rect } = neighbours;
  return rect !== null && view.near(rect, 1);
}

/** @param {Body[]} bodies */
function firstRect(bodies) {
  for (const { el } of bodies) {
    const rect = el.getBoundingClientRect();
    if (rect.height > 0) return rect;
  }
  return null;
}
