#!lua flags=allow-oom
--[[
  Confirm that results reached the result backend. One that was delivered late, when its payment had been retried and
  had ended anew, confirms nothing: the new result is still owed.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     three per result: its handle, the state it told of, and when its payment had finished, in ms
  Returns  how many were still owed
]]
local function is_out_of_date(handle, state, finished_at)
  local _, record = resolve(handle)
  return record ~= nil and (record.s ~= state or record.f ~= finished_at)
end

local confirmed = 0
for n = 1, #ARGV, 3 do
  if not is_out_of_date(ARGV[n], ARGV[n + 1], ARGV[n + 2]) then
    confirmed = confirmed + redis.call('ZREM', OUTBOX, ARGV[n])
  end
end
return confirmed
