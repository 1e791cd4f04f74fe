#!lua flags=no-writes
--[[
  Read the latest payment of an invoice.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  invoice
  Returns  its row, or {} when none is known
]]
local id = latest(ARGV[1], ARGV[2])
return id and row(id) or {}
