#!lua flags=allow-oom
--[[
  Prolong leases by the lease time from now.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  lease, ms
  ARGV[2]  id of the ledger as the caller remembers it, or ''
  ARGV[3]  a fresh random name, for a ledger that has none
  ARGV[4]  quiet time, ms
  ARGV     then three per lease: portal, owner, fence
  Returns  1 or 0 (lost) per lease
]]
guard(ARGV[2], ARGV[3], tonumber(ARGV[4]))
local kept = {}
local ends = NOW + tonumber(ARGV[1])
for n = 5, #ARGV, 3 do
  if drives(ARGV[n], ARGV[n + 1], ARGV[n + 2]) and taken_here(ARGV[n]) then
    redis.call('HSET', P .. 'l:' .. ARGV[n], 'until', ends)
    redis.call('ZADD', DUE, ends, ARGV[n])
    kept[#kept + 1] = 1
  else
    kept[#kept + 1] = 0
  end
end
return kept
