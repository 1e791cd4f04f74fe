#!lua flags=no-writes
--[[
  Read the latest payments of one invoice number at several portals.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  invoice
  ARGV[2+] portals; a few hundred, so that the server is nobody's alone for long
  Returns  the rows of those that are known, in the order of the portals
]]
local rows = {}
for n = 2, #ARGV do
  local id = latest(ARGV[n], ARGV[1])
  if id then rows[#rows + 1] = row(id) end
end
return rows
