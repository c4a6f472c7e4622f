"""What a log tells, to look at: the timeline and the wire, of every kind of log."""

import base64
import html
import random
import time
import xml.etree.ElementTree as ET
from itertools import pairwise

import bs4
import pytest
from probes import PROBES
from recording import Recording, run

from nbstream.errors import LogDamaged, SourceLost, SourceRefused
from nbstream.log.memory import MemoryStore
from nbstream.log.readback import records_of
from nbstream.pictures.axis import Axis
from nbstream.pictures.marks import MOST_ROWS as MOST_MARK_ROWS
from nbstream.pictures.marks import Listed, placed
from nbstream.pictures.said import Event, seconds
from nbstream.pictures.story import MOST_EVENTS, MOST_LANES, MOST_POINTS, Story
from nbstream.pictures.timeline import FIRST, LAST, Timeline
from nbstream.pictures.wire import MOST_ROWS, Wire
from nbstream.records import Close, Delta, Open, Part, decode, encode
from nbstream.sources.contract import Arrival, End
from nbstream.testing import PING, SILENCE, ScriptedSource

BEGAN = 1_700_000_000.0
HOUR = 3600.0


def event(number, text):
    """A text event with an id."""
    return Arrival((Part("text", text),), {"id": str(number), "first": "1"}, event_id=str(number))


class Written:
    """A log written record by record, at moments in seconds from its beginning."""

    def __init__(self, spec=None):
        self.spec = spec or {"kind": "sse", "url": "http://127.0.0.1/x", "method": "GET"}
        self.log = MemoryStore().start(self._open(0, "new")).log
        self.at, self.offset = 0.0, 0
        self._sequences, self._lengths = {}, {}

    def _open(self, at, intent, **fields):
        return Open("s1", "s1", intent, self.spec, "f", "pid 1", "host", "boot", BEGAN + at, **fields)

    def add(self, record):
        self.offset += 1
        self.log.append(self.offset, record)
        return self

    def opens(self, at, intent="resume", **fields):
        return self.add(self._open(at, intent, **fields))

    def part(self, moment, kind, agent="assistant", text="", *, meanwhile=None, cursor=None, behind=0, **fields):
        self._sequences[agent] = self._sequences.get(agent, 0) + 1
        off = self._lengths.get((agent, kind), 0)
        self._lengths[agent, kind] = off + len(text)
        part = Part(kind, text, agent, self._sequences[agent], off, fields or None)
        return self.add(Delta((part,), BEGAN + moment, cursor, behind, meanwhile))

    def text(self, at, text, agent="assistant", **more):
        return self.part(at, "text", agent, text, **more)

    def close(self, at, how, **fields):
        return self.add(Close(how, BEGAN + at, **fields))

    def timeline(self, now=None):
        return Timeline("s1", Story().read_on(self.log), "its state", now=now)

    def wire(self):
        return Wire("s1", self.log)


def drawn(timeline):
    """Return all text of the picture, which must be well-formed, light and dark, and have its text alternative."""
    root = ET.fromstring(timeline.svg)
    assert root.get("role") == "img"
    assert [child.tag.rpartition("}")[2] for child in root][:3] == ["title", "desc", "style"]
    assert "prefers-color-scheme:dark" in root[2].text
    return [element.text or "" for element in root.iter() if element.tag.endswith("}text")]


# -- what the recorder puts on record ---------------------------------------------------------------------------------


def notes(stream):
    """Return what the records tell of the time between them."""
    told = [note for record in stream.records for note in getattr(record, "meanwhile", None) or ()]
    assert all(note["at"] > 0 for note in told)
    return [{name: value for name, value in note.items() if name != "at"} for note in told]


