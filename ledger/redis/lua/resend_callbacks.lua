#!lua flags=allow-oom
--[[
  Have callbacks sent now, with all their attempts, whether pending, failed or delivered. One that is being sent at this
  moment is left alone.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     events
  Returns  1, or 0 when unknown, per event
]]
local answers = {}
for n, event in ipairs(ARGV) do
  local key = P .. 'cb:' .. event
  local known = redis.call('HMGET', key, 's', 'o', 'n', 'l')
  if known[1] and tonumber(known[4] or 0) <= NOW then
    if known[1] ~= 'q' then
      redis.call('ZREM', P .. 'cb-failed', event)
      redis.call('ZREM', P .. 'cb-delivered', event)
      redis.call('ZADD', P .. 'cb-pending', NOW, event)
      redis.call('PERSIST', key)
    end
    redis.call('HSET', key, 's', 'q', 't', 0, 'm', known[3] or 0)
    make_due(known[2], event, NOW)
  end
  answers[n] = known[1] and 1 or 0
end
return answers
