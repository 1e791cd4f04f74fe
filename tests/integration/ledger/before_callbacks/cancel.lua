#!lua flags=allow-oom
--[[
  Withdraw a queued payment. Its place in the lane is searched for: a withdrawal is rare, and a name left behind would
  stand for another payment once its own record had expired. What a history that the server lost may have sent is not
  withdrawn but put in doubt.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  payment id or handle
  ARGV[2]  retention of finished payments, ms
  ARGV[3]  id of the ledger as the caller remembers it, or ''
  ARGV[4]  a fresh random name, for a ledger that has none
  ARGV[5]  quiet time, ms
  Returns  the row afterwards, {} when unknown
]]
local id, record, late = resolve(ARGV[1])
if not id then return {} end
guard(ARGV[3], ARGV[4], tonumber(ARGV[5]))
if record.s == 'q' then redis.call('LREM', queue_of(record), 1, id) end
if record.s == 'q' and perhaps_sent(record) then
  screen(id, record)
elseif record.s == 'q' then
  finish(id, record, 'c', tonumber(ARGV[2]))
  trim(record.l)
end
return row(id, late)