def test_a_cut_that_is_retried_is_on_record():
    """Lost, why, after which wait called again, behind which place, what came once more and was dropped, and pings."""

    async def main():
        stream = Recording()
        cut = SourceLost("the connection was reset")
        scripts = [[event(1, "one "), PING, PING, event(2, "two "), cut], [event(2, "two "), event(3, "three"), End()]]
        stream.start(ScriptedSource(*scripts, clock=stream.clock))
        await stream.after(1)
        assert (await stream).how == "complete"
        assert stream.text == "one two three"
        assert notes(stream) == [
            {"what": "pings", "count": 2},
            {"what": "lost", "error": {"type": "SourceLost", "message": str(cut), "retryable": True}, "wait_s": 0.2},
            {"what": "called", "behind": "2"},
            {"what": "dropped", "chars": 4},
        ]
        said = str(Timeline("s1", Story().read_on(stream.log), "complete"))
        for says in (
            "2 pings or comments", "lost, to be called again after 0.2 s: the connection was reset",
            "behind what is saved (2)", "4 characters came once more: verified and dropped",
            "complete: the source's own end mark",
        ):  # fmt: skip
            assert says in said
        counts = Wire("s1", stream.log).counts
        assert (counts["calls"], counts["again"], counts["dropped"], counts["pings"]) == (2, 1, 4, 2)
        assert "2 calls (1 of them a reconnection)" in said

    run(main())


def test_a_stall_and_its_answers_are_on_record():
    """Silent, kept, silent again, resumed by the user: each stands in the record behind it, with its moment."""

    async def main():
        stream = Recording()
        source = ScriptedSource([event(1, "one "), SILENCE], [event(2, "two"), End()], clock=stream.clock)
        stream.start(source, idle_s=10.0)
        await stream.after(11)
        stream.recorder.keep()
        await stream.after(11)
        assert stream.state == "stalled"
        stream.recorder.reconnect()
        assert (await stream).how == "complete"
        assert [note["what"] for note in notes(stream)] == ["silent", "kept", "silent", "lost", "called"]

    run(main())


def test_the_last_try_is_told_by_the_close():
    """Retries that are used up stand in the `close`; a call that is well writes nothing more than before."""

    async def main():
        stream = Recording().start(ScriptedSource(*[[SourceLost("no route")]] * 4))
        await stream.after(10)
        assert (await stream).how == "interrupted"
        assert [note["what"] for note in notes(stream)] == ["lost", "called"] * 3
        well = Recording().start(ScriptedSource(["all is well", End()]))
        await well
        assert notes(well) == []
        assert all(b"meanwhile" not in encode(record) for record in well.records)

    run(main())


def test_what_is_told_between_two_records_is_bounded(seed):
    """A source that is cut a thousand times between two records makes no record of any size."""

    async def main():
        stream = Recording()
        stream.start(ScriptedSource(["one", SILENCE]))
        await stream.after(0.1)
        for _ in range(1000):
            stream.recorder._writer.tell("kept")
        stream.recorder.stop()
        assert len((await stream).meanwhile) == 32

    run(main())


def test_meanwhile_is_read_back_and_may_lack():
    """A record keeps what it tells; one of an older version has none, and is read as before."""
    told = [{"at": BEGAN, "what": "called"}]
    for record in (
        Delta((Part("text", "a", sequence=1),), BEGAN, meanwhile=told),
        Close("stopped", BEGAN, meanwhile=told),
    ):
        assert decode(encode(record), stream="s1", offset=1) == record
    old = b'{"v":1,"type":"delta","at":1.0,"parts":[]}'
    assert decode(old, stream="s1", offset=1).meanwhile is None


# -- the timeline -----------------------------------------------------------------------------------------------------

LOST = [
    {"at": BEGAN + 2, "what": "lost", "error": {"type": "SourceLost", "message": "reset"}, "wait_s": 0.2},
    {"at": BEGAN + 2.2, "what": "called", "behind": "1"},
    {"at": BEGAN + 2.5, "what": "dropped", "chars": 3},
]


