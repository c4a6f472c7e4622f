"""The recorder: append before show, batching, retries, silence, end marks."""

import asyncio
import hashlib

import pytest
from recording import Recording, opening, run, until

from nbstream.errors import SourceLost, SourceMalformed, SourceRefused
from nbstream.log.memory import MemoryStore
from nbstream.log.readback import parts_of
from nbstream.recorder import Recorder
from nbstream.recorder.progress import Progress
from nbstream.records import Close, Delta, Open, Part, encode
from nbstream.sources.contract import Arrival, End
from nbstream.testing import PING, SILENCE, Gate, ScriptedSource

CUT = SourceLost("the connection was reset")
BUSY = SourceRefused("503", status=503, retryable=True)


def event(number, text):
    """A text event with an id."""
    return Arrival((Part("text", text),), {"id": str(number), "first": "1"}, event_id=str(number))


# -- what a recording is --------------------------------------------------------------------------------------------


def test_a_message_is_open_deltas_close():
    """A message is one open, its text, and a close that says how it ended."""

    async def main():
        end = Arrival(end=End("length", "max_tokens"), usage={"input": 3, "output": 2}, model="gpt-x")
        stream = Recording().start(ScriptedSource(["Hello ", Part("reasoning", "hm"), "world", end]))
        close = await stream
        stream.check()
        assert isinstance(stream.records[0], Open)
        assert stream.text == "Hello world"
        assert stream.text_of("reasoning") == "hm"
        assert (close.how, close.finish, close.raw_finish, close.chars) == ("complete", "length", "max_tokens", 13)
        assert (close.usage, close.model, close.error) == ({"input": 3, "output": 2}, "gpt-x", None)
        assert (stream.state, stream.live.connections) == ("complete", 0)
        assert stream.store.lock("s1") is not None, "the stream is free for the next writer"

    run(main())


def test_nothing_is_said_that_the_log_lacks():
    """Append before show: whatever the recorder says is there, a reader has already read."""
    seen = []

    class Watched(Recording):
        def look(self):
            log, progress = self.log, self.recorder.progress
            read = sum(len(part.text) for part in parts_of(log))
            seen.append((progress.tail, log.tail(), progress.chars, read))

    async def main():
        stream = Watched()
        stream.start(ScriptedSource(["x" * 1000] * 300 + [End()]), changed=stream.look)
        while not stream.task.done():
            stream.look()
            await asyncio.sleep(0)
        await stream

    run(main())
    assert len(seen) > 20
    assert all(told <= stored and chars <= read for told, stored, chars, read in seen)


def test_the_state_is_not_complete_before_the_log_says_so():
    """A state at rest is on show only once its close record is stored."""
    states = []

    async def main():
        stream = Recording()
        stream.start(
            ScriptedSource(["a", End()]), changed=lambda: states.append((str(stream.state), bool(stream.close)))
        )
        await stream

    run(main())
    assert ("complete", True) in states
    assert ("complete", False) not in states


def test_slow_tokens_are_a_record_each():
    """At reading speed every token is stored, and can be shown, on its own."""

    async def main():
        gates = [Gate() for _ in range(5)]
        steps = [step for number, gate in enumerate(gates) for step in (f"{number} ", gate)]
        stream = Recording().start(ScriptedSource([*steps, End()]))
        for number, gate in enumerate(gates):
            await gate.arrived()
            await until(lambda number=number: len(stream.deltas) == number + 1)
            gate.open()
        await stream
        assert [record.parts[0].text for record in stream.deltas] == ["0 ", "1 ", "2 ", "3 ", "4 "]

    run(main())


def test_a_flood_is_few_records():
    """What arrives while the last append runs becomes one record, up to 16 KiB."""

    async def main():
        stream = Recording().start(ScriptedSource(["abcdefg "] * 50_000 + [End()]))
        await stream
        stream.check()
        sizes = [len(encode(record)) for record in stream.deltas]
        assert stream.text == "abcdefg " * 50_000
        assert max(sizes) <= 16 * 1024
        assert len(sizes) <= 400_000 / 6000

    run(main())


