/** What happened to a stream, with its looks: code of its own, see parts.js. */

import { Drawings } from "./drawings.js";
import { dress } from "./dress.js";
import css from "./pictures.css";

export class Pictures extends Drawings {
  /**
   * @override
   * @param {boolean} open
   */
  draw(open) {
    dress(this.el, css);
    super.draw(open);
  }
}