def test_every_kind_of_event_is_in_the_picture_and_in_words():
    """Cut, retry, stall, seam, gap, text taken back, Stop, resume hours later, regenerate: each by number and words."""
    log = Written()
    log.text(1, "one ", cursor={"id": "1"}).text(2.5, "two ", meanwhile=LOST)
    log.part(3, "gap", expected=3, got=5, at=8).part(3.1, "truncate", length=4)
    log.text(9, "three", meanwhile=[{"at": BEGAN + 8, "what": "silent"}, {"at": BEGAN + 8.5, "what": "kept"}])
    log.close(9.5, "stopped").opens(9.5 + 2 * HOUR).part(9.6 + 2 * HOUR, "seam", why="cut")
    log.close(9.8 + 2 * HOUR, "failed", error={"type": "SourceRefused", "message": "no such model."})
    log.opens(9.9 + 2 * HOUR, "continue").close(10 + 2 * HOUR, "complete", finish="length")
    timeline = log.timeline()
    texts, words = drawn(timeline), str(timeline)
    for says in (
        "called", "connection lost, to be called again after 0.2 s: reset", "called again, behind what is saved (1)",
        "3 characters came once more: verified and dropped", "missing here: pieces 3 to 4",
        "taken back: 4 characters of the text above stay", "stalled: nothing comes", "the user keeps waiting",
        "stopped by you", "resumed: the same message goes on", "continued here by a new generation: cut",
        "failed: no such model", "continued: a new generation behind the text so far",
        "complete: the source's own end mark (length)",
    ):  # fmt: skip
        assert any(says in text for text in texts), says
        assert says in words, says
    assert "4 calls (1 of them a reconnection)" in words
    assert "without 2 h in which nobody was at work" in words
    assert [line.split()[1] for line in words.splitlines() if "called again, behind" in line] == ["2.2"]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (Written(), "cut: whoever recorded it was gone without a word"),
        (Written().opens(5), "2 calls, 0 records of text saved"),
        (Written().opens(1, "regenerate", parent="s0"), "regenerated: a new answer to the same question"),
        (Written().close(1, "interrupted"), "interrupted"),
        (Written().text(1, "a").text(-5, "b"), "the clock was set back meanwhile"),
    ],
)
def test_small_and_odd_logs_have_a_picture(written, says):
    """A stream without text, one that was never closed, a clock that was set back: a picture and the words for it."""
    timeline = written.timeline()
    drawn(timeline)
    assert says in str(timeline)
    assert str(written.wire()).startswith("Stream s1: ")


def test_a_live_stream_reaches_up_to_now():
    """What is live is not called cut; silence up to now is part of the picture, but not of one at rest."""
    log = Written().text(1, "one")
    assert "cut" not in str(log.timeline(now=BEGAN + 30))
    assert "30 s shown" in str(log.timeline(now=BEGAN + 30))
    assert "1.0 s shown" in str(log.timeline())


def test_each_agent_has_a_lane():
    """Each agent has its curve, with its own figures; what happens to one is told with its name, and where it waits."""
    log = Written({"kind": "team", "agents": {"planner": {}, "critic": {}}})
    log.part(0.1, "agent_start", "planner").part(0.1, "waiting", "critic", on=["planner"])
    lost = [{"at": BEGAN + 0.5, "what": "lost", "agent": "planner", "wait_s": 0.2}]
    log.text(1, "plan" * 100, "planner", meanwhile=lost).part(1.5, "agent_end", "planner", status="complete")
    log.part(1.6, "agent_start", "critic").text(2, "hm", "critic")
    log.opens(2.5).text(3, "ok", "critic")
    log.part(4, "agent_end", "critic", status="failed", error={"message": "no\nsuch model"}).close(4, "failed")
    timeline = log.timeline()
    texts, words = drawn(timeline), str(timeline)
    for says in (
        "planner: 400 characters, 1 record", "critic: 4 characters, 2 records", "planner: connection lost, to be",
        "critic: waits for planner", "critic: failed: no such model", "planner: complete",
    ):  # fmt: skip
        assert any(says in text for text in texts), says
        assert says in words, says
    assert "cut" not in words, "an agent that goes on beside others is no cut of the stream"
    assert timeline.svg.count('class="c"') == 2


def test_each_request_is_a_call():
    """Of a team each agent that begins is a call, each reconnection one more; what is inside an agent is not known."""
    log = Written({"kind": "team", "agents": {"planner": {}, "critic": {}}})
    log.part(0.1, "agent_start", "planner").part(0.1, "agent_start", "critic").part(0.2, "agent_start", "critic/inner")
    log.text(1, "a", "critic", meanwhile=[{"at": BEGAN + 1, "what": "called", "agent": "critic"}] * 39)
    log.part(2, "agent_end", "critic", status="failed").opens(2.5).part(2.6, "agent_start", "critic")
    log.close(3, "complete")
    for says in (str(log.timeline()), str(log.wire())):
        assert "42 calls (39 of them reconnections)" in says
        assert "cut" not in says, "an agent that goes on beside others is no cut of the stream"
    assert "1 call," in str(Written().timeline())


