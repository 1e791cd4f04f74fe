#!lua flags=allow-oom
--[[
  Put the lists of failed payments by code right, of lanes where a version that does not know them was at work: a part of
  one lane at a time. All processes work on the same lanes, each from where the latest stopped.

  First every failed payment is put into a list, then what does not belong there is taken out of each.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  how many records to look at
  Returns  {1 when there is more to do, how many places were put right}
]]
local looks, mended = tonumber(ARGV[1]), 0
local portal = redis.call('SRANDMEMBER', UNCOUNTED)
if not portal then return {0, 0} end
local lane, failed = P .. 'l:' .. portal, P .. 'failed:' .. portal

-- Whether a failed payment stands in the list of its code, or in that of all others.
local function is_listed(id, code)
  return redis.call('ZSCORE', coded(portal, code), id) or redis.call('ZSCORE', coded(portal, ''), id)
end

local function enlist(id, order)
  local code = redis.call('HGET', P .. 'p:' .. id, 'g')
  if code and not is_listed(id, code) then
    add_failure(portal, id, code, order)
    mended = mended + 1
  end
end

local function belongs(id, name)
  if not redis.call('ZSCORE', failed, id) then return false end
  local code = redis.call('HGET', P .. 'p:' .. id, 'g')
  if name ~= '' then return not code or code == name end
  return not code or code == '' or not redis.call('ZSCORE', coded(portal, code), id)
end

local function strike(id, name)
  if belongs(id, name) then return end
  redis.call('ZREM', coded(portal, name), id)
  if redis.call('EXISTS', coded(portal, name)) == 0 then redis.call('SREM', codes_of(portal), name) end
  mended = mended + 1
end

-- The next ones of a list, each given to `visit`; where they end, false when that is the end of the list.
local function walk(key, at, visit, name)
  local part = redis.call('ZRANGEBYSCORE', key, '(' .. at, '+inf', 'WITHSCORES', 'LIMIT', 0, looks)
  for n = 1, #part, 2 do visit(part[n], name or part[n + 1]) end
  looks = looks - #part / 2
  return looks <= 0 and part[#part] or false
end

-- The names of the lists behind one, in an order that does not change while they come and go.
local function names_behind(name)
  local names = {}
  for _, each in ipairs(redis.call('SMEMBERS', codes_of(portal))) do
    if each >= name then names[#names + 1] = each end
  end
  if name == '' then names[#names + 1] = '' end
  table.sort(names)
  return names
end

local function goes_on(stage, at, name)
  redis.call('HSET', lane, 'tally', stage .. ' ' .. at .. ' ' .. name)
  return {1, mended}
end

local stage, at, name = string.match(redis.call('HGET', lane, 'tally') or 'f -1 ', '^(%l) (%S+) (.*)$')
if stage == 'f' then
  local left = walk(failed, at, enlist)
  if left then return goes_on('f', left, '') end
  at = '-1'
end
for _, each in ipairs(names_behind(name)) do
  local left = walk(coded(portal, each), each == name and at or '-1', strike, each)
  if left then return goes_on('n', left, each) end
end
redis.call('HDEL', lane, 'tally')
if redis.call('EXISTS', lane) == 1 then redis.call('HSET', lane, 'tallied', NOW) end
redis.call('SREM', UNCOUNTED, portal)
return {redis.call('SCARD', UNCOUNTED), mended}
