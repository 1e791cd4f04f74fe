#!lua flags=no-writes
--[[
  How many callbacks there are.

  KEYS[1]  prefix of all the ledger's keys
  Returns  {pending, failed, delivered, since when the oldest pending one is so in ms or ''}
]]
local oldest = redis.call('ZRANGE', P .. 'cb-pending', 0, 0, 'WITHSCORES')
local counts = {}
for n, list in ipairs({'pending', 'failed', 'delivered'}) do counts[n] = redis.call('ZCARD', P .. 'cb-' .. list) end
counts[4] = oldest[2] or ''
return counts
