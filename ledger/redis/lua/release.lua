#!lua flags=allow-oom
--[[
  Hand a lane back. It is looked at again in the same step, so work that came in meanwhile is not forgotten.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  owner
  ARGV[3]  fence
  ARGV[4]  ms in which nothing may be sent or read; 0 when there is no pause
  Returns  1, or 0 when the lease is lost (nothing was written)
]]
local portal, wait_ms = ARGV[1], tonumber(ARGV[4])
if not drives(portal, ARGV[2], ARGV[3]) then return 0 end
local lane = P .. 'l:' .. portal
redis.call('HDEL', lane, 'owner', 'until')
if wait_ms > 0 then redis.call('HSET', lane, 'pause', NOW + wait_ms) else redis.call('HDEL', lane, 'pause') end
schedule(portal, wait_ms)
return 1