def test_what_was_refused_is_not_called_lost():
    """A 429 and a 503 are told as refusals with their number; a log of an older version has none."""

    async def main():
        no = SourceRefused("the server is busy", status=429, retryable=True, retry_after_s=1.0)
        stream = Recording().start(ScriptedSource([no], ["text", End()]))
        await stream.after(5)
        assert (await stream).how == "complete"
        said = "refused with 429, to be called again after 1.0 s: the server is busy"
        assert said in str(Timeline("s1", Story().read_on(stream.log), "complete"))
        assert said in str(Wire("s1", stream.log))

    run(main())
    old = [{"at": BEGAN, "what": "lost", "error": {"type": "SourceRefused", "message": "busy"}, "wait_s": 1}]
    assert "refused, to be called again after 1.0 s: busy" in str(Written().text(1, "a", meanwhile=old).timeline())


def test_the_longest_time_reaches_up_to_the_end():
    """Silence before the `close` counts, the wait between two calls does not."""
    log = Written().text(0.5, "one").close(3, "interrupted").opens(HOUR).close(HOUR + 1, "complete")
    assert log.wire().longest_s == 2.5
    assert "at most 2.5 s between two" in log.wire().summary


def test_hundreds_of_agents_share_the_picture():
    """Beyond a dozen lanes the others share one; the picture stays small."""
    log = Written({"kind": "team", "agents": {}})
    for number in range(300):
        log.text(number, "text", f"agent {number}")
    timeline = log.close(400, "complete").timeline()
    assert f"{300 - MOST_LANES} more agents: {4 * (300 - MOST_LANES):,} characters" in str(timeline)
    assert timeline.svg.count('class="c"') == MOST_LANES + 1
    assert len(timeline.svg) < 40_000


def crowd(agents, *, calm=True):
    """Return the log of so many agents that begin at one moment and are complete at another."""
    log = Written({"kind": "team", "agents": {}})
    for number in range(agents):
        log.part(0.01, "agent_start", f"agent {number}")
    for number in range(agents):
        log.text(1 + number, "text", f"agent {number}")
    for number in range(agents):
        error = {} if calm or number else {"error": {"message": "no such model"}}
        log.part(agents, "agent_end", f"agent {number}", status="failed" if error else "complete", **error)
    return log.close(agents + 1, "complete" if calm else "failed")


def height(timeline):
    """Return the height of the picture, in pixels."""
    return int(ET.fromstring(timeline.svg).get("height"))


def test_a_few_agents_are_listed_a_crowd_is_not():
    """Of six agents each begin and end is listed; of more only how many they are, and what went wrong."""
    words = str(crowd(6).timeline())
    assert (words.count(": begins"), words.count(": complete")) == (6, 6)
    timeline = crowd(20, calm=False).timeline()
    words = str(timeline)
    assert (words.count(": begins"), words.count(": complete")) == (0, 0)
    assert "20 agents: when each waited, began and was complete is not listed" in words
    assert [line.split()[0] for line in words.splitlines() if line.startswith(" ")] == ["1", "2", "3"]
    assert "agent 0: failed: no such model" in words
    assert height(timeline) < 900


def test_events_of_a_crowd_are_in_order_however_many_there_are(seed):
    """Numbers grow and none is said twice, wherever in a long story an agent too many speaks; what lacks is counted."""
    chance = random.Random(seed)
    for many in (0, 10, 39, 40, 41, 79, 80, 81, 200):
        log = Written({"kind": "team", "agents": {}})
        for number in range(many):
            kind = chance.choice(["agent_start", "gap"])
            log.part(number, kind, f"agent {number % 6}", **({"expected": 1, "got": 2} if kind == "gap" else {}))
        for number in range(30):
            log.part(many + number, "gap", f"agent {number % 8}", expected=1, got=2)
        events = list(Story().read_on(log.log).events)
        assert [number for number, _ in events] == sorted({number for number, _ in events})
        assert [event.at for _, event in events] == sorted(event.at for _, event in events)
        assert {event.what for _, event in events} <= {"open", "gap"}
        lines = [line.split() for line in str(log.timeline(now=BEGAN + 300)).splitlines() if line.startswith(" ")]
        said = sum(int(line[1]) if line[0] == "..." else 1 for line in lines)
        assert said == events[-1][0]


