#!lua flags=allow-oom
--[[
  Prolong leases by the lease time from now.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  lease, ms
  ARGV     then three per lease: portal, owner, fence
  Returns  1 or 0 (lost) per lease
]]
local kept = {}
local ends = NOW + tonumber(ARGV[1])
for n = 2, #ARGV, 3 do
  if drives(ARGV[n], ARGV[n + 1], ARGV[n + 2]) then
    redis.call('HSET', P .. 'l:' .. ARGV[n], 'until', ends)
    redis.call('ZADD', DUE, ends, ARGV[n])
    kept[#kept + 1] = 1
  else
    kept[#kept + 1] = 0
  end
end
return kept
