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
