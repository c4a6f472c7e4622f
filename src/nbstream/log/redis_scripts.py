"""
Everything that is done in Redis, as scripts: each is one step that nothing else comes between.

Of each stream there are two keys: `m:<id>`, a hash of what is known about it (key, opened, created, touched, holder,
holds, stop rows), and `r:<id>`, a Redis stream with the record of offset N under the id N+1-0. Beside them `index`
(stream -> key), `keys` (key -> stream), `begun` (the streams of which no record says why they ended), `sweep`, and
`b:<process>` for each process that writes: its beat, which ends by itself. All begin with KEYS[1]. The names of keys
are made in the scripts, so a Redis Cluster cannot run them.

A script that is refused for want of memory has changed nothing: its first write is one that needs memory.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

#: A beat lives so long. Redis alone counts the time: the clocks of those who write need not agree.
ALIVE_MS = 6000

_COMMON = """
local function meta(id) return KEYS[1] .. 'm:' .. id end
local function records(id) return KEYS[1] .. 'r:' .. id end
local function beat_of(token) return KEYS[1] .. 'b:' .. string.match(token, '^[^.]*') end
local function exists(id) return redis.call('EXISTS', meta(id)) == 1 end
local function holder(id) return redis.call('HGET', meta(id), 'holder') or '' end
local function beat_by(token) return token ~= '' and redis.call('GET', beat_of(token)) or '' end
local function beat(token, who) redis.call('SET', beat_of(token), who, 'PX', 'ALIVE_MS') end
local function row(id, offset)
  local at = string.format('%.0f-0', offset + 1)
  local found = redis.call('XRANGE', records(id), at, at)[1]
  if not found then return '' end
  if #found[2] ~= 2 or found[2][1] ~= 'r' then return 'foreign' end
  return found[2][2]
end
"""


class Script(NamedTuple):
    """A script, and the name Redis gives it."""

    text: str
    sha: str


class Write(NamedTuple):
    """
    One thing to write in order: a record, a stop row, or the end of a hold (`release`).

    A record is an `open`, a `delta`, or an `end`, which says why nothing follows. *at* is the record's offset, or the
    name of the row; *key* is an open's, *touched* may be empty.
    """

    what: Literal["open", "delta", "end", "stop", "release"]
    stream: str
    token: str
    at: str
    row: bytes = b""
    key: bytes = b""
    touched: str = ""


def _script(text: str) -> Script:
    whole = (_COMMON + text).replace("ALIVE_MS", str(ALIVE_MS))
    return Script(whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


#: stream, key, replaces, token, row, now, who -> `ok`, `taken`, or `named` and the stream that has the key. Asked
#: again with the same token, it is `ok` again: the first answer may have been lost.
START = _script("""
local id, key, replaces, token, first, now, who = unpack(ARGV)
local named = redis.call('HGET', KEYS[1] .. 'keys', key)
redis.call('HEXISTS', KEYS[1] .. 'index', id)  -- what is foreign is met before anything is written
if named and exists(named) then
  if named == id and holder(id) == token then return {'ok'} end
  if named ~= replaces then return {'named', named} end
end
if exists(id) then return {'taken'} end
redis.call('XADD', records(id), '1-0', 'r', first)
redis.call('HSET', meta(id), 'key', key, 'opened', '0', 'created', now, 'touched', now,
  'holder', token, 'holds', '0 ' .. token)
redis.call('HSET', KEYS[1] .. 'keys', key, id)
redis.call('HSET', KEYS[1] .. 'index', id, key)
redis.call('SADD', KEYS[1] .. 'begun', id)
beat(token, who)
return {'ok'}
""")

#: stream, token, who, dead -> `ok`, `gone`, or the token that holds it and who beats for that. `holds` keeps who wrote
#: from which offset on. *dead*: a token whose process is known to be dead, though its last beat is young.
LOCK = _script("""
local id, token, who, dead = unpack(ARGV)
if not exists(id) then return 'gone' end
local held = holder(id)
if held ~= token then
  local by = beat_by(held)
  if by ~= '' and held ~= dead then return {held, by} end
  local holds = redis.call('HGET', meta(id), 'holds') or ''
  holds = holds .. ' ' .. redis.call('XLEN', records(id)) .. ' ' .. token
  redis.call('HSET', meta(id), 'holder', token, 'holds', holds)
