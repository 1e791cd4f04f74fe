#!lua flags=allow-oom
--[[
  The portal says that the execution time is used up: grant nothing until the known reset, else for one step. A replay
  moves the end by the time between the two.

  KEYS[1]  portal    hash, see acquire.lua
  ARGV[1]  reset_at  unix seconds, '' where the answer did not say
  ARGV[2]  step_s    seconds to wait where no reset is known
  ARGV[3]  most_s    seconds to wait at most
  ARGV[4]  keep_ms   expiry of an unused portal
  Returns  seconds to wait, as a string
]]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known = redis.call('HMGET', KEYS[1], 'reset_at', 'spent_ends_at')
local told_at = ARGV[1] ~= '' and tonumber(ARGV[1]) * 1000000 or 0
local known_at = tonumber(known[1] or 0)

local ends_at = now + tonumber(ARGV[2]) * 1000000
if told_at > now then
  ends_at = told_at
elseif known_at > now then
  ends_at = known_at
end
ends_at = math.max(math.min(ends_at, now + tonumber(ARGV[3]) * 1000000), tonumber(known[2] or 0))
redis.call('HSET', KEYS[1], 'spent_ends_at', string.format('%.0f', ends_at))
-- The portal has just contradicted what it said before.
redis.call('HDEL', KEYS[1], 'used_s')
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return string.format('%.6f', (ends_at - now) / 1000000)