def test_a_connection_without_an_end_mark_is_interrupted():
    """Complete means complete: a source that just ends is not."""

    async def main():
        stream = Recording().start(ScriptedSource(["some text"]))
        close = await stream
        assert (close.how, close.finish) == ("interrupted", "error")
        assert close.error["type"] == "SourceLost"
        assert stream.text == "some text"

    run(main())


def test_a_refusal_is_failed():
    """A plain no ends the stream at once, with the error in its close."""

    async def main():
        source = ScriptedSource([SourceRefused("401: no key", status=401)])
        stream = Recording().start(source)
        close = await stream
        assert (close.how, close.error["message"], len(source.connections)) == ("failed", "401: no key", 1)

    run(main())


def test_a_source_that_breaks_says_so():
    """A user's iterator may raise anything: the text is kept and the error is shown, not a stream that stands still."""

    async def main():
        stream = Recording().start(ScriptedSource(["a", ZeroDivisionError("of all things")]))
        close = await stream
        assert (close.how, stream.text) == ("failed", "a")
        assert "ZeroDivisionError: of all things" in close.error["message"]

    run(main())


# -- characters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["a\ud83d", "\ude42b"], "a🙂b"),
        (["\ud83d", "\ude42"], "🙂"),
        (["a\ud83d\ude42b"], "a🙂b"),
        (["\ud83d", "x"], "\ufffdx"),
        (["x\ude42"], "x\ufffd"),
        (["\ud83d", "\ud83d", "\ude42"], "\ufffd🙂"),
        (["\ud83d", "", "\ude42"], "🙂"),
    ],
)
def test_a_character_cut_in_two_becomes_whole(deltas, text):
    """Two surrogate deltas are one character; half a character is a replacement mark, never a crash."""

    async def main():
        stream = Recording().start(ScriptedSource([*deltas, End()]))
        close = await stream
        stream.check()
        assert (close.how, stream.text, close.chars) == ("complete", text, len(text))

    run(main())


def test_halves_of_two_agents_do_not_mix():
    """Each agent's half waits for its own other half."""

    async def main():
        parts = [Part("text", "\ud83d", "a"), Part("text", "\ud83d", "b"), Part("text", "\ude42", "b"),
                 Part("text", "\ude00", "a")]  # fmt: skip
        stream = Recording().start(ScriptedSource([*parts, End()]))
        await stream
        assert (stream.text_of("text", "a"), stream.text_of("text", "b")) == ("😀", "🙂")

    run(main())


def test_half_a_character_is_no_place_to_resume_at():
    """Cut between the halves, the event with the first half is asked for again: the character comes whole."""

    async def main():
        first = [event(1, "a"), event(2, "b\ud83d"), CUT]
        source = ScriptedSource(first, [event(2, "b\ud83d"), event(3, "\ude42c"), End()])
        stream = Recording().start(source)
        await until(lambda: stream.state == "retrying")
        await stream.after(0.2)
        await stream
        assert source.connections[1].cursor["id"] == "1"
        assert stream.text == "ab🙂c"

    run(main())


def test_halves_keep_the_offsets_true():
    """A frame that begins inside a character begins where the character does."""

    async def main():
        frames = [Arrival((Part("text", text),), start=start) for start, text in
                  [(0, "ab\ud83d"), (3, "\ude42c"), (4, "d")]]  # fmt: skip
        stream = Recording().start(ScriptedSource([*frames, End(length=5)]))
        close = await stream
        assert (close.how, stream.text) == ("complete", "ab🙂cd")

    run(main())


def test_halves_in_the_arguments_of_a_tool_are_joined():
    """A character that two deltas of arguments cut in two is whole again; a half that stays alone is marked."""

    def piece(text, index=0, **more):
        return Part("tool_call", fields={"index": index, "args_delta": text, **more})

    async def main():
        frames = [
            piece('{"a":"\ud83d', id="t", name="f"),
            piece("b\ud83d", 1),
            piece("\ude42"),
            piece('"}', final=True),
        ]
        stream = Recording().start(ScriptedSource([*frames, End()]))
        assert (await stream).how == "complete"
        told = {}
        for part in (part for delta in stream.deltas for part in delta.parts):
            index = part.fields["index"]
            told[index] = told.get(index, "") + part.fields["args_delta"]
        assert told == {0: '{"a":"🙂"}', 1: "b\ufffd"}

    run(main())


