#!lua flags=no-writes
--[[
  Which of these lanes are held.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     portals; a few hundred, so that the server is nobody's alone for long
  Returns  portals
]]
local held = {}
for _, portal in ipairs(ARGV) do
  if redis.call('HEXISTS', P .. 'l:' .. portal, 'held') == 1 then held[#held + 1] = portal end
end
return held
