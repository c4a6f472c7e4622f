/** A DOM for tests, as globals: what the page's modules find in a browser. */

import { JSDOM } from "jsdom";

export const { window } = new JSDOM("<!doctype html><body>");
for (const name of ["document", "DOMParser", "Element", "Node", "Text"]) globalThis[name] = window[name];
