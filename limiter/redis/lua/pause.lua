#!lua flags=allow-oom
--[[
  Grant nothing for a portal for so long; never shortens a pause. A replay moves the end by the time between the two.

  KEYS[1]  portal   hash, see acquire.lua
  ARGV[1]  seconds  of the pause, from now on
  ARGV[2]  keep_ms  expiry of an unused portal
  Returns  0
]]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local pause_ends_at = math.max(
  tonumber(redis.call('HGET', KEYS[1], 'pause_ends_at') or 0),
  now + math.ceil(tonumber(ARGV[1]) * 1000000))
redis.call('HSET', KEYS[1], 'pause_ends_at', string.format('%.0f', pause_ends_at))

-- A pause must not be forgotten before its end.
local keep_ms = math.max(tonumber(ARGV[2]), math.ceil((pause_ends_at - now) / 1000))
if redis.call('PTTL', KEYS[1]) < keep_ms then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep_ms))
end
return 0