def marks_of(timeline):
    """Return (label, middle) of the marks above the curves, as numbers stand in them."""
    root = ET.fromstring(timeline.svg)
    labels = [text for text in root.iter() if text.get("class") == "n" and float(text.get("x")) != 24]
    return [(text.text, float(text.get("x"))) for text in labels]


def test_marks_of_one_moment_are_one_and_stand_at_their_place():
    """Events of one moment share a mark with their numbers; those at both ends stand where the curve does."""
    log = Written({"kind": "team", "agents": {"a": {}, "b": {}}})
    for _ in range(5):
        log.part(0.0, "waiting", "a", on=["b"])
    log.text(0.0, "x", "a").text(10, "y", "b").close(10, "complete")
    timeline = log.timeline()
    assert [label for label, _ in marks_of(timeline)] == ["1-6", "7"]
    places = [x for _, x in marks_of(timeline)]
    assert places == [28.0, 732.0]
    ticks = [path.get("d") for path in ET.fromstring(timeline.svg).iter() if path.get("class") == "s"]
    assert [float(tick[1:].split()[0]) for tick in ticks] == places


@pytest.mark.parametrize("events", [13, 24, 200])
def test_marks_close_together_cover_no_other_and_push_nothing_down(events, seed):
    """However close events follow each other: at most four rows, no mark over another, each within the picture."""
    chance = random.Random(seed)
    for _ in range(20):
        listed, x = [], 28.0
        for number in range(1, events + 1):
            listed.append(Listed(number, Event(0.0, chance.choice(["lost", "called", "note"]), ""), x))
            x = min(732.0, x + chance.choice([0, 0.1, 3, 5, 19]))
        marks, rows = placed(listed)
        assert rows <= MOST_MARK_ROWS
        assert [one for mark in marks for one in mark.events] == listed
        for row in range(rows):
            spans = [(mark.x - mark.half, mark.x + mark.half) for mark in marks if mark.row == row]
            assert all(end + 4 <= begin for (_, end), (begin, _) in pairwise(spans)), "tips of diamonds need 2 each"
            assert spans[0][0] > 0
            assert spans[-1][1] < 760


def test_a_failed_agent_does_not_look_like_a_finished_one():
    """How an agent ended is a diamond where it is trouble, a square where it is complete or was stopped."""
    for status, kind in (("failed", "bad"), ("interrupted", "bad"), ("complete", "end"), ("stopped", "end")):
        log = Written({"kind": "team", "agents": {"a": {}}}).text(1, "x", "a")
        svg = log.part(2, "agent_end", "a", status=status).timeline(now=BEGAN + 4).svg
        assert svg.count(f'class="{kind}"') == 2, "above the curves and in the list"


def test_a_long_title_goes_on_in_a_second_line():
    """Nothing of a title is cut inside a number: it breaks between words, and only beyond two lines it ends early."""
    state = "complete · demo · " + "1,405 characters · 9.3 s · 1 token in, 250 out · " * 2
    timeline = Timeline("1130-0830-erksnanfenl0wslh", Story().read_on(Written().log), state)
    lines = [line.replace("\xa0", " ") for line in drawn(timeline)[:2]]
    assert " ".join(lines) == f"Stream 1130-0830-erksnanfenl0wslh: {state}".rstrip()
    assert lines[0].endswith(" ·"), "between two facts, where they are short"
    longer = drawn(Timeline("s1", Story().read_on(Written().log), "12,345 words " * 100))[:2]
    assert longer[1].endswith(" …")
    assert not any(line.removesuffix(" …").endswith("12,") for line in longer)


