import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Transport } from "../src/transport.js";

/** A kernel with a control channel; `replies` are the replies it owes. */
function joined(signal) {
  const sent = { control: [], comm: [] };
  const replies = [];
  const kernel = {
    sendControlMessage: ({ content }) => {
      sent.control.push(content.request);
      const future = { done: Promise.resolve(), dispose: () => {} };
      replies.push(() => future.onReply({ content: { status: "ok" } }));
      return future;
    },
  };
  const model = { get: () => "id", send: (request) => sent.comm.push(request), on: () => {}, widget_manager: { kernel } };
  return { transport: new Transport(model, signal), sent, replies };
}

test("what is not confirmed in a second goes by comm too, once", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { transport, sent, replies } = joined(new AbortController().signal);
  transport.ask({ type: "ask", n: 1 });
  transport.ask({ type: "ask", n: 2 });
  replies[0]();
  mock.timers.tick(3_000);
  assert.deepEqual([sent.control.map(({ n }) => n), sent.comm.map(({ n }) => n)], [[1, 2], [2]]);
  mock.timers.reset();
});

test("questions leave nothing behind: no listener at the view's signal, and no timer when it ends", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const owner = new AbortController();
  const { transport, sent } = joined(owner.signal);
  const listen = mock.method(owner.signal, "addEventListener");
  for (let n = 0; n < 100; n++) transport.ask({ type: "ask" });
  assert.equal(listen.mock.callCount(), 0);
  owner.abort();
  mock.timers.tick(3_000);
  assert.deepEqual(sent.comm, []);
  mock.timers.reset();
});

/** A kernel whose ends can be told; `links` is what a listener heard. */
function told() {
  const slots = {};
  const signal = (name) => ({ connect: (slot) => (slots[name] = slot), disconnect: () => {} });
  const kernel = Object.fromEntries(["statusChanged", "connectionStatusChanged", "disposed"].map((name) => [name, signal(name)]));
  const transport = new Transport({ get: () => "id", send: () => {}, on: () => {}, widget_manager: { kernel } }, new AbortController().signal);
  const links = [];
  transport.listen({ onLink: (link) => links.push(link) }, new AbortController().signal);
  const late = () => {
    const heard = [];
    transport.listen({ onLink: (link) => heard.push(link) }, new AbortController().signal);
    return heard;
  };
  return { say: (name, value) => slots[name]({}, value), links, late };
}

test("a kernel that is shut down is told from one that is restarted or died", () => {
  for (const [status, link] of [["restarting", "gone"], ["autorestarting", "gone"], ["dead", "shut"], ["terminating", "shut"]]) {
    const { say, links, late } = told();
    say("connectionStatusChanged", "connecting");
    say("statusChanged", status);
    say("disposed");
    assert.deepEqual([links, late()], [["cut", link], [link]], status);
  }
  const changed = told();
  changed.say("disposed");
  assert.deepEqual(changed.links, ["shut"], "the server shuts down what the notebook leaves");
});

test("restarts that failed are no shutdown", () => {
  const { say, links, late } = told();
  say("statusChanged", "autorestarting");
  say("statusChanged", "dead");
  assert.deepEqual([links, late()], [["gone"], ["gone"]]);
});