@pytest.mark.parametrize("last", [End("other", "why\ud83d"), SourceRefused("no \ud83d")])
def test_lone_surrogates_do_not_keep_an_end_from_the_log(last):
    """A model's name, a reason, an error with half a character in it: the stream ends as it ended."""

    async def main():
        stream = Recording().start(ScriptedSource([Arrival((Part("text", "a"),), model="m\ud83d"), last]))
        close = await stream
        assert close.how == ("complete" if isinstance(last, End) else "failed")
        assert (stream.text, close.model) == ("a", "m\ufffd")
        assert "\ufffd" in (close.raw_finish or close.error["message"])

    run(main())


def test_lone_surrogates_in_fields_do_not_break_the_log():
    """Tool arguments with half a character are stored with a replacement mark."""

    async def main():
        stream = Recording().start(ScriptedSource([Part("tool_call", fields={"args_delta": "\ud83d"}), End()]))
        assert (await stream).how == "complete"
        assert stream.deltas[0].parts[0].fields == {"args_delta": "\ufffd"}

    run(main())


# -- end marks that know the text -----------------------------------------------------------------------------------

TEXT = "Grüße, 🙂!"
SHA = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.mark.parametrize(
    ("end", "how", "word"),
    [
        (End(length=len(TEXT), sha256=SHA.upper()), "complete", None),
        (End(length=len(TEXT.encode()), sha256=SHA), "failed", "end mark says 14 characters, 9 have come"),
        (End(length=3), "failed", "end mark says 3 characters, 9 have come"),
        (End(sha256=SHA[::-1]), "failed", "sha256"),
    ],
)
@pytest.mark.parametrize("resumed", [False, True])
def test_length_and_hash_are_checked(end, how, word, resumed):
    """What an end mark says of the text is checked over all of it, also when another process recorded the beginning."""

    async def main():
        stream = Recording()
        if resumed:
            await stream.start(ScriptedSource([event(1, TEXT[:4]), SourceMalformed("cut")]))
            stream.resume(ScriptedSource([event(2, TEXT[4:]), end], [end]))
        else:
            stream.start(ScriptedSource([event(1, TEXT[:4]), event(2, TEXT[4:]), end], [end]))
        await until(lambda: stream.state not in {"streaming", "connecting"})
        await stream.after(0.2)
        close = await stream
        assert close.how == how
        assert word is None or word in close.error["message"]
        assert stream.text == TEXT

    run(main())


# -- retries --------------------------------------------------------------------------------------------------------


async def waits(stream):
    """Return how long a stream waits before each retry, letting the time pass."""
    found = []
    while not stream.task.done():
        await stream.clock.settle()
        if stream.live.retry_at is not None:
            wait = stream.live.retry_at - stream.clock.monotonic()
            found.append(round(wait, 6))
            await stream.after(wait)
        else:
            await asyncio.sleep(0)
    return found


def test_a_lost_connection_is_tried_three_times():
    """Nothing shown yet: the call is sent again after 0.2, 0.6, 1.6 s, then the stream is interrupted."""

    async def main():
        source = ScriptedSource([CUT], [CUT], [CUT], [CUT])
        stream = Recording().start(source)
        assert await waits(stream) == [0.2, 0.6, 1.6]
        assert (stream.close.how, len(source.connections), stream.live.retries) == ("interrupted", 4, 3)
        assert "(3 retries)" in stream.close.error["message"]

    run(main())


def test_progress_resets_the_count():
    """A connection that brought something new starts the waits from the beginning."""

    async def main():
        scripts = [[CUT], [CUT], [event(1, "a"), CUT], [CUT], [event(2, "b"), End()]]
        source = ScriptedSource(*scripts)
        stream = Recording().start(source)
        assert await waits(stream) == [0.2, 0.6, 0.2, 0.6]
        assert (stream.close.how, stream.text) == ("complete", "ab")
        assert [one.cursor and one.cursor["id"] for one in source.connections] == [None, None, None, "1", "1"]

    run(main())