def test_the_notebook_file_holds_the_picture_once():
    """HTML with the image, and plain text; there is no second copy of the picture, and the words are in it once."""
    log = Written()
    for number in range(30):
        log.text(number, "x", meanwhile=LOST)
    timeline = log.close(31, "complete").timeline()
    bundle = timeline._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/plain"] == str(timeline)
    (image,) = bs4.BeautifulSoup(bundle["text/html"], "html.parser").find_all("img")
    kept = base64.b64decode(image["src"].partition(",")[2]).decode()
    assert len(drawn(timeline)) == len([one for one in ET.fromstring(kept).iter() if one.tag.endswith("}text")])
    assert str(timeline) not in html.unescape(kept)
    assert str(timeline) in html.unescape(timeline.svg)
    assert len(bundle["text/html"]) < 1.5 * len(timeline.svg)


def test_a_damaged_log_is_drawn_up_to_the_damage():
    """What is before a damaged record is shown, and why it ends; of a log that cannot be read at all, why."""
    log = Written().text(1, "one ").text(2, "two ").text(3, "three")
    found = log.log.read()

    class Damaged:
        def __init__(self, at):
            self.at = at

        def read(self, after=-1, *, limit=1000):
            if after + 1 >= self.at:
                raise LogDamaged(f"record {self.at} of stream s1 is damaged")
            return found[after + 1 : self.at][:limit]

    for at, says in ((3, "it ends here: record 3 of"), (0, "nothing of it can be read: record 0 of")):
        timeline = Timeline("s1", Story().read_on(Damaged(at)), "its state")
        assert any(says in text for text in drawn(timeline))
        assert says in str(timeline)
        assert "cut" not in str(timeline)
        wire = Wire("s1", Damaged(at))
        assert f"It ends here: record {at} of stream s1 is damaged" in str(wire)
        assert f"record {at} of stream s1" in wire._repr_mimebundle_()["text/html"]
    assert "two" in str(Wire("s1", Damaged(3)))


def test_ten_thousand_records_stay_small_and_quick(seed):
    """The picture of 10,000 records is as small as that of 300, made in no time, and keeps its pauses and its end."""
    chance = random.Random(seed)
    log, at = Written(), 0.0
    for number in range(10_000):
        at += 40.0 if number == 7_000 else chance.expovariate(100)
        log.text(at, "some text ", cursor={"id": str(number)})
    log.close(at + 1, "complete")
    began = time.perf_counter()
    story = Story().read_on(log.log)
    timeline, wire = Timeline("s1", story, "its state"), log.wire()
    bundles = timeline._repr_mimebundle_(), wire._repr_mimebundle_()
    took = time.perf_counter() - began
    (lane,) = story.lanes.values()
    assert len(lane.runs) <= 2 * MOST_POINTS
    assert sum(run.records for run in lane.runs) == 10_000
    assert (lane.runs[-1].after, lane.chars) == (100_000, 100_000)
    assert max(b.begin - a.end for a, b in zip(lane.runs, lane.runs[1:], strict=False)) >= 40
    assert len(timeline.svg) < 40_000
    assert len(wire.rows) == 2 * MOST_ROWS
    assert wire.left_out == 10_002 - 2 * MOST_ROWS
    assert (wire.rows[0].record, wire.rows[-1].record) == ("0", "10001")
    assert sum(len(data) for bundle in bundles for data in bundle.values()) < 300_000
    assert took < 5, "about a quarter of a second on a machine of 2026"


def test_very_many_events_are_counted_not_listed():
    """Of a thousand retries the first and the last are told, each by its true number, and how many are between."""
    log = Written()
    for number in range(1000):
        log.text(number, "x", meanwhile=[{"at": BEGAN + number, "what": "called"}])
    timeline = log.close(1000, "complete").timeline()
    story = Story().read_on(log.log)
    assert len(list(story.events)) == 2 * MOST_EVENTS
    lines = str(timeline).splitlines()[2:]
    assert len(lines) == FIRST + LAST + 1
    assert f"... {1002 - FIRST - LAST} more ..." in lines[FIRST]
    assert lines[-1].split()[0] == "1002"
    assert any(f"... {1002 - FIRST - LAST} more ..." in text for text in drawn(timeline))


