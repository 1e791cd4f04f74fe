#!lua flags=allow-oom
--[[
  Lease due lanes, longest overdue first. The due-set then holds the end of the lease, so a lane whose driver died
  becomes due by itself.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  owner
  ARGV[2]  how many lanes at most
  ARGV[3]  lease, ms
  ARGV[4]  name of this request: repeating it gives the same lanes again instead of further ones; random, so that it
           also names a ledger that has no id
  ARGV[5]  id of the ledger as the caller remembers it, or ''
  ARGV[6]  quiet time, ms
  Returns  {ms until the next lane is due or -1, id of the ledger, number of its epoch, then seven per lane: portal,
           fence, payments that an earlier driver left in sending, 1 when it is on trial, waiting, suspects, doubts that
           are due}
]]
local owner, lease_ms = ARGV[1], tonumber(ARGV[3])
local memo = P .. 't:' .. owner

local function next_due()
  local first = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
  if not first[2] then return -1 end
  return math.max(0, tonumber(first[2]) - NOW)
end

local function lease(portal)
  local fence = redis.call('INCR', P .. 'fence')
  redis.call('HSET', P .. 'l:' .. portal, 'owner', owner, 'fence', fence, 'until', NOW + lease_ms, 'claim', 0,
    'epoch', epoch().number)
  redis.call('HDEL', P .. 'l:' .. portal, 'pause')
  redis.call('ZADD', DUE, NOW + lease_ms, portal)
  return tostring(fence)
end

local function add(taken, portal, fence)
  local left, waiting, alone, doubts = redis.call('ZCARD', P .. 's:' .. portal), backlog(portal)
  local trial = redis.call('HEXISTS', P .. 'l:' .. portal, 'trial')
  for _, value in ipairs({portal, fence, left, trial, waiting, alone, doubts}) do taken[#taken + 1] = value end
end

local era = guard(ARGV[5], ARGV[4], tonumber(ARGV[6]))
local taken = {0, era.id, era.number}
local before = redis.call('HMGET', memo, 'request', 'lanes')
if before[1] == ARGV[4] then
  for portal, fence in string.gmatch(before[2], '(%S+) (%S+)') do
    if drives(portal, owner, fence) then add(taken, portal, fence) end
  end
else
  local lanes = {}
  for _, portal in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', NOW, 'LIMIT', 0, ARGV[2])) do
    local fence = lease(portal)
    add(taken, portal, fence)
    lanes[#lanes + 1] = portal .. ' ' .. fence
  end
  if #lanes > 0 then
    redis.call('HSET', memo, 'request', ARGV[4], 'lanes', table.concat(lanes, ' '))
    redis.call('PEXPIRE', memo, lease_ms)
  end
end
taken[1] = next_due()
return taken