def test_the_same_text_again_is_no_progress():
    """A server that repeats what is shown and cuts again does not get tries for ever."""

    async def main():
        source = ScriptedSource(*[["Hello", CUT]] * 9, replayable=True)
        stream = Recording().start(source)
        assert await waits(stream) == [0.2, 0.6, 1.6]
        assert (stream.close.how, stream.text, len(source.connections)) == ("interrupted", "Hello", 4)

    run(main())


@pytest.mark.parametrize(
    ("asked", "waited"), [(7.0, [7.0]), (0.0, []), (120.0, [120.0])], ids=["seven", "at once", "two minutes"]
)
def test_retry_after_is_kept(asked, waited):
    """The wait a server asks for replaces ours, and the countdown is known."""

    async def main():
        no = SourceRefused("429", status=429, retryable=True, retry_after_s=asked)
        stream = Recording().start(ScriptedSource([no], ["a", End()]))
        assert [wait for wait in await waits(stream) if wait] == waited
        assert stream.close.how == "complete"

    run(main())


def test_a_long_retry_after_ends_the_call_and_names_the_time():
    """More than two minutes is not waited for by itself."""

    async def main():
        no = SourceRefused("429", status=429, retryable=True, retry_after_s=3600)
        stream = Recording().start(ScriptedSource([no], ["a", End()]))
        close = await stream
        assert close.how == "interrupted"
        assert close.error["type"] == "SourceRefused"
        assert "3,600 s" in close.error["message"]

    run(main())


def test_the_retry_line_of_a_stream_is_kept():
    """`retry:` sets the wait like Retry-After does."""

    class Slow(ScriptedSource):
        async def connect(self, cursor, pulse):
            pulse.retry_ms = 5000
            async for arrival in super().connect(cursor, pulse):
                yield arrival

    async def main():
        stream = Recording().start(Slow([event(1, "a"), CUT], [event(2, "b"), End()]))
        assert await waits(stream) == [5.0]
        assert stream.text == "ab"

    run(main())


def test_a_post_without_a_cursor_is_sent_once_after_text():
    """Once text was shown, a call that cannot be resumed is never repeated: text and money."""

    async def main():
        source = ScriptedSource(["Hello", CUT], ["Hello again", End()])
        stream = Recording().start(source)
        close = await stream
        assert (close.how, stream.text, len(source.connections)) == ("interrupted", "Hello", 1)
        assert not stream.recorder.can_reconnect

    run(main())


def test_a_server_that_starts_is_not_asked_for_ever():
    """A model that does not come in five minutes does not come: interrupted, with how often it was asked."""

    async def main():
        loading = SourceRefused("503: Loading model", status=503, retryable=True, starting=True)
        source = ScriptedSource(*[[loading]] * 200)
        stream = Recording().start(source)
        for _ in range(149):
            await stream.after(2.0)
        assert (stream.state, len(source.connections)) == ("retrying", 150)
        await stream.after(2.0)
        assert (await stream).how == "interrupted"
        assert len(source.connections) == 151
        assert "(150 retries)" in stream.close.error["message"]

    run(main())


def test_503_twice_then_text():
    """A busy server is asked again, before any text."""

    async def main():
        stream = Recording().start(ScriptedSource([BUSY], [BUSY], ["a", End()]))
        assert await waits(stream) == [0.2, 0.6]
        assert stream.close.how == "complete"
        assert stream.live.error is None

    run(main())


# -- gaps and changes -----------------------------------------------------------------------------------------------


def at(start, text):
    """A frame that says where it begins."""
    return Arrival((Part("text", text),), {"offset": start + len(text)}, start=start)


def test_a_gap_is_asked_for_once_more():
    """A hole is asked for again; what comes then goes on."""

    async def main():
        source = ScriptedSource([at(0, "abc"), at(5, "fgh")], [at(3, "de"), at(5, "fgh"), End()])
        stream = Recording().start(source)
        assert await waits(stream) == [0.2]
        assert stream.text == "abcdefgh"
        assert source.connections[1].cursor == {"offset": 3}

    run(main())