def test_a_story_reads_on_and_every_split_gives_the_same(seed):
    """Folded in any number of pieces a log gives the same picture."""
    chance = random.Random(seed)
    log = Written()
    for number in range(100):
        log.text(number + chance.random(), "x" * chance.randrange(1, 9), meanwhile=LOST if number % 9 == 0 else None)
    whole = Timeline("s1", Story().read_on(log.log), "").svg
    records = list(records_of(log.log))
    for _ in range(20):
        cuts = sorted(chance.choices(range(len(records)), k=4))
        story = Story()
        for begin, end in zip([0, *cuts], [*cuts, len(records)], strict=True):
            for record in records[begin:end]:
                story.add(record)
        assert Timeline("s1", story, "").svg == whole


# -- the wire ---------------------------------------------------------------------------------------------------------


def test_the_wire_says_what_was_recorded():
    """Calls with where they go, records with offset, time, place and what is behind it, and what came between."""
    log = Written()
    log.text(1, "one ", cursor={"id": "1", "first": "1"}).text(
        2.5, "two ", meanwhile=LOST, behind=2, cursor={"id": "1"}
    )
    log.part(3, "tool_call", index=0, name="search", args_delta="{}").opens(10).close(11, "stopped")
    rows = log.wire().rows
    assert rows[0] == ("0", "0.000 s", "", "called · GET http://127.0.0.1/x", "")
    assert rows[1] == ("1", "1.000 s", "1.000 s", "assistant #1 text 0+4 'one '", "id 1")
    assert rows[2] == ("", "2.000 s", "", "connection lost, to be called again after 0.2 s: reset", "")
    assert rows[5] == ("2", "2.500 s", "1.500 s", "assistant #2 text 4+4 'two '", "id 1, 2 stored behind it")
    assert rows[6][3] == "assistant #3 tool_call search {}"
    assert rows[7][3] == "cut: whoever recorded it was gone without a word"
    assert rows[8][3].startswith("resumed: the same message goes on · GET")
    assert rows[9][3] == "stopped by you"
    assert log.wire().summary == (
        "3 calls (1 of them a reconnection), 6 records, at most 1.5 s between two, 8 characters of text,"
        " 3 that came once more dropped"
    )
    assert len(str(log.wire()).splitlines()) == 2 + len(rows)


def test_the_wire_of_a_team_names_the_places_of_its_voices():
    """A record in which two agents speak has a place for each."""
    log = Written({"agents": {"planner": {}, "critic": {}}})
    place = {
        "voices": {"planner": {"cursor": {"id": "7"}, "behind": 0}, "critic": {"cursor": {"offset": 3}, "behind": 2}}
    }
    log.text(1, "plan", "planner", cursor=place)
    rows = log.wire().rows
    assert rows[0].what == "called · 2 agents: planner, critic"
    assert rows[1].place == "planner: id 7; critic: offset 3, 2 stored behind it"


# -- safety -----------------------------------------------------------------------------------------------------------

SVG = {"svg", "title", "desc", "style", "rect", "path", "circle", "text"}
SVG_ATTRIBUTES = {
    "class", "role", "width", "height", "viewBox", "x", "y", "rx", "d", "cx", "cy", "r", "text-anchor", "font-size",
    "fill",
}  # fmt: skip
HTML = {
    "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "code", "img", "details", "summary", "pre",
}  # fmt: skip
HTML_ATTRIBUTES = {"alt", "src", "style", "colspan"}


def full_of(probe):
    """Return a log that has *probe* wherever somebody else writes."""
    log = Written({"kind": "sse", "url": probe, "model": probe, "agents": {probe: {}}})
    told = [
        {"at": BEGAN + 1, "what": "lost", "error": {"type": probe, "message": probe}, "agent": probe},
        {"at": BEGAN + 1, "what": "called", "behind": probe},
        {"at": probe, "what": probe, "agent": probe},
    ]
    log.text(1, probe, probe, cursor={"id": probe, probe: probe}, meanwhile=told)
    log.part(2, "agent_end", probe, status=probe, message=probe).part(2, "waiting", "b", on=[probe])
    log.part(2, "seam", probe, why=probe).part(2, "tool_call", probe, name=probe, args_delta=probe)
    log.part(2, "raw", probe, type=probe)
    log.close(3, "failed", error={"type": probe, "message": probe}, raw_finish=probe)
    log.opens(4, "resume", agent=probe)
    return log


