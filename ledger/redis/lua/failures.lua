#!lua flags=allow-oom
--[[
  How many payments of some lanes have failed, by code; those that have expired are taken out first, as many as a step
  may. A lane whose lists by code are not complete is left to `tally`.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     portals; a few hundred, so that the server is nobody's alone for long
  Returns  {portal, 1 when its codes are counted, code, payments, when the latest of them failed in ms, ...} per lane with
           failed ones; what has no list of its own has the code '', and so has everything that is not counted
]]
local function latest(key)
  local newest = redis.call('ZRANGE', key, -1, -1)[1]
  return newest and redis.call('HGET', P .. 'p:' .. newest, 'f') or 0
end

local function told(portal)
  local counted, counts = is_counted(portal)
  if not counted then
    redis.call('SADD', UNCOUNTED, portal)
    return {portal, 0, '', redis.call('ZCARD', P .. 'failed:' .. portal), latest(P .. 'failed:' .. portal)}
  end
  local answer, before = {portal, 1}, #coded(portal, '')
  for n = 1, #counts, 2 do
    if counts[n + 1] > 0 then
      answer[#answer + 1] = string.sub(counts[n], before + 1)
      answer[#answer + 1] = counts[n + 1]
      answer[#answer + 1] = latest(counts[n])
    end
  end
  return answer
end

local answer = {}
for _, portal in ipairs(ARGV) do
  if redis.call('EXISTS', P .. 'failed:' .. portal) == 1 then
    trim(portal)
    local row = told(portal)
    if (row[4] or 0) > 0 then answer[#answer + 1] = row end
  end
end
return answer