def test_a_gap_that_stays_is_failed():
    """A hole that is still there is an error the user sees; nothing is made up."""

    async def main():
        source = ScriptedSource([at(0, "abc"), at(5, "fgh")], [at(5, "fgh"), End()], [at(5, "fgh"), End()])
        stream = Recording().start(source)
        assert await waits(stream) == [0.2]
        assert (stream.close.how, stream.text, len(source.connections)) == ("failed", "abc", 2)
        assert "goes on at character 5, but only 3 have come" in stream.close.error["message"]

    run(main())


def test_changed_text_is_failed():
    """A source that says something else at a shown place is stopped at once."""

    async def main():
        source = ScriptedSource([at(0, "abc"), CUT], [at(0, "aXc"), End()])
        stream = Recording().start(source)
        await waits(stream)
        assert (stream.close.how, stream.text) == ("failed", "abc")
        assert "something else at character 1" in stream.close.error["message"]
        assert not stream.close.error["retryable"]

    run(main())


# -- silence --------------------------------------------------------------------------------------------------------


def silent(*before, **options):
    """A stream whose source says *before* and then nothing more."""
    stream = Recording()
    source = ScriptedSource([*before, SILENCE], [event(9, "more"), End()], clock=stream.clock)
    return stream.start(source, **options), source


@pytest.mark.parametrize(("before", "limit"), [((), 120.0), ((event(1, "a"),), 60.0), ((Arrival(),), 120.0)])
def test_silence_is_stalled_not_retried(before, limit):
    """First token 120 s, then 60 s: the stream asks, and makes no call by itself."""

    async def main():
        stream, source = silent(*before)
        await stream.after(limit - 1)
        assert stream.state in ("connecting", "streaming")
        await stream.after(2)
        assert stream.state == "stalled"
        await stream.after(500)
        assert stream.state == "stalled", "somebody is there: the question stands"
        assert len(source.connections) == 1
        stream.recorder.stop()
        assert (await stream).how == "stopped"

    run(main())


def test_keep_waiting_starts_the_clock_again():
    """Keep waiting is good for one more period."""

    async def main():
        stream, _ = silent(event(1, "a"))
        await stream.after(61)
        stream.recorder.keep()
        assert stream.state == "streaming"
        await stream.after(58)
        assert stream.state == "streaming"
        await stream.after(3)
        assert stream.state == "stalled"
        stream.recorder.leave()
        assert (await stream).how == "interrupted"

    run(main())


def test_resume_from_a_stall_calls_again_behind_the_cursor():
    """Resume drops the silent connection and goes on behind the last record, in the same stream."""

    async def main():
        stream, source = silent(event(1, "a"))
        await stream.after(61)
        stream.recorder.reconnect()
        assert stream.state == "connecting"
        close = await stream
        assert (close.how, stream.text, source.connections[1].cursor["id"]) == ("complete", "amore", "1")
        assert source.connections[0].closed

    run(main())


def test_a_stall_that_cannot_resume_has_no_resume():
    """Without a cursor the silent connection is all there is: Resume changes nothing."""

    async def main():
        stream, source = silent("a")
        await stream.after(61)
        stream.recorder.reconnect()
        assert (stream.state, len(source.connections)) == ("stalled", 1)
        stream.recorder.stop()
        await stream

    run(main())


def test_new_data_ends_a_stall():
    """A model that only thought long goes on by itself."""

    async def main():
        stream, gate = Recording(), Gate()
        stream.start(ScriptedSource([event(1, "a"), gate, event(2, "b"), gate, End()], clock=stream.clock))
        await stream.after(61)
        assert stream.state == "stalled"
        gate.open()
        assert (await stream).how == "complete"
        assert stream.text == "ab"

    run(main())


def test_an_unattended_stall_ends_after_a_second_period():
    """Nobody is there to ask: after twice the time the stream is interrupted."""

    async def main():
        stream, source = silent(event(1, "a"), attended=lambda: False)
        await stream.after(119)
        assert stream.state == "stalled"
        await stream.after(2)
        close = await stream
        assert (close.how, close.error["type"], source.open_connections) == ("interrupted", "SourceSilent", 0)

    run(main())


