#!lua flags=allow-oom
--[[
  Put what an earlier driver of this lane left in sending in doubt: it may have left its machine.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  owner
  ARGV[3]  fence
  ARGV[4]  quiet time from the claim on, ms
  Returns  how many there were, -1 when the lease is lost
]]
if not drives(ARGV[1], ARGV[2], ARGV[3]) then return -1 end
local ours = ARGV[3] .. '.'
local found = 0
for _, id in ipairs(redis.call('ZRANGE', P .. 's:' .. ARGV[1], 0, -1)) do
  local record = read(id)
  if not record then
    redis.call('ZREM', P .. 's:' .. ARGV[1], id)
    count(ARGV[1], 's', -1)
  elseif string.sub(record.c, 1, #ours) ~= ours then
    doubt(id, record, tonumber(ARGV[4]), 'X')
    redis.call('HINCRBY', P .. 'p:' .. id, 'x', 1)
    found = found + 1
  end
end
return found
