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

local function read_back()
  return by_age(in_state(redis.call('ZRANGE', P .. 'd:' .. portal, 0, -1)))
end

local page = {}
local before = 0  -- how many payments stand before what is looked at now

-- What the page has of these, and of a whole list.
local function take(ids)
  for n = math.max(1, first - before + 1), math.min(last - before + 1, #ids) do page[#page + 1] = ids[n] end
  before = before + #ids
end

local function take_list(list)
  if last >= before then
    local part = redis.call('LRANGE', list, math.max(0, first - before), last - before)
    for _, id in ipairs(part) do page[#page + 1] = id end
  end
  before = before + redis.call('LLEN', list)
end

-- Those to be read first, those to send, those to send alone. A lane may hold a million: only what the page shows is
-- looked at, unless the lists hold names that are not queued any more.
local function queued()
  local lists = {P .. 'q:' .. portal, P .. 'x:' .. portal}
  if tonumber(redis.call('HGET', P .. 'l:' .. portal, 'r') or 0) > 0 then take(read_back()) end
  local listed = redis.call('LLEN', lists[1]) + redis.call('LLEN', lists[2])
  for _, list in ipairs(lists) do
    if listed == sendable(portal) then take_list(list) else take(in_state(redis.call('LRANGE', list, 0, -1))) end
  end
  return page
end

local function ids()
  if state == 'q' then return queued() end
  if state == 's' then return redis.call('ZRANGE', P .. 's:' .. portal, first, last) end
  if state == 'd' then
    take(read_back())
    return page
  end
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