def test_pings_are_no_progress():
    """A server that pings but says nothing stalls all the same, and is not taken for dead."""

    async def main():
        stream, gates = Recording(), [Gate() for _ in range(30)]
        source = ScriptedSource([step for gate in gates for step in (gate, PING)], clock=stream.clock)
        stream.start(source)
        for gate in gates[:13]:
            await stream.after(9.9)
            assert stream.state == ("stalled" if stream.clock.monotonic() > 1120 else "connecting")
            gate.open()
        await stream.after(1)
        assert (stream.state, len(source.connections)) == ("stalled", 1)
        stream.recorder.stop()
        await stream

    run(main())


def test_a_connection_that_used_to_ping_is_dead_after_45_s():
    """Once a server has pinged, silence of 45 s is a lost connection: retried, not asked about."""

    async def main():
        stream, source = silent(event(1, "a"), PING)
        await stream.after(45)
        assert stream.state == "streaming"
        await stream.after(0.25)
        assert stream.state == "retrying"
        await stream.after(0.2)
        close = await stream
        assert (close.how, stream.text, len(source.connections)) == ("complete", "amore", 2)

    run(main())


def test_without_pings_silence_is_not_death():
    """Many providers send no heartbeat while they think."""

    async def main():
        stream, source = silent(event(1, "a"))
        await stream.after(59)
        assert (stream.state, len(source.connections)) == ("streaming", 1)
        stream.recorder.stop()
        await stream

    run(main())


def test_the_wall_clock_may_jump():
    """Silence and waits run on the monotonic clock: setting the clock back changes neither."""

    async def main():
        stream, _ = silent(event(1, "a"))
        await stream.after(30)
        stream.clock.set_wall_back(86_400)
        await stream.after(29)
        assert stream.state == "streaming"
        await stream.after(2)
        assert stream.state == "stalled"
        stream.recorder.stop()
        close = await stream
        assert close.at < stream.deltas[0].at

    run(main())


# -- slots ----------------------------------------------------------------------------------------------------------


def test_calls_beyond_the_slots_wait():
    """More calls than slots: the rest is connecting, says why, can be stopped, and starts when a slot is free."""

    async def main():
        slots, store = asyncio.Semaphore(2), MemoryStore()
        gates = [Gate() for _ in range(4)]
        sources = [ScriptedSource(["a", gate, End()]) for gate in gates]
        streams = [
            Recording(store, stream=f"s{number}").start(source, slots=slots) for number, source in enumerate(sources)
        ]
        await gates[0].arrived()
        await gates[1].arrived()
        await streams[0].clock.settle()
        assert [len(source.connections) for source in sources] == [1, 1, 0, 0]
        assert (streams[3].state, streams[3].live.note) == ("connecting", "waiting for a slot")
        streams[2].recorder.stop()
        assert (await streams[2]).how == "stopped"
        gates[1].open()
        await streams[1]
        await gates[3].arrived()
        assert streams[3].live.note is None
        gates[0].open()
        gates[3].open()
        assert [(await streams[0]).how, (await streams[3]).how] == ["complete", "complete"]
        assert len(sources[2].connections) == 0

    run(main())


def test_a_recorder_that_dies_lets_go():
    """An error of our own is raised, not hidden, and the stream can be resumed by the next writer."""

    class Broken(MemoryStore):
        def stop_requested(self, stream, *, opened, agent=None):
            raise ZeroDivisionError

    async def main():
        stream = Recording(Broken())
        source = ScriptedSource(["a", SILENCE])
        stream.start(source)
        await stream.after(0.25)
        with pytest.raises(ZeroDivisionError):
            await stream
        assert source.open_connections == 0
        assert stream.store.lock("s1") is not None

    run(main())


def test_records_and_types():
    """Between open and close there are only deltas."""

    async def main():
        stream = Recording()
        recorder = Recorder(stream.store, stream.log, ScriptedSource(["a", End()]), stream.lock, Progress(tail=0))
        await recorder.run()
        assert [type(record) for record in stream.records] == [Open, Delta, Close]
        assert stream.records[0] == opening()

    run(main())
