#!lua flags=allow-oom
--[[
  Grant nothing for a portal for so long; never shortens a pause. A replay moves the end by the time between the two.

  KEYS[1]  portal   hash
  ARGV[1]  seconds  of the pause, from now on
  ARGV[2]  keep_ms  expiry of an unused portal
  Returns  0
]]
local pause_ends_at = math.max(instant(redis.call('HGET', KEYS[1], 'pause_ends_at'), 0), now + tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'pause_ends_at', micros(pause_ends_at))
-- A pause must not be forgotten before its end.
keep(KEYS[1], string.format('%.0f', math.max(tonumber(ARGV[2]), math.ceil((pause_ends_at - now) * 1000))))
return 0
