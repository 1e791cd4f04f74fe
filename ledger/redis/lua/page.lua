#!lua flags=allow-oom
--[[
  List a lane's payments in one state: open ones oldest first, finished ones newest first.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  state, as its letter
  ARGV[3]  offset
  ARGV[4]  limit
  Returns  rows
]]
local portal, state, first = ARGV[1], ARGV[2], tonumber(ARGV[3])
local last = first + tonumber(ARGV[4]) - 1

local function by_age(ids)
  local enqueued = {}
  for _, id in ipairs(ids) do enqueued[id] = tonumber(redis.call('HGET', P .. 'p:' .. id, 'e')) end
  table.sort(ids, function(one, other)
    if enqueued[one] ~= enqueued[other] then return enqueued[one] < enqueued[other] end
    return one < other
  end)
  return ids
end

local function in_state(ids)
  local kept = {}
  for _, id in ipairs(ids) do
    if redis.call('HGET', P .. 'p:' .. id, 's') == state then kept[#kept + 1] = id end
  end
  return kept
end

local function slice(ids)
  local part = {}
  for n = first + 1, math.min(last + 1, #ids) do part[#part + 1] = ids[n] end
  return part
end

local function queued()
  local list = P .. 'q:' .. portal
  local reads = tonumber(redis.call('HGET', P .. 'l:' .. portal, 'r') or 0)
  -- Without cancelled ids in the list, suspects, and payments to be read first, a page is a range.
  if reads == 0 and redis.call('LLEN', list) == sendable(portal) then return redis.call('LRANGE', list, first, last) end
  local ids = by_age(in_state(redis.call('ZRANGE', P .. 'd:' .. portal, 0, -1)))
  for _, waiting in ipairs({list, P .. 'x:' .. portal}) do
    for _, id in ipairs(in_state(redis.call('LRANGE', waiting, 0, -1))) do ids[#ids + 1] = id end
  end
  return slice(ids)
end

local function ids()
  if state == 'q' then return queued() end
  if state == 's' then return redis.call('ZRANGE', P .. 's:' .. portal, first, last) end
  if state == 'd' then return slice(by_age(in_state(redis.call('ZRANGE', P .. 'd:' .. portal, 0, -1)))) end
  trim(portal)
  if state == 'p' then return redis.call('LRANGE', P .. 'paid:' .. portal, first, last) end
  if state == 'c' then return redis.call('LRANGE', P .. 'cancelled:' .. portal, first, last) end
  return redis.call('ZREVRANGE', P .. 'failed:' .. portal, first, last)
end

local rows = {}
if last < first then return rows end
for _, id in ipairs(ids()) do
  if redis.call('EXISTS', P .. 'p:' .. id) == 1 then rows[#rows + 1] = row(id) end
end
return rows
