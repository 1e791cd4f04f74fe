#!lua flags=no-writes
--[[
  Look at lanes as a monitor does: how many payments are in each state, and since when the oldest wait. Nothing is
  written, so finished payments whose records have expired may still be counted (an operator's look takes them out).

  Few doubts of a lane are looked at, those that are read next and those that are read last: among them are the oldest.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  how many lanes are told one by one, those with the most open payments
  ARGV[2]  a portal that is never one of them
  ARGV[3]  JSON: portals; a few hundred, so that the server is nobody's alone for long
  Returns  {now in ms, how many lanes are known, {held code, lanes, ...}, rest, lane, ...}, where a lane is
           {portal, counts of q s d p f c, oldest queued since ms or 0, oldest doubt sent at ms or 0}
           and the rest is all others as one lane without a name
]]
local MOST, OTHER = tonumber(ARGV[1]), ARGV[2]
local PORTALS = cjson.decode(ARGV[3])
local HEADS = 20  -- names at the head of a list that may belong to withdrawn payments
local EDGE = 50  -- doubts looked at, at either end
local left = 1000  -- of all lanes together
local WAITING, SENT, OPEN = 8, 9, 10  -- places in a row behind portal and counts
local LANES, QUEUES, SUSPECTS, PAYMENTS = P .. 'l:', P .. 'q:', P .. 'x:', P .. 'p:'

local function older(one, other)
  local at = tonumber(other or 0)
  return at > 0 and (one == 0 or at < one) and at or one
end

local function first_queued(list, oldest)
  for n = 0, HEADS - 1 do
    local id = redis.call('LINDEX', list, n)
    if not id then return oldest end
    local head = redis.call('HMGET', PAYMENTS .. id, 's', 'e')
    if head[1] == 'q' then return older(oldest, head[2]) end
  end
  return oldest
end

local function some_to_read(portal)
  local key = P .. 'd:' .. portal
  local edge = math.max(1, math.min(EDGE, math.floor(left / 2)))
  local ids = redis.call('ZRANGE', key, 0, edge - 1)
  for _, id in ipairs(redis.call('ZREVRANGE', key, 0, edge - 1)) do ids[#ids + 1] = id end
  left = left - #ids
  return ids
end

-- Whether any of these lanes has suspects: hardly ever, and then one question is enough for all.
local function are_any_suspects()
  local keys = {}
  for n, portal in ipairs(PORTALS) do keys[n] = SUSPECTS .. portal end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
end

local held = {}
local suspected = are_any_suspects()

local function ages(portal, queued, doubts, first)
  local waiting, sent = 0, 0
  if queued > first then
    waiting = first_queued(QUEUES .. portal, waiting)
    if suspected then waiting = first_queued(SUSPECTS .. portal, waiting) end
  end
  if doubts > 0 or first > 0 then
    for _, id in ipairs(some_to_read(portal)) do
      local record = redis.call('HMGET', PAYMENTS .. id, 's', 'e', 't')
      if record[1] == 'q' then waiting = older(waiting, record[2]) end
      if record[1] == 'd' then sent = older(sent, record[3]) end
    end
  end
  return waiting, sent
end

local function seen(portal)
  local lane = redis.call('HMGET', LANES .. portal, 'q', 's', 'd', 'p', 'f', 'c', 'r', 'held')
  local row = {portal}
  for n = 1, 6 do row[n + 1] = tonumber(lane[n] or 0) end
  row[WAITING], row[SENT] = ages(portal, row[2], row[4], tonumber(lane[7] or 0))
  row[OPEN] = row[2] + row[3] + row[4]
  if lane[8] then held[lane[8]] = (held[lane[8]] or 0) + 1 end
  return row
end

local rest = {'', 0, 0, 0, 0, 0, 0, 0, 0}
local function to_the_rest(row)
  for n = 2, 7 do rest[n] = rest[n] + row[n] end
  rest[WAITING], rest[SENT] = older(rest[WAITING], row[WAITING]), older(rest[SENT], row[SENT])
end

local function comes_before(one, other)
  if one[OPEN] ~= other[OPEN] then return one[OPEN] > other[OPEN] end
  return one[1] < other[1]
end

-- Into its place among the first; whoever has none any more is part of the rest. Most lanes never come in.
local first = {}
local function to_its_place(row)
  local place = #first + 1
  while place > 1 and comes_before(row, first[place - 1]) do place = place - 1 end
  if place > MOST then return to_the_rest(row) end
  table.insert(first, place, row)
  if #first > MOST then to_the_rest(table.remove(first)) end
end

for _, portal in ipairs(PORTALS) do
  local row = seen(portal)
  if row[1] == OTHER then to_the_rest(row) else to_its_place(row) end
end
local codes = {}
for code, lanes in pairs(held) do
  codes[#codes + 1] = code
  codes[#codes + 1] = lanes
end
local answer = {NOW, #PORTALS, codes, rest}
for _, row in ipairs(first) do
  row[OPEN] = nil
  answer[#answer + 1] = row
end
return answer