@pytest.mark.parametrize("probe", PROBES)
def test_nothing_of_a_probe_gets_through(probe):
    """Names, errors and reasons are data: the picture and the tables hold our elements only, and no address."""
    log = full_of(probe)
    timeline, wire = Timeline(probe, Story().read_on(log.log), probe), Wire(probe, log.log)
    root = ET.fromstring(timeline.svg)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= SVG
    assert {name for element in root.iter() for name in element.attrib} <= SVG_ATTRIBUTES
    assert "url(" not in root[2].text
    assert "@import" not in root[2].text
    # A notebook may put it into its page as it is, where another parser reads it.
    for shown in (timeline.svg, *(one._repr_mimebundle_()["text/html"] for one in (timeline, wire))):
        for tag in bs4.BeautifulSoup(shown, "html.parser").find_all(True):
            assert tag.name in HTML | SVG, tag
            assert set(tag.attrs) <= HTML_ATTRIBUTES | {name.lower() for name in SVG_ATTRIBUTES} | {"xmlns"}, tag
            assert tag.name != "img" or tag["src"].startswith("data:image/svg+xml;base64,")
    for text in (str(timeline), str(wire)):
        assert not any(ord(char) < 32 and char != "\n" for char in text)
        assert "\x9b" not in text


def test_formulas_are_not_looked_for_in_what_a_model_wrote():
    """A notebook makes formulas of text in its outputs, but for code: all text of others stands in code."""
    shown = full_of("$x$").wire()._repr_mimebundle_()["text/html"]
    soup = bs4.BeautifulSoup(shown, "html.parser")
    for code in soup.find_all("code"):
        code.decompose()
    assert "$" in shown
    assert "$" not in soup.get_text()


def test_foreign_fields_are_no_error(seed):
    """What another program writes into a record, of any JSON type, is passed by or told; the picture is there."""
    chance = random.Random(seed)
    odd = [None, True, -1, 1e308, "text", [], [1], {}, {"what": []}, {"what": "lost", "error": 3}, {"cursor": None}]
    for _ in range(300):
        log = Written()
        pick = lambda: chance.choice(odd)  # noqa: E731 - short
        told = chance.choice([pick(), [pick() for _ in range(3)], [{"what": "lost", "wait_s": pick(), "at": pick()}]])
        log.add(
            Delta((Part("text", "a", sequence=1), Part("gap", fields={"expected": pick()})), pick(), {"voices": pick()})
        )
        log.add(Delta((Part("truncate", fields={"length": pick()}),), pick(), {"id": pick()}, meanwhile=told))
        log.add(Close("failed", pick(), error=pick(), meanwhile=told))
        drawn(log.timeline())
        assert log.wire()._repr_mimebundle_()


# -- the axis ---------------------------------------------------------------------------------------------------------


def test_time_in_which_nobody_was_at_work_is_cut_out():
    """Places grow with time, a rest of hours is as wide as a break, a short one stays; labels stand where they say."""
    axis = Axis(0.0, 7300.0, [(50.0, 7250.0), (20.0, 20.5)], left=0.0, right=500.0)
    assert axis.shown == 100
    assert [one.seconds for one in axis.breaks] == [7200.0]
    places = [axis.x(at) for at in (0, 10, 50, 1000, 7250, 7300)]
    assert places == sorted(places)
    assert (places[0], round(places[-1], 6)) == (0.0, 500.0)
    assert axis.passed(7260) == 60
    for x, passed in axis.labels:
        assert abs(axis.x(passed if passed <= 50 else passed + 7200) - x) < 0.001


@pytest.mark.parametrize(
    ("passed", "says"),
    [(0, "0 s"), (0.004, "4 ms"), (0.25, "0.25 s"), (3.14, "3.1 s"), (61, "61 s"), (600, "10 min"), (7200, "2 h"),
     (1e6, "12 days")],
)  # fmt: skip
def test_seconds_in_words(passed, says):
    """A time is said as short as it can be understood."""
    assert seconds(passed) == says
