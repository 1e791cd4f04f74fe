#!lua flags=allow-oom
--[[
  Have doubts, and payments that must be read first, read now instead of later. A held lane stays held.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     payment ids or handles
  Returns  a row per name, {} when unknown
]]
local answers = {}
for n, handle in ipairs(ARGV) do
  local id, record, late = resolve(handle)
  if id and redis.call('ZADD', P .. 'd:' .. record.l, 'XX', 'LT', 'CH', NOW, id) == 1 then wake(record.l) end
  answers[n] = id and row(id, late) or {}
end
return answers
