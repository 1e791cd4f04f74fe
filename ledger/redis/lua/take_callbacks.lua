#!lua flags=allow-oom
--[[
  Lease callbacks that are due, hosts that wait longest first. One whose sender died becomes due when its lease ends.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  how many at most
  ARGV[2]  how many at most of one host
  ARGV[3]  lease, ms
  ARGV     then two per host that gets fewer: host, how many at most
  Returns  {ms until the next is due or -1, then {event, fields} each}; what a full host has due does not count
]]
local limit, until_ms, room = tonumber(ARGV[1]), NOW + tonumber(ARGV[3]), {}
for n = 4, #ARGV, 2 do room[ARGV[n]] = tonumber(ARGV[n + 1]) end
local fewer = (#ARGV - 3) / 2
local answer = {-1}

local function lease(host, event)
  local key = P .. 'cb:' .. event
  if redis.call('EXISTS', key) == 0 then  -- evicted, or deleted by somebody
    redis.call('ZREM', P .. 'cb-due:' .. host, event)
    redis.call('ZREM', P .. 'cb-pending', event)
    return 0
  end
  redis.call('HINCRBY', key, 'n', 1)
  redis.call('HINCRBY', key, 't', 1)
  redis.call('HSET', key, 'l', until_ms)
  redis.call('ZADD', P .. 'cb-due:' .. host, until_ms, event)
  answer[#answer + 1] = {event, redis.call('HGETALL', key)}
  return 1
end

-- The hosts in front may be full, and are then stepped over.
for _, host in ipairs(redis.call('ZRANGEBYSCORE', CALLBACK_HOSTS, '-inf', NOW, 'LIMIT', 0, limit + fewer)) do
  local free = math.min(limit, room[host] or tonumber(ARGV[2]))
  if free > 0 then
    for _, event in ipairs(redis.call('ZRANGEBYSCORE', P .. 'cb-due:' .. host, '-inf', NOW, 'LIMIT', 0, free)) do
      limit = limit - lease(host, event)
    end
    follow_host(host)
  end
end
local due = redis.call('ZRANGE', CALLBACK_HOSTS, 0, fewer, 'WITHSCORES')
for n = 1, #due, 2 do
  if room[due[n]] ~= 0 and answer[1] < 0 then answer[1] = math.max(0, tonumber(due[n + 1]) - NOW) end
end
return answer
