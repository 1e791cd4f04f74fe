#!lua flags=no-writes
--[[
  The names of all lanes, in no order. As one string they cost a client a tenth of what a set's elements do.

  KEYS[1]  prefix of all the ledger's keys
  Returns  portals
]]
return redis.call('SMEMBERS', P .. 'lanes')