end
beat(token, who)
return 'ok'
""")

#: token, who. Where there is no memory left, a beat that is there can still be prolonged.
BEAT = _script("""
if redis.call('PEXPIRE', beat_of(ARGV[1]), 'ALIVE_MS') == 0 then beat(ARGV[1], ARGV[2]) end
""")

#: The fields of many `Write`, each with *again* -> for each `ok`, `gone`, `fenced`, `foreign`, or the number of records
#: there are where some are missing. *again*: the answer to the first try was lost, the record may be there already.
WRITE = _script("""
local function move(id, new)
  local keys = KEYS[1] .. 'keys'
  local old, named = redis.call('HGET', meta(id), 'key'), redis.call('HGET', keys, new)
  if new == old or (named and named ~= id and exists(named)) then return end
  redis.call('HSET', keys, new, id)
  redis.call('HSET', KEYS[1] .. 'index', id, new)
  redis.call('HSET', meta(id), 'key', new)
  if old and redis.call('HGET', keys, old) == id then redis.call('HDEL', keys, old) end
end

local function append(what, id, token, offset, data, key, touched, again)
  if holder(id) ~= token then return 'fenced' end
  local count = redis.call('XLEN', records(id))
  if offset < count then
    return again == '1' and token ~= '' and row(id, offset) == data and 'ok' or 'fenced'
  end
  if offset > count then return count end
  local added = redis.pcall('XADD', records(id), string.format('%.0f-0', offset + 1), 'r', data)
  if type(added) == 'table' and added.err then
    if string.find(added.err, 'equal or smaller') or string.find(added.err, 'WRONGTYPE') then return 'foreign' end
    error(added)
  end
  if touched ~= '' then redis.call('HSET', meta(id), 'touched', touched) end
  if what == 'open' then
    redis.call('HSET', meta(id), 'opened', string.format('%.0f', offset))
    redis.call('SADD', KEYS[1] .. 'begun', id)
    move(id, key)
  elseif what == 'end' then
    redis.call('SREM', KEYS[1] .. 'begun', id)
  end
  return 'ok'
end

