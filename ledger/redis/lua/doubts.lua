#!lua flags=no-writes
--[[
  Payments of a lane whose read-back is due. A held lane has none: it is not asked anything.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  owner
  ARGV[3]  fence
  ARGV[4]  how many at most
  Returns  {0} when the lease is lost, else {1, now in ms, row, ...}
]]
if not drives_still(ARGV[1], ARGV[2], ARGV[3]) then return {0} end
local answer = {1, NOW}
if redis.call('HEXISTS', P .. 'l:' .. ARGV[1], 'held') == 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'd:' .. ARGV[1], '-inf', NOW, 'LIMIT', 0, ARGV[4])) do
    answer[#answer + 1] = row(id)
  end
end
return answer
