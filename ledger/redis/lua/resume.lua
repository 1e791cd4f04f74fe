#!lua flags=allow-oom
--[[
  Let a held lane go on at once.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  Returns  1, or 0 when it was not held
]]
local lane = P .. 'l:' .. ARGV[1]
if redis.call('HDEL', lane, 'held', 'held_text', 'held_at') == 0 then return 0 end
redis.call('HDEL', lane, 'pause')
if redis.call('HEXISTS', lane, 'owner') == 0 then schedule(ARGV[1], 0) end
return 1
