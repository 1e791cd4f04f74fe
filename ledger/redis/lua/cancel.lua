--[[
  Withdraw a queued payment. It stays in the lane's list until a claim steps over it.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  payment id or handle
  ARGV[2]  retention of finished payments, ms
  Returns  the row afterwards, {} when unknown
]]
local id, record, late = resolve(ARGV[1])
if not id then return {} end
if record.s == 'q' then
  finish(id, record, 'c', tonumber(ARGV[2]))
  trim(record.l)
  if waiting(record.l) == 0 then redis.call('DEL', P .. 'q:' .. record.l) end
end
return row(id, late)
