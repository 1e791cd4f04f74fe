#!lua flags=allow-oom
--[[
  Find lanes that have work but are missing from the due-set, and put them back. Sweeps of all processes go through the
  lanes together: each goes on where the latest one stopped.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  about how many lanes to look at
  Returns  portals whose lanes were put back
]]
local function forgotten(portal)
  if redis.call('ZSCORE', DUE, portal) then return false end
  local lane = redis.call('HMGET', P .. 'l:' .. portal, 'q', 's', 'd', 'held', 'until')
  if lane[4] or tonumber(lane[5] or 0) > NOW then return false end
  return tonumber(lane[1] or 0) + tonumber(lane[2] or 0) + tonumber(lane[3] or 0) > 0
end

local function put_back(portal)
  local lane = redis.call('HMGET', P .. 'l:' .. portal, 'owner', 'pause')
  if lane[1] then
    redis.call('ZADD', DUE, NOW, portal)  -- its driver died; the next one recovers what it left
    hint(portal)
  else
    schedule(portal, math.max(0, tonumber(lane[2] or 0) - NOW))
  end
end

local page = redis.call('SSCAN', P .. 'lanes', redis.call('GET', P .. 'sweep') or '0', 'COUNT', ARGV[1])
if page[1] == '0' then redis.call('DEL', P .. 'sweep') else redis.call('SET', P .. 'sweep', page[1]) end
local repaired = {}
for _, portal in ipairs(page[2]) do
  if forgotten(portal) then
    put_back(portal)
    repaired[#repaired + 1] = portal
  end
end
table.sort(repaired)
return repaired
