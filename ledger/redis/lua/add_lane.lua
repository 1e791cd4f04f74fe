#!lua
--[[
  Make a portal known. A lane that was removed comes back with the finished payments it still remembers.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  Returns  1 when it was added, 0 when it was known
]]
local added = redis.call('SADD', P .. 'lanes', ARGV[1])
for _, name in ipairs({'l:', 'paid:', 'cancelled:', 'failed:'}) do redis.call('PERSIST', P .. name .. ARGV[1]) end
for _, key in ipairs(failure_keys(ARGV[1])) do redis.call('PERSIST', key) end
return added
