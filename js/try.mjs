import spec from "commonmark-spec";
import assert from "node:assert/strict";
import { bundled, normal, Sheet } from "./testing/page.js";
const { Markdown } = await bundled("src/markdown/markdown.js");
const tests = spec.tests ?? spec;
let bad=0,n=0;
for (const t of tests) {


  n++;
  const s = new Sheet(); const m = new Markdown(s); m.write(t.markdown.replace(/→/g,"\t")); m.end();
  const e=document.createElement("div"); e.innerHTML=t.html.replace(/→/g,"\t");
  for (const l of e.querySelectorAll("ul,ol")) if ([...l.children].some(li=>[...li.children].some(c=>c.tagName==="P"))) l.classList.add("nbstream-loose");
  const a=JSON.stringify(normal(s.nodes)), b=JSON.stringify(normal(e.childNodes));
  if (a!==b) { bad++; console.log(t.number??t.example, t.section, JSON.stringify(t.markdown),"\n  GOT ",a,"\n  WANT",b); }
}
console.log(n,bad);
