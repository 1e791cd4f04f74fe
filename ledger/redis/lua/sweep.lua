#!lua flags=allow-oom
--[[
  Find lanes that have work but are missing from the due-set, and put them back. Sweeps of all processes go through the
  lanes together: each goes on where the latest one stopped. Where the server's clock was set back, lanes wait for a
  time that is gone: they wait no longer than they can have to.

  Lanes whose failed payments are not counted by code are named to `tally`; so are those that it has not looked at for
  an hour, for an older version may leave lists that only seem right.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  about how many lanes to look at
  ARGV[2]  lease, ms
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

-- No lease ends later than a lease from now, and work without a pause does not wait at all.
local function pull_in(portal)
  local due = tonumber(redis.call('ZSCORE', DUE, portal) or 0)
  if due <= NOW then return end
  local key = P .. 'l:' .. portal
  local lane = redis.call('HMGET', key, 'owner', 'until', 'pause')
  local latest = NOW + tonumber(ARGV[2])
  if lane[1] and math.max(due, tonumber(lane[2])) > latest then
    redis.call('HSET', key, 'until', latest)
    redis.call('ZADD', DUE, latest, portal)
  elseif not lane[1] and not lane[3] and (sendable(portal) > 0 or redis.call('ZCARD', P .. 's:' .. portal) > 0) then
    redis.call('ZADD', DUE, NOW, portal)
    hint(portal)
  end
end

-- A held lane is looked at again no later than after its wait, also when the list of probes has lost it.
local function mend_probe(portal)
  local held = redis.call('HMGET', P .. 'l:' .. portal, 'held', 'held_at', 'probe_of', 'probe_wait')
  if not held[1] or held[3] ~= held[2] then return end
  local latest = NOW + tonumber(held[4])
  local at = redis.call('ZSCORE', PROBES, portal)
  if not at or tonumber(at) > latest then redis.call('ZADD', PROBES, latest, portal) end
end

local TALLY_EVERY_MS = 3600 * 1000
local function name_to_tally(portal)
  local tallied = redis.call('HGET', P .. 'l:' .. portal, 'tallied')
  local recent = tonumber(tallied or 0) > NOW - TALLY_EVERY_MS
  if redis.call('EXISTS', unpack(failure_keys(portal))) == 0 and redis.call('EXISTS', P .. 'failed:' .. portal) == 0 then
    return
  end
  if not recent or not is_counted(portal) then redis.call('SADD', UNCOUNTED, portal) end
end

local page = redis.call('SSCAN', P .. 'lanes', redis.call('GET', P .. 'sweep') or '0', 'COUNT', ARGV[1])
if page[1] == '0' then redis.call('DEL', P .. 'sweep') else redis.call('SET', P .. 'sweep', page[1]) end
local repaired = {}
for _, portal in ipairs(page[2]) do
  mend_probe(portal)
  name_to_tally(portal)
  if forgotten(portal) then
    put_back(portal)
    repaired[#repaired + 1] = portal
  else
    pull_in(portal)
  end
end
table.sort(repaired)
return repaired
