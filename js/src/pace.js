/**
 * When to paint next, how much at once, and when to say so to the kernel. Pure: time and facts come in as arguments.
 * (How often pages come is the kernel's decision, from the acks; it also has the words for why: src/nbstream/pace.py.)
 */

/** A paint may take a fifth of the page's time, nobody reads faster than this, and nobody wants to wait longer. */
const INTERVAL_MS = 80;
const LONGEST_MS = 1_000;
const SHARE = 5;
/** A tab that nobody sees paints seldom: its timers run about once a second, and it is brought up to date when seen. */
const HIDDEN_MS = 250;
/** 32 KB of Markdown stay below one long task (50 ms) on a slow laptop; a slower page halves it, down to 2 KB. */
const MOST_UNITS = 32_768;
const LEAST_UNITS = 2_048;
const SLOW_PAINT_MS = 40;
/** A device with so little memory (GB) begins with smaller pieces; a fast one grows them within three paints. */
const SMALL_GB = 2;
const SMALL_UNITS = 8_192;
/** Acks travel on the same socket as the text: at most four a second, unless the kernel holds text back for them. */
const ACK_INTERVAL_MS = 250;
/** An ack costs 1.9 kB with what the kernel says about it; while less than this was painted since, one in two seconds does. */
const ACK_UNITS = 16_384;
const SLOW_ACK_INTERVAL_MS = 2_000;
/** A live page. Two of them the kernel sends ahead, and then waits. */
const PAGE_UNITS = 65_536;

export class PaintPace {
  #painted = false;
  #startedAt = -Infinity;
  #tookMs = 0;
  #units = MOST_UNITS;
  /** milliseconds per unit of the last slow paint */
  #cost = Infinity;

  /** @param {import("./device.js").Facts} [device] */
  constructor({ memory = Infinity } = {}) {
    if (memory <= SMALL_GB) this.#units = SMALL_UNITS;
  }

  /** UTF-16 units to write in the next paint. */
  get units() {
    return this.#units;
  }

  /** Duration of the last paint, layout included. */
  get tookMs() {
    return this.#tookMs;
  }

  /**
   * How long to wait before the next paint; 0 means the next frame.
   * @param {number} now
   * @param {number} waiting UTF-16 units that wait to be painted
   * @param {import("./device.js").Facts} [device]
   */
  waitMs(now, waiting, { hidden = false } = {}) {
    const least = hidden ? HIDDEN_MS : 0; // no frames come there: a timer
    // The first text at once; the rest of a big write frame by frame, it was split only to keep the page alive.
    if (!this.#painted || waiting > this.#units / 2) return least;
    const interval = Math.min(LONGEST_MS, Math.max(INTERVAL_MS, SHARE * this.#tookMs));
    return Math.max(least, this.#startedAt + interval - now);
  }

  /**
   * @param {number} startedAt
   * @param {number} endedAt
   * @param {number} written UTF-16 units
   */
  paint(startedAt, endedAt, written) {
    this.#painted = true;
    this.#startedAt = startedAt;
    this.#tookMs = endedAt - startedAt;
    const cost = this.#tookMs / Math.max(1, written);
    // Where smaller pieces cost more a unit, the time is a fixed price a paint (one huge paragraph): pay it less often.
    const halve = this.#tookMs > SLOW_PAINT_MS && cost < 1.5 * this.#cost;
    this.#cost = this.#tookMs > SLOW_PAINT_MS ? cost : Infinity;
    this.#units = Math.min(MOST_UNITS, Math.max(LEAST_UNITS, halve ? this.#units / 2 : this.#units * 2));
  }
}

export class AckPace {
  #sentAt = -Infinity;
  #sent = -1;
  #due = -1;
  #units = 0;

  /**
   * @param {number} offset painted up to here; an offset painted before is due again, its ack may have been lost
   * @param {number} [units] UTF-16 units painted with it
   */
  painted(offset, units = 0) {
    this.#units += units;
    this.#due = Math.max(this.#due, offset);
    if (offset <= this.#sent) this.#sent = offset - 1;
  }

  /**
   * The wait before the next ack, or null when none is due.
   * @param {number} now
   * @param {boolean} behind the log goes on behind what is painted
   * @returns {number | null}
   */
  waitMs(now, behind) {
    if (this.#due <= this.#sent) return null;
    const interval = this.#units >= ACK_UNITS ? ACK_INTERVAL_MS : SLOW_ACK_INTERVAL_MS;
    return behind || this.#units >= PAGE_UNITS ? 0 : Math.max(0, this.#sentAt + interval - now);
  }

  /**
   * Take the offset to acknowledge now.
   * @param {number} now
   */
  take(now) {
    this.#sentAt = now;
    this.#sent = this.#due;
    this.#units = 0;
    return this.#due;
  }
}
