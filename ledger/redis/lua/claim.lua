--[[
  Move the oldest payments of a lane from queued to sending. After this step the pay command may leave.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  owner
  ARGV[3]  fence
  ARGV[4]  number of this claim under the lease: repeating it gives the same payments again and claims nothing
  ARGV[5]  how many at most
  ARGV[6]  claim nothing while fewer than this wait
  Returns  {0} when the lease is lost, else {1, payments that still wait, row, ...}
]]
-- A name in the list that is not queued any more is stepped over; one step steps over so many of them at the most.
local SKIPS = 1000
local portal, number, limit = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local lane, queue, sending = P .. 'l:' .. portal, P .. 'q:' .. portal, P .. 's:' .. portal
local claim = ARGV[3] .. '.' .. ARGV[4]

local function send(id, record)
  move(id, record, 's')
  redis.call('HSET', P .. 'p:' .. id, 'a', tonumber(record.a or 0) + 1, 't', NOW, 'c', claim)
  redis.call('ZADD', sending, redis.call('HINCRBY', lane, 'seq', 1), id)
end

if not drives_still(portal, ARGV[2], ARGV[3]) then return {0} end
local answer = {1, 0}
if number <= tonumber(redis.call('HGET', lane, 'claim')) then
  for _, id in ipairs(redis.call('ZRANGE', sending, 0, -1)) do
    if redis.call('HGET', P .. 'p:' .. id, 'c') == claim then answer[#answer + 1] = row(id) end
  end
elseif redis.call('HEXISTS', lane, 'held') == 0 then
  redis.call('HSET', lane, 'claim', number)
  local skips = waiting(portal) >= tonumber(ARGV[6]) and SKIPS or 0
  while #answer < limit + 2 and skips > 0 do
    local id = redis.call('LPOP', queue)
    if not id then break end
    local record = read(id)
    if record and record.s == 'q' then
      send(id, record)
      answer[#answer + 1] = row(id)
    else
      skips = skips - 1
    end
  end
end
answer[2] = waiting(portal)
return answer
