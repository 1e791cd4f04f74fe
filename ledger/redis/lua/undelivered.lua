#!lua flags=allow-oom
--[[
  Final results that were not confirmed as delivered, oldest first.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  how many at most
  ARGV[2]  only those older than so many ms
  Returns  {handle, row} each; results whose payment has expired are dropped
]]
local answer = {}
for _, handle in ipairs(redis.call('ZRANGEBYSCORE', OUTBOX, '-inf', NOW - ARGV[2], 'LIMIT', 0, ARGV[1])) do
  local id, record, late = resolve(handle)
  if not id or not record.f then
    redis.call('ZREM', OUTBOX, handle)
  else
    answer[#answer + 1] = {handle, row(id, late)}
  end
end
return answer
