#!lua flags=allow-oom
--[[
  Take one request permit of a portal, or say how long to wait for one; in the same step, what is known about the
  cost of a pay command and the execution-time budget.

  A leaky bucket: `level` drains at `rate` per second and holds at most `burst`. While the bucket has been busy, what
  drained within the last moments (`reserve`) is not counted on; an idle bucket may be filled to the brim at once.
  The clock is the server's. Not idempotent: the replay of a lost reply costs one permit more, never one too many sent.

  KEYS[1]  portal       hash; instants are microseconds of unix time in fields that end in _at
  ARGV[1]  rate         requests per second
  ARGV[2]  burst        requests
  ARGV[3]  reserve      requests
  ARGV[4]  reserve_s    seconds in which the reserve grows, and of idleness that end it
  ARGV[5]  execution_s  seconds of execution per window
  ARGV[6]  keep_ms      expiry of an unused portal
  Returns  {granted 1|0, wait_s, command_s or '', execution_left_s or ''}; seconds as strings
]]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rate = tonumber(ARGV[1]) / 1000000
local burst = tonumber(ARGV[2])
local whole_reserve = tonumber(ARGV[3])
local idle_limit = tonumber(ARGV[4]) * 1000000
local execution_s = tonumber(ARGV[5])

local known = redis.call('HMGET', KEYS[1], 'level', 'level_at', 'busy_at', 'pause_ends_at',
  'spent_ends_at', 'used_s', 'reset_at', 'command_s')
local stored_level = tonumber(known[1] or 0)
local level_at = tonumber(known[2] or 0)
local busy_at = math.min(tonumber(known[3] or 0), now)
local pause_ends_at = tonumber(known[4] or 0)
local spent_ends_at = tonumber(known[5] or 0)
local used_s = known[6] and tonumber(known[6])
local reset_at = tonumber(known[7] or 0)

-- A clock that was set back must not stop the draining until it has caught up.
if level_at > now then
  level_at = now
  redis.call('HSET', KEYS[1], 'level_at', string.format('%.0f', now))
end
local passed = now - level_at
local level = math.max(0, stored_level - rate * passed)
if passed - stored_level / rate >= idle_limit then
  busy_at = now
end

local left_s = nil
local execution_ends_at = spent_ends_at
if spent_ends_at > now then
  left_s = 0
elseif used_s then
  left_s = execution_s
  if reset_at > now then
    left_s = execution_s - used_s
    if left_s <= 0 then
      execution_ends_at = reset_at
    end
  end
end

local bucket_wait = 0
if level + math.min(whole_reserve, rate * (now - busy_at)) + 1 > burst + 0.000001 then
  -- The reserve will have grown to its whole by then.
  bucket_wait = math.max(1, (level + whole_reserve + 1 - burst) / rate)
end
local wait = math.max(0, bucket_wait, pause_ends_at - now, execution_ends_at - now)

if wait == 0 then
  redis.call('HSET', KEYS[1],
    'level', string.format('%.17g', level + 1),
    'level_at', string.format('%.0f', now),
    'busy_at', string.format('%.0f', busy_at))
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
end
return {
  wait == 0 and 1 or 0,
  string.format('%.6f', math.ceil(wait) / 1000000),
  known[8] or '',
  left_s and string.format('%.6f', left_s) or '',
}
