#!lua flags=allow-oom
--[[
  Payments of a lane whose read-back is due. A held lane has none: it is not asked anything.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  owner
  ARGV[3]  fence
  ARGV[4]  how many at most
  ARGV[5]  id of the ledger as the caller remembers it, or ''
  ARGV[6]  a fresh random name, for a ledger that has none
  ARGV[7]  quiet time, ms
  Returns  {0} when the lease is lost, else {1, now in ms, row, ...}
]]
if not drives_still(ARGV[1], ARGV[2], ARGV[3]) then return {0} end
guard(ARGV[5], ARGV[6], tonumber(ARGV[7]))
if not taken_here(ARGV[1]) then return {0} end
local portal, lane, waiting = ARGV[1], P .. 'l:' .. ARGV[1], P .. 'd:' .. ARGV[1]
local answer = {1, NOW}

-- A record is gone (evicted, or somebody deleted it), and whether it was in doubt or was to be read first went with it.
local function recount()
  local left = {d = 0, r = 0}
  for _, id in ipairs(redis.call('ZRANGE', waiting, 0, -1)) do
    local state = redis.call('HGET', P .. 'p:' .. id, 's')
    if not state then
      redis.call('ZREM', waiting, id)
    else
      local field = state == 'd' and 'd' or 'r'
      left[field] = left[field] + 1
    end
  end
  count(portal, 'q', left.r - tonumber(redis.call('HGET', lane, 'r') or 0))
  redis.call('HSET', lane, 'd', left.d, 'r', left.r)
end

if redis.call('HEXISTS', lane, 'held') == 0 then
  local damaged = false
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', NOW, 'LIMIT', 0, ARGV[4])) do
    if redis.call('EXISTS', P .. 'p:' .. id) == 1 then answer[#answer + 1] = row(id) else damaged = true end
  end
  if damaged then recount() end
end
return answer
