#!lua flags=allow-oom
--[[
  Confirm that results reached the result backend.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     handles
  Returns  how many were still owed
]]
local confirmed = 0
for _, handle in ipairs(ARGV) do confirmed = confirmed + redis.call('ZREM', OUTBOX, handle) end
return confirmed
