"""One HTTP answer: the call, its connection, its refusals, and the events in it."""
