"""
What is asked of Redis, as scripts (see `redis_scripts`): none of them changes what is known of a stream.

What asks about all streams comes in pieces: while a script runs, nobody else is served.
"""

from __future__ import annotations

from nbstream.log.redis_scripts import script

#: stream, id to begin with, limit, and so on -> for each nothing, or holds, number of records, records. What is in `m:`
#: decides whether the stream is there.
READ = script("""
local out = {}
for i = 1, #ARGV, 3 do
  local id, from, limit = unpack(ARGV, i, i + 2)
  out[#out + 1] = exists(id) and {redis.call('HGET', meta(id), 'holds') or '', redis.call('XLEN', records(id)),
    redis.call('XRANGE', records(id), from, '+', 'COUNT', limit)} or {}
end
return out
""")

#: stream -> number of records, -1 if it is gone
COUNT = script("""
return exists(ARGV[1]) and redis.call('XLEN', records(ARGV[1])) or -1
""")

#: streams -> what changes with everything that happens to each
MARKS = script("""
local out = {}
for i, id in ipairs(ARGV) do
  local function mark()
    return redis.call('HLEN', meta(id)) .. '/' .. redis.call('XLEN', records(id)) .. '/' .. holder(id)
  end
  local well, found = pcall(mark)
  out[i] = well and found or 'foreign'
end
return out
""")

#: streams -> for each: nothing if it is gone, one word if it is foreign, else its entry, who beats for its writer,
#: whether it is to stop, the number of records, and three rows: the last `open`, the first, the last of all
STATUS = script("""
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
STOPPED = script("""
if not exists(ARGV[1]) then return -1 end
for i = 2, #ARGV do
  if redis.call('HEXISTS', meta(ARGV[1]), ARGV[i]) == 1 then return 1 end
end
return 0
""")

#: key -> the stream it names, or empty
FIND = script("""
local named = redis.call('HGET', KEYS[1] .. 'keys', ARGV[1])
return named and exists(named) and named or ''
""")

#: cursor, count -> the next cursor (0: that was the last piece), and some *count* streams with their keys, as one JSON
#: text: a client that reads ten thousand answers takes a tenth of a second. A stream may come twice.
INDEX = script("""
return cjson.encode(redis.call('HSCAN', KEYS[1] .. 'index', ARGV[1], 'COUNT', ARGV[2]))
""")

#: cursor, count -> in the same form some of the streams that no record has ended: itself, its key, who beats for its
#: writer, the number of records. None as long as a Redis that was restarted, or took another one's place, has not been
#: there for the time of a beat: who lives has not said so yet, and who has let go of a stream has not said it again.
BEGUN = script("""
local id, server, settling = run_id(), KEYS[1] .. 'server', KEYS[1] .. 'settling'
if id ~= '' and redis.call('GET', server) ~= id then
  redis.call('SET', settling, '1', 'PX', 'ALIVE_MS')
  redis.call('SET', server, id)
end
if redis.call('EXISTS', settling) == 1 then return '["0",[]]' end
local found = redis.call('SSCAN', KEYS[1] .. 'begun', ARGV[1], 'COUNT', ARGV[2])
local out = {}
for _, id in ipairs(found[2]) do
  local known = redis.pcall('HMGET', meta(id), 'key', 'lost')
  local count = redis.pcall('XLEN', records(id))
  if known[1] and not known[2] and type(count) == 'number' then
    out[#out + 1] = {id, known[1], beat_by(holder(id)), count}
  end
end
return cjson.encode({found[1], out})
""")

#: streams -> for each when it was touched, empty if it is gone or foreign
TOUCHED = script("""
local out = {}
for i, id in ipairs(ARGV) do
  local touched = redis.pcall('HGET', meta(id), 'touched')
  out[i] = type(touched) == 'string' and touched or ''
end
return out
""")

#: -> number of streams
NUMBER = script("""
return redis.call('HLEN', KEYS[1] .. 'index')
""")

#: number -> so many streams by chance, each once
SAMPLE = script("""
return redis.call('HRANDFIELD', KEYS[1] .. 'index', ARGV[1])
""")

#: what of each to look at (0: all), streams -> bytes they take; without streams, what is kept to find them
SIZE = script("""
local size = 0
local function add(key) size = size + (redis.call('MEMORY', 'USAGE', key, 'SAMPLES', ARGV[1]) or 0) end
for i = 2, #ARGV do
  add(meta(ARGV[i]))
  add(records(ARGV[i]))
end
if #ARGV == 1 then
  for _, name in ipairs({'index', 'keys', 'begun', 'held'}) do add(KEYS[1] .. name) end
end
return size
""")
