"""
Everything that is changed in Redis, as scripts: each is one step that nothing else comes between.

Of each stream there are two keys: `m:<id>`, a hash of what is known about it (key, opened, created, touched, holder,
holds, stop rows, and `lost`: see RECKON), and `r:<id>`, a Redis stream with the record of offset N under the id N+1-0.
Beside them `index` (stream -> key), `keys` (key -> stream), `begun` (the streams of which no record says why they
ended), `held` (those that have a holder), `sweep`, `server` (the Redis that was last seen here), `settling` (another
one has just taken its place), and `b:<process>` for each process that writes: its beat, which ends by itself. All begin
with KEYS[1]. The names of keys are made in the scripts, so a Redis Cluster cannot run them. What is asked is in
`redis_looks`.

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
local function run_id()
  local told = redis.pcall('INFO', 'server')
  return type(told) == 'string' and string.match(told, 'run_id:(%w+)') or ''
end
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
    name of the row; *key* is an open's, *touched* may be empty. A stop row with a *token* is set only if that is the
    last hold, and the `open` that the row is for the last one.
    """

    what: Literal["open", "delta", "end", "stop", "release"]
    stream: str
    token: str
    at: str
    row: bytes = b""
    key: bytes = b""
    touched: str = ""


def script(text: str) -> Script:
    """Return a script that may use what is common to all."""
    whole = (_COMMON + text).replace("ALIVE_MS", str(ALIVE_MS))
    return Script(whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


#: stream, key, replaces, token, row, now, who -> `ok`, `taken`, or `named` and the stream that has the key. Asked
#: again with the same token, it is `ok` again: the first answer may have been lost.
START = script("""
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
redis.call('SADD', KEYS[1] .. 'held', id)
redis.call('HSET', KEYS[1] .. 'keys', key, id)
redis.call('HSET', KEYS[1] .. 'index', id, key)
redis.call('SADD', KEYS[1] .. 'begun', id)
beat(token, who)
return {'ok'}
""")

#: stream, token, who, dead -> `ok`, `gone`, or the token that holds it and who beats for that. `holds` keeps who wrote
#: from which offset on. *dead*: a token whose process is known to be dead, though its last beat is young.
LOCK = script("""
local id, token, who, dead = unpack(ARGV)
if not exists(id) then return 'gone' end
local held = holder(id)
if held ~= token then
  local by = beat_by(held)
  if by ~= '' and held ~= dead then return {held, by} end
  local holds = redis.call('HGET', meta(id), 'holds') or ''
  holds = holds .. ' ' .. redis.call('XLEN', records(id)) .. ' ' .. token
  redis.call('HSET', meta(id), 'holder', token, 'holds', holds)
  redis.call('SADD', KEYS[1] .. 'held', id)
end
beat(token, who)
return 'ok'
""")

#: process, who -> which Redis this is. Where there is no memory left, a beat that is there can still be prolonged.
BEAT = script("""
if redis.call('PEXPIRE', beat_of(ARGV[1]), 'ALIVE_MS') == 0 then beat(ARGV[1], ARGV[2]) end
return run_id()
""")

#: process, N, cursor, pieces, and tokens each with `held` or `leaving` -> the cursor behind this piece. What a Redis
#: that has lost its last moments says of this process's holds is put right: a token up to N that is none of these was
#: let go of, and its stream's end, perhaps a Stop, is lost. Until its next `open` nobody goes on with it by himself.
RECKON = script("""
local process, upto, cursor, pieces = unpack(ARGV, 1, 4)
local ours = {}
for i = 5, #ARGV, 2 do ours[ARGV[i]] = ARGV[i + 1] end
local found = redis.call('SSCAN', KEYS[1] .. 'held', cursor, 'COUNT', pieces)
for _, id in ipairs(found[2]) do
  local token = redis.pcall('HGET', meta(id), 'holder')
  local whose, number = string.match(type(token) == 'string' and token or '', '^([^.]*)%.(%d+)$')
  if whose == process and tonumber(number) <= tonumber(upto) and ours[token] ~= 'held' then
    redis.call('HSET', meta(id), 'lost', '1')
    if not ours[token] then
      redis.call('HDEL', meta(id), 'holder')
      redis.call('SREM', KEYS[1] .. 'held', id)
    end
  end
end
return found[1]
""")

#: The fields of many `Write`, each with *again* -> for each `ok`, `gone`, `fenced`, `foreign`, or the number of records
#: there are where some are missing; for a stop row `ok` and the token of the last hold. *again*: the answer to the
#: first try was lost, the record may be there already.
WRITE = script("""
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
    redis.call('HDEL', meta(id), 'lost')
    redis.call('SADD', KEYS[1] .. 'begun', id)
    move(id, key)
  elseif what == 'end' then
    redis.call('SREM', KEYS[1] .. 'begun', id)
  end
  return 'ok'
end

local function stop(id, token, at)
  local last = string.match(redis.call('HGET', meta(id), 'holds') or '', '%S*$')
  local opened = redis.call('HGET', meta(id), 'opened')
  if token == '' or (token == last and opened == string.match(at, '%d+')) then redis.call('HSET', meta(id), at, '1') end
  return 'ok ' .. last
end

local out = {}
for i = 1, #ARGV, 8 do
  local what, id, token, at, data, key, touched, again = unpack(ARGV, i, i + 7)
  if not exists(id) then
    out[#out + 1] = 'gone'
  elseif what == 'release' then
    if holder(id) == token then
      redis.call('HDEL', meta(id), 'holder')
      redis.call('SREM', KEYS[1] .. 'held', id)
    end
    out[#out + 1] = 'ok'
  elseif what == 'stop' then
    out[#out + 1] = stop(id, token, at)
  else
    out[#out + 1] = append(what, id, token, tonumber(at), data, key, touched, again)
  end
end
return out
""")

#: stream, now -> whether it is there
TOUCH = script("""
if not exists(ARGV[1]) then return 0 end
redis.call('HSET', meta(ARGV[1]), 'touched', ARGV[2])
return 1
""")

#: stream, touched (or empty), dead -> `ok`, `kept` (it was touched since), or who has it, as LOCK
DELETE = script("""
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
redis.call('SREM', KEYS[1] .. 'held', id)
redis.call('UNLINK', meta(id), records(id))
return 'ok'
""")

#: now -> the stamp before, or empty
STAMP = script("""
local before = redis.call('GET', KEYS[1] .. 'sweep') or ''
redis.call('SET', KEYS[1] .. 'sweep', ARGV[1])
return before
""")

#: now -> which Redis this is. A new store counts as just swept.
FIRST_STAMP = script("""
local id = run_id()
redis.pcall('SET', KEYS[1] .. 'sweep', ARGV[1], 'NX')
redis.pcall('SET', KEYS[1] .. 'server', id, 'NX')
return id
""")
