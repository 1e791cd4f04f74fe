#!lua flags=allow-oom
--[[
  The portal refused a request for its rate: count the bucket as full and pause the portal, longer each time in a row.
  Refusals during a pause belong to the step before it, so many requests refused together grow it once and a replay
  changes nothing.

  KEYS[1]  portal     hash, see acquire.lua
  ARGV[1]  burst      requests
  ARGV[2]  reserve_s  seconds in which the reserve grows
  ARGV[3]  first_s    seconds of the first pause
  ARGV[4]  most_s     seconds of the longest pause
  ARGV[5]  doublings  how often a pause may double
  ARGV[6]  spread     factor in (0, 1]
  ARGV[7]  keep_ms    expiry of an unused portal
  Returns  seconds of the pause, as a string
]]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known = redis.call('HMGET', KEYS[1], 'busy_at', 'pause_ends_at', 'refusals')
local busy_at = math.min(tonumber(known[1] or now), now - tonumber(ARGV[2]) * 1000000)
local pause_ends_at = tonumber(known[2] or 0)
local refusals = tonumber(known[3] or 0)

if pause_ends_at <= now then
  local step_s = math.min(tonumber(ARGV[4]), tonumber(ARGV[3]) * 2 ^ math.min(refusals, tonumber(ARGV[5])))
  pause_ends_at = now + math.ceil(step_s * tonumber(ARGV[6]) * 1000000)
  refusals = refusals + 1
end
redis.call('HSET', KEYS[1],
  'level', ARGV[1],
  'level_at', string.format('%.0f', now),
  'busy_at', string.format('%.0f', busy_at),
  'pause_ends_at', string.format('%.0f', pause_ends_at),
  'refusals', string.format('%.0f', refusals))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[7]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
end
return string.format('%.6f', (pause_ends_at - now) / 1000000)
