#!lua flags=allow-oom
--[[
  Forget a lane without open payments. What it knows of finished ones fades with their retention.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  retention, ms
  Returns  1 when it is gone, 0 when payments are open (nothing was written)
]]
local portal = ARGV[1]
local lane = P .. 'l:' .. portal
for _, open in ipairs(redis.call('HMGET', lane, 'q', 's', 'd')) do
  if tonumber(open or 0) > 0 then return 0 end
end
redis.call('SREM', P .. 'lanes', portal)
redis.call('ZREM', DUE, portal)
redis.call('HDEL', lane, 'owner', 'fence', 'epoch', 'until', 'claim', 'pause', 'held', 'held_text', 'held_remedy',
  'held_at', 'probe_wait', 'eased', 'trial', 'tally', 'tallied')
end_probes(portal)
redis.call('DEL', P .. 'q:' .. portal, P .. 'x:' .. portal)
for _, name in ipairs({'l:', 'paid:', 'cancelled:', 'failed:'}) do
  redis.call('PEXPIRE', P .. name .. portal, ARGV[2])
end
for _, key in ipairs(failure_keys(portal)) do redis.call('PEXPIRE', key, ARGV[2]) end
return 1
