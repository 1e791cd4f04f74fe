#!lua flags=allow-oom
--[[
  Read the next payments of a lane in one state, wherever they have moved since the page before; open ones oldest first,
  finished ones newest first, those in a set of reads in no order. Looks at no more than so many records.

  Queued payments stand in three places, which are walked one after the other: r to be read first, q to send, x suspects.
  A list is gone through by position: the latest names of the pages before say where it stands now. Sets of an order that
  never changes are gone through by score, the set of reads with ZSCAN: its scores change with every read.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  state, as its letter
  ARGV[3]  where the walk stands, '' '' [] at its beginning: stage,
  ARGV[4]    position, score or scan cursor in it,
  ARGV[5]    JSON: names before it, the latest first
  ARGV[6]  how many rows at most
  ARGV[7]  how many records to look at
  ARGV[8]  '' or the code that its error must have (of open ones: or its latest read error)
  ARGV[9]  '' or since when it must have ended (been accepted, while it is open), ms
  ARGV[10] '' or until when, ms
  ARGV[11] '1' for only those that have an error
  Returns  {stage, position, {names}, row, ...}: where to go on; stage is '' at the end
]]
local portal, state, stage, at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local names = cjson.decode(ARGV[5])
local limit, looks = tonumber(ARGV[6]), tonumber(ARGV[7])
local code, since, before, troubled = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11] == '1'
local STAGES = {q = {'r', 'q', 'x'}, s = {'s'}, d = {'d'}, p = {'p'}, c = {'c'}, f = {'f'}}
local KEYS_OF = {r = 'd:', q = 'q:', x = 'x:', s = 's:', d = 'd:', p = 'paid:', c = 'cancelled:', f = 'failed:'}
local FINISHED = {p = true, c = true, f = true}
-- How far from where it stood a name is looked for before the whole list is searched.
local WINDOW = 500
local MOST_NAMES = 4
-- Lists of ends are in the order of the server's clock, which may have been set back a little.
local SETBACK_MS = 3600 * 1000
local rows = {}
local past = false  -- everything behind is older than what is wanted

-- Whoever wants the failed ones of a code need not look at a million of others. The order is the same in both lists.
local by_code = state == 'f' and code ~= '' and is_counted(portal)

local function key()
  if by_code then return coded(portal, is_named(portal, code) and code or '') end
  return P .. KEYS_OF[stage] .. portal
end

local function is_full() return #rows >= limit or looks <= 0 end

local function fits(record)
  if record.s ~= state then return false end
  local moment = tonumber(FINISHED[state] and record.f or record.e)
  if since and moment < since then
    past = past or FINISHED[state] and moment < since - SETBACK_MS
    return false
  end
  if before and moment >= before then return false end
  if code ~= '' then return record.g == code or state ~= 'f' and record.w == code end
  return not troubled or record.g ~= nil or record.w ~= nil
end

local function look_at(id)
  looks = looks - 1
  local found = redis.call('HMGET', P .. 'p:' .. id, 's', 'e', 'f', 'g', 'w')
  if not found[1] then return end
  local record = {s = found[1], e = found[2], f = found[3] or found[2], g = found[4] or nil, w = found[5] or nil}
  if fits(record) then rows[#rows + 1] = row(id) end
end

local function remember(id)
  if names[1] == id then return end
  table.insert(names, 1, id)
  names[MOST_NAMES + 1] = nil
end

-- Where a list goes on: behind the latest name that is still in it. When all are gone, so is what stood before them in a
-- queue, for it is taken from the front (or was withdrawn); and in a list of ends, for its tail expires, all behind them.
local function position(list)
  local stood = math.min(tonumber(at) or 0, 2 ^ 40)
  if not names[1] then return stood end
  if stood > 0 and redis.call('LINDEX', list, stood - 1) == names[1] then return stood end
  local first, index = math.max(0, stood - WINDOW), {}
  for n, id in ipairs(redis.call('LRANGE', list, first, stood + WINDOW)) do index[id] = first + n end
  for _, id in ipairs(names) do
    if index[id] then return index[id] end
  end
  for _, id in ipairs(names) do
    local found = redis.call('LPOS', list, id)
    if found then return found + 1 end
  end
  return FINISHED[state] and redis.call('LLEN', list) or 0
end

-- The first of a list of ends that may be old enough: it is found by halves, not by reading all that is too new.
local function skip_newer(list)
  local low, high = 0, redis.call('LLEN', list)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local ended = redis.call('HGET', P .. 'p:' .. redis.call('LINDEX', list, middle), 'f')
    if ended and tonumber(ended) >= before + SETBACK_MS then low = middle + 1 else high = middle end
  end
  return low
end

local function walk_list()
  local list, begins = key(), at == ''
  local index = begins and FINISHED[state] and before and skip_newer(list) or position(list)
  local last = nil
  while not is_full() and not past do
    local part = redis.call('LRANGE', list, index, index + math.min(looks, 100) - 1)
    if #part == 0 then return true end
    for _, id in ipairs(part) do
      if is_full() or past then break end
      look_at(id)
      index, last = index + 1, id
    end
  end
  at = string.format('%.0f', index)
  if last then remember(last) end
  return past
end

local function next_by_score()
  local limits = {'LIMIT', 0, math.min(looks, 100)}
  if stage == 'f' then
    return redis.call('ZREVRANGEBYSCORE', key(), at == '' and '+inf' or '(' .. at, '-inf', 'WITHSCORES', unpack(limits))
  end
  return redis.call('ZRANGEBYSCORE', key(), at == '' and '-inf' or '(' .. at, '+inf', 'WITHSCORES', unpack(limits))
end

local function walk_scores()
  while not is_full() and not past do
    local part = next_by_score()
    if #part == 0 then return true end
    for n = 1, #part, 2 do
      if is_full() or past then break end
      look_at(part[n])
      at = part[n + 1]
    end
  end
  return past
end

-- One answer of ZSCAN may be more than a page has room for: what is left of it is what comes behind the last name.
local function walk_reads()
  local cursor, seen = at == '' and '0' or at, names[1] or ''
  names = {}
  repeat
    local scanned = redis.call('ZSCAN', key(), cursor, 'COUNT', 100)
    local ids = {}
    for n = 1, #scanned[2], 2 do
      if scanned[2][n] > seen then ids[#ids + 1] = scanned[2][n] end
    end
    table.sort(ids)
    for n, id in ipairs(ids) do
      if is_full() then
        at, names = cursor, {ids[n - 1] or seen}
        return false
      end
      look_at(id)
    end
    cursor, seen = scanned[1], ''
  until cursor == '0' or is_full()
  at = cursor
  return cursor == '0'
end

local function walk()
  if stage == 's' or stage == 'f' then return walk_scores() end
  if stage == 'r' or stage == 'd' then return walk_reads() end
  return walk_list()
end

local function next_stage()
  for n, each in ipairs(STAGES[state]) do
    if each == stage then
      stage, at, names = STAGES[state][n + 1] or '', '', {}
      -- What waits to be sent has no error; who wants one need not look at a million without.
      if stage ~= '' and (troubled or code ~= '') then stage = '' end
      return
    end
  end
  stage = ''
end

if stage == '' then stage = STAGES[state][1] end
if FINISHED[state] then trim(portal) end
while stage ~= '' and not is_full() do
  if walk() then next_stage() end
end
local answer = {stage, at, names}
for n = 1, #rows do answer[n + 3] = rows[n] end
return answer
