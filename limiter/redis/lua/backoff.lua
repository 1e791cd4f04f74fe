#!lua flags=allow-oom
--[[
  The portal is unreachable or out of order: pause it, longer each time in a row. Outages seen during a pause belong to
  the step before it, so many requests that fail together grow it once and a replay changes nothing.

  KEYS[1]  portal     hash
  ARGV[1]  first_s    seconds of the first pause
  ARGV[2]  most_s     seconds of the longest pause
  ARGV[3]  doublings  how often a pause may double
  ARGV[4]  spread     factor in (0, 1]
  ARGV[5]  keep_ms    expiry of an unused portal
  Returns  seconds of the pause, as a string
]]
local known = redis.call('HMGET', KEYS[1], 'pause_ends_at', 'outages')
local pause_ends_at = instant(known[1], 0)
local outages = tonumber(known[2] or 0)

if pause_ends_at <= now then
  local step_s = math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) * 2 ^ math.min(outages, tonumber(ARGV[3])))
  pause_ends_at = now + step_s * tonumber(ARGV[4])
  redis.call('HSET', KEYS[1],
    'pause_ends_at', micros(pause_ends_at),
    'outages', string.format('%.0f', outages + 1))
end
keep(KEYS[1], ARGV[5])
return string.format('%.6f', pause_ends_at - now)
