#!lua flags=allow-oom
--[[
  The portal says that the execution time is used up: grant nothing until the known reset, else for one step. Where
  that came too early, believe in the smaller limit. A replay moves the end by the time between the two.

  KEYS[1]  account      hash
  ARGV[1]  reset_at     unix seconds, '' where the answer did not say
  ARGV[2]  step_s       seconds to wait where no reset is known
  ARGV[3]  execution_s  seconds of execution per window
  ARGV[4]  window_s     seconds; to wait at most
  ARGV[5]  keep_ms      expiry of an unused portal
  Returns  seconds to wait, as a string
]]
local limits = {execution_s = tonumber(ARGV[3]), window_s = tonumber(ARGV[4])}
local account = current_account(KEYS[1], limits)
local seen = math.max(account.told_s or 0, spent_of(account))
if account.told_s and seen < NUMBERS.limit_safe_share * limit_of(account, limits) then
  local limit_s = math.max(NUMBERS.limit_least_share * limits.execution_s, NUMBERS.limit_safe_share * seen)
  redis.call('HSET', KEYS[1], 'limit_s', exact(limit_s), 'limit_at', micros(now))
end

local ends_at = now + tonumber(ARGV[2])
local told_at = ARGV[1] ~= '' and tonumber(ARGV[1]) or 0
local leaves_at = account.parts[1] and account.parts[1].at + limits.window_s or 0
if told_at > now then
  ends_at = told_at
elseif account.reset_at > now then
  ends_at = account.reset_at
elseif leaves_at > now then
  ends_at = leaves_at
end
ends_at = math.max(math.min(ends_at, now + limits.window_s), account.spent_ends_at)
redis.call('HSET', KEYS[1], 'spent_ends_at', micros(ends_at))
keep(KEYS[1], ARGV[5])
return string.format('%.6f', ends_at - now)
