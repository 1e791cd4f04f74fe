#!lua flags=allow-oom
--[[
  How many payments of some lanes have failed, by code; those that have expired are taken out first, as many as a step
  may. A lane whose lists by code are not complete is left to `tally`.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     portals; a few hundred, so that the server is nobody's alone for long
  Returns  {portal, failed, when the latest of them did in ms, 1 when its codes are counted, code, payments, when the
           latest of them failed in ms, ...} per lane with failed ones; what has no list of its own has the code ''
]]
local function latest(key)
  local newest = redis.call('ZRANGE', key, -1, -1)[1]
  return newest and redis.call('HGET', P .. 'p:' .. newest, 'f') or 0
end

local function told(portal)
  local failed = P .. 'failed:' .. portal
  local counted = is_counted(portal)
  if not counted then redis.call('SADD', UNCOUNTED, portal) end
  local answer = {portal, redis.call('ZCARD', failed), latest(failed), counted and 1 or 0}
  local codes = counted and redis.call('SMEMBERS', codes_of(portal)) or {}
  if counted then codes[#codes + 1] = '' end
  for _, code in ipairs(codes) do
    local number = redis.call('ZCARD', coded(portal, code))
    if number > 0 then
      for _, value in ipairs({code, number, latest(coded(portal, code))}) do answer[#answer + 1] = value end
    end
  end
  return answer
end

local answer = {}
for _, portal in ipairs(ARGV) do
  if redis.call('EXISTS', P .. 'failed:' .. portal) == 1 then trim(portal) end
  if redis.call('EXISTS', P .. 'failed:' .. portal) == 1 then answer[#answer + 1] = told(portal) end
end
return answer
