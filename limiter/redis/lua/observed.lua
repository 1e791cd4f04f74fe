#!lua flags=allow-oom
--[[
  Learn from an answered request: the time of one command, the account of execution time; and end the rows of refusals
  and outages that make pauses grow. A replay lets the believed time fall by one more step, which is harmless.

  KEYS[1]  portal         hash, see acquire.lua
  ARGV[1]  command_s      seconds of one pay command, '' where none ran
  ARGV[2]  used_s         seconds of execution used, '' where the portal did not say
  ARGV[3]  reset_at       unix seconds, '' where the portal did not say
  ARGV[4]  falling_share  how far a quicker answer moves the believed time
  ARGV[5]  window_s       seconds after which an account without a reset is void
  ARGV[6]  keep_ms        expiry of an unused portal
  Returns  0
]]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known = redis.call('HMGET', KEYS[1], 'command_s', 'used_s', 'reset_at')
redis.call('HDEL', KEYS[1], 'refusals', 'outages')

if ARGV[1] ~= '' then
  local believed = tonumber(ARGV[1])
  local before = known[1] and tonumber(known[1])
  if before and believed < before then
    believed = before + tonumber(ARGV[4]) * (believed - before)
  end
  redis.call('HSET', KEYS[1], 'command_s', string.format('%.17g', believed))
end

if ARGV[2] ~= '' then
  local used_s = tonumber(ARGV[2])
  local before_s = known[2] and tonumber(known[2])
  local known_at = tonumber(known[3] or 0)
  local current = before_s and known_at > now
  local reset_at = current and known_at or now + tonumber(ARGV[5]) * 1000000
  if ARGV[3] ~= '' then
    -- What resets later than a whole window from now is nonsense, and would stop the portal for as long.
    reset_at = math.floor(math.min(tonumber(ARGV[3]) * 1000000, now + tonumber(ARGV[5]) * 1000000))
  end
  -- Replies overtake each other: of one window the largest figure counts, an earlier window not at all.
  if not (current and reset_at < known_at) then
    if current and reset_at == known_at then
      used_s = math.max(used_s, before_s)
    end
    redis.call('HSET', KEYS[1],
      'used_s', string.format('%.17g', used_s),
      'reset_at', string.format('%.0f', reset_at))
  end
end

-- Only a hash that still knows something needs an end.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[6]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
end
return 0
