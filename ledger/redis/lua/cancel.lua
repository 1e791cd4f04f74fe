#!lua flags=allow-oom
--[[
  Withdraw a queued payment. Its place in the lane is searched for: a withdrawal is rare, and a name left behind would
  stand for another payment once its own record had expired.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  payment id or handle
  ARGV[2]  retention of finished payments, ms
  Returns  the row afterwards, {} when unknown
]]
local id, record, late = resolve(ARGV[1])
if not id then return {} end
if record.s == 'q' then
  redis.call('LREM', queue_of(record), 1, id)
  finish(id, record, 'c', tonumber(ARGV[2]))
  trim(record.l)
end
return row(id, late)
