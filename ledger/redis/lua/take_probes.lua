#!lua flags=allow-oom
--[[
  Hand out held lanes to be looked at, longest due first, each to one caller: its next turn comes after twice the wait.
  The replay of a lost reply skips a turn.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  how many at most
  Returns  three per lane: portal, code, since when it is held in ms
]]
local LONGEST_WAIT_MS = 5 * 60 * 1000
local taken = {}
for _, portal in ipairs(redis.call('ZRANGEBYSCORE', PROBES, '-inf', NOW, 'LIMIT', 0, ARGV[1])) do
  local lane = P .. 'l:' .. portal
  local held = redis.call('HMGET', lane, 'held', 'held_at', 'probe_of', 'probe_wait')
  if held[1] and held[3] == held[2] then
    local wait = math.min(LONGEST_WAIT_MS, 2 * tonumber(held[4]))
    redis.call('HSET', lane, 'probe_wait', wait)
    redis.call('ZADD', PROBES, NOW + wait, portal)
    for _, value in ipairs({portal, held[1], held[2]}) do taken[#taken + 1] = value end
  else
    end_probes(portal)
  end
end
return taken