local out = {}
for i = 1, #ARGV, 8 do
  local what, id, token, at, data, key, touched, again = unpack(ARGV, i, i + 7)
  if not exists(id) then
    out[#out + 1] = 'gone'
  elseif what == 'release' then
    if holder(id) == token then redis.call('HDEL', meta(id), 'holder') end
    out[#out + 1] = 'ok'
  elseif what == 'stop' then
    redis.call('HSET', meta(id), at, '1')
    out[#out + 1] = 'ok'
  else
    out[#out + 1] = append(what, id, token, tonumber(at), data, key, touched, again)
  end
end
return out
""")

#: stream, id to begin with, limit, and so on -> for each nothing, or holds, number of records, records. What is in `m:`
#: decides whether the stream is there.
READ = _script("""
local out = {}
for i = 1, #ARGV, 3 do
  local id, from, limit = unpack(ARGV, i, i + 2)
  out[#out + 1] = exists(id) and {redis.call('HGET', meta(id), 'holds') or '', redis.call('XLEN', records(id)),
    redis.call('XRANGE', records(id), from, '+', 'COUNT', limit)} or {}
end
return out
""")

#: stream -> number of records, -1 if it is gone
COUNT = _script("""
return exists(ARGV[1]) and redis.call('XLEN', records(ARGV[1])) or -1
""")

#: streams -> what changes with everything that happens to each
MARKS = _script("""
local out = {}
for i, id in ipairs(ARGV) do
  local function mark() return redis.call('HLEN', meta(id)) .. '/' .. redis.call('XLEN', records(id)) end
  local well, found = pcall(mark)
  out[i] = well and found or 'foreign'
end
return out
""")

#: streams -> for each: nothing if it is gone, one word if it is foreign, else its entry, who beats for its writer,
#: whether it is to stop, the number of records, and three rows: the last `open`, the first, the last of all
STATUS = _script("""
local function status(id)
  local found = redis.call('HMGET', meta(id), 'key', 'opened', 'created', 'touched')
  local opened, count = tonumber(found[2] or '') or 0, redis.call('XLEN', records(id))
  local stops = redis.call('HEXISTS', meta(id), string.format('stop:%.0f*', opened))
  return {found[1] or '', found[2] or '', found[3] or '', found[4] or '', beat_by(holder(id)), stops, count,
    row(id, opened), opened > 0 and row(id, 0) or '', row(id, count - 1)}
end
local out = {}
for i, id in ipairs(ARGV) do
  local well, found = pcall(function() return exists(id) and status(id) or {} end)
  out[i] = well and found or {'foreign'}
end
return out
""")

#: stream, fields of stop rows -> -1 if it is gone, else whether one of them stands
STOPPED = _script("""
if not exists(ARGV[1]) then return -1 end
for i = 2, #ARGV do
  if redis.call('HEXISTS', meta(ARGV[1]), ARGV[i]) == 1 then return 1 end
end
return 0
""")

#: key -> the stream it names, or empty
FIND = _script("""
local named = redis.call('HGET', KEYS[1] .. 'keys', ARGV[1])
return named and exists(named) and named or ''
""")

#: stream, now -> whether it is there
TOUCH = _script("""
if not exists(ARGV[1]) then return 0 end
redis.call('HSET', meta(ARGV[1]), 'touched', ARGV[2])
return 1
""")

#: -> every stream and its key, as one JSON text: a client that reads ten thousand answers takes a tenth of a second
INDEX = _script("""
return cjson.encode(redis.call('HGETALL', KEYS[1] .. 'index'))
""")

#: -> of every stream that no record has ended: itself, its key, and who beats for its writer
BEGUN = _script("""
local out = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1] .. 'begun')) do
  local key = redis.pcall('HGET', meta(id), 'key')
  if type(key) == 'string' then out[#out + 1] = {id, key, beat_by(holder(id))} end
end
return cjson.encode(out)
""")

#: -> every stream and when it was touched, in the same form
TOUCHES = _script("""
local out = {}
for _, id in ipairs(redis.call('HKEYS', KEYS[1] .. 'index')) do
  local touched = redis.pcall('HGET', meta(id), 'touched')
  if type(touched) == 'string' then
    out[#out + 1] = id
    out[#out + 1] = touched
  end
end
return cjson.encode(out)
""")

#: stream, touched (or empty), dead -> `ok`, `kept` (it was touched since), or who has it, as LOCK
DELETE = _script("""
local id, touched, dead = unpack(ARGV)
if redis.call('TYPE', meta(id)).ok == 'hash' then
  local held = holder(id)
  local by = beat_by(held)
  if by ~= '' and held ~= dead then return {held, by} end
  if touched ~= '' and redis.call('HGET', meta(id), 'touched') ~= touched then return 'kept' end
  local key = redis.call('HGET', meta(id), 'key')
  if key and redis.call('HGET', KEYS[1] .. 'keys', key) == id then redis.call('HDEL', KEYS[1] .. 'keys', key) end
end
redis.call('HDEL', KEYS[1] .. 'index', id)
redis.call('SREM', KEYS[1] .. 'begun', id)
redis.call('UNLINK', meta(id), records(id))
return 'ok'
""")

#: now -> the stamp before, or empty
STAMP = _script("""
local before = redis.call('GET', KEYS[1] .. 'sweep') or ''
redis.call('SET', KEYS[1] .. 'sweep', ARGV[1])
return before
""")

#: now: a new store counts as just swept
FIRST_STAMP = _script("""
redis.call('SET', KEYS[1] .. 'sweep', ARGV[1], 'NX')
""")

#: streams -> bytes they take
SIZE = _script("""
local size = 0
local function add(key) size = size + (redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0') or 0) end
for _, id in ipairs(ARGV) do
  add(meta(id))
  add(records(id))
end
if #ARGV == 0 then
  add(KEYS[1] .. 'index')
  add(KEYS[1] .. 'keys')
end
return size
""")
