#!lua flags=allow-oom
--[[
  Write down what came of telling somebody. Of two senders (one stood still beyond its lease) the later attempt counts,
  but whoever delivered it, it is delivered.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  event
  ARGV[2]  number of the attempt
  ARGV[3]  D delivered, R to be tried again, F given up
  ARGV[4]  what came of it, as text
  ARGV[5]  R: ms until the next attempt; D, F: ms for which it is remembered
  Returns  1, or 0 when this attempt counts no more (nothing was written)
]]
local event, outcome = ARGV[1], ARGV[3]
local key = P .. 'cb:' .. event
local known = redis.call('HMGET', key, 's', 'o', 'n', 'm')
local host = known[2]
if known[1] ~= 'q' or tonumber(ARGV[2]) <= tonumber(known[4] or 0) then return 0 end
if outcome ~= 'D' and known[3] ~= ARGV[2] then return 0 end

local function put_away(state, list)
  redis.call('HSET', key, 's', state)
  redis.call('ZREM', P .. 'cb-pending', event)
  redis.call('ZREM', P .. 'cb-due:' .. host, event)
  redis.call('ZADD', P .. list, NOW, event)
  redis.call('ZREMRANGEBYSCORE', P .. list, '-inf', NOW - ARGV[5])
  redis.call('PEXPIRE', key, ARGV[5])
end

redis.call('HDEL', key, 'l')
redis.call('HSET', key, 'c', ARGV[4], 'x', NOW)
if outcome == 'D' then
  put_away('d', 'cb-delivered')
elseif outcome == 'F' then
  put_away('f', 'cb-failed')
else
  redis.call('ZADD', P .. 'cb-due:' .. host, NOW + ARGV[5], event)
end
follow_host(host)
return 1
