#!lua flags=no-writes
--[[
  Read the latest payment of an invoice.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  invoice
  Returns  its row, or {} when none is known
]]
local id = redis.call('HGET', slot(ARGV[1], ARGV[2]))
if not id or redis.call('EXISTS', P .. 'p:' .. id) == 0 then return {} end
return row(id)
