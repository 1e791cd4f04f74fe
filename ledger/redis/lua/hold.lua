#!lua flags=allow-oom
--[[
  Stop a lane until it is resumed; the first reason is kept. A driver at work ends its batch and claims no more.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  code
  ARGV[3]  text
  Returns  1, or 0 when there is no such lane
]]
local lane = P .. 'l:' .. ARGV[1]
if not is_lane(ARGV[1]) then return 0 end
if redis.call('HSETNX', lane, 'held', ARGV[2]) == 1 then
  redis.call('HSET', lane, 'held_text', ARGV[3], 'held_at', NOW)
  -- A leased lane stays in the due-set: should its driver die, the next one still recovers what it had sent.
  if redis.call('HEXISTS', lane, 'owner') == 0 then redis.call('ZREM', DUE, ARGV[1]) end
end
return 1
