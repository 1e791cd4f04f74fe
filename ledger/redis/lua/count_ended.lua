#!lua flags=no-writes
--[[
  Count the payments of lanes that have ended, paid or failed, since a moment. Both are kept in the order of their ends,
  so the moment is found by doubling and halving steps; nothing is read one by one.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  so many ms ago
  ARGV[2+] portals; a few dozen
  Returns  a number per portal
]]
local since = NOW - tonumber(ARGV[1])

local function is_recent(id)
  local ended = id and redis.call('HGET', P .. 'p:' .. id, 'f')
  return ended and tonumber(ended) >= since
end

-- How many of the first are recent, where the recent ones come first.
local function recent(at)
  local low, high = -1, 0
  while is_recent(at(high)) do low, high = high, high * 2 + 1 end
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if is_recent(at(middle)) then low = middle else high = middle end
  end
  return high
end

local counts = {}
for n = 2, #ARGV do
  local paid, failed = P .. 'paid:' .. ARGV[n], P .. 'failed:' .. ARGV[n]
  counts[n - 1] = recent(function(index) return redis.call('LINDEX', paid, index) end)
    + recent(function(index) return redis.call('ZREVRANGE', failed, index, index)[1] end)
end
return counts
