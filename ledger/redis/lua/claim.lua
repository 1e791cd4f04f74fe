#!lua flags=allow-oom
--[[
  Move the oldest payments of a lane from queued to sending. After this step the pay command may leave.

  What a history that the server lost may have sent is put in doubt instead, once (docs/decisions/0016-epoch-guard.md).

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  owner
  ARGV[3]  fence
  ARGV[4]  number of this claim under the lease: repeating it gives the same payments again and claims nothing
  ARGV[5]  how many at most
  ARGV[6]  '1' for one suspect and nothing else
  ARGV[7]  id of the ledger as the caller remembers it, or ''
  ARGV[8]  a fresh random name, for a ledger that has none
  ARGV[9]  quiet time, ms
  Returns  {0} when the lease is lost, else {1, waiting, suspects, doubts that are due, row, ...}: what is left to do
]]
-- Names in the list that are not queued any more are stepped over, and those that a lost history may have sent are put
-- in doubt; one step handles so many of them at the most.
local SKIPS = 1000
local portal, number, suspect = ARGV[1], tonumber(ARGV[4]), ARGV[6] == '1'
local lane, sending = P .. 'l:' .. portal, P .. 's:' .. portal
local queue = P .. (suspect and 'x:' or 'q:') .. portal
local limit = suspect and math.min(1, tonumber(ARGV[5])) or tonumber(ARGV[5])
local claim = ARGV[3] .. '.' .. ARGV[4]
local answer = {1, 0, 0, 0}
-- So many attempts without an answer, and the next is made alone: what hangs its portal must not take the payments
-- beside it along, whose requests fail with it.
local ALONE_ATTEMPTS = 2
local full = false

local function send(id, record)
  move(id, record, 's')
  redis.call('HSET', P .. 'p:' .. id, 'a', tonumber(record.a or 0) + 1, 't', NOW, 'c', claim)
  redis.call('ZADD', sending, redis.call('HINCRBY', lane, 'seq', 1), id)
  answer[#answer + 1] = row(id)
end

local function send_in_company(id, record)
  local alone = tonumber(record.a or 0) >= ALONE_ATTEMPTS
  full = alone
  if alone and #answer > 4 then redis.call('LPUSH', queue, id) else send(id, record) end
end

-- A record is gone, evicted or deleted by somebody: what may be sent is what stands in the lists.
local function recount()
  local listed = redis.call('LLEN', P .. 'q:' .. portal) + suspects(portal)
  redis.call('HSET', lane, 'q', listed + tonumber(redis.call('HGET', lane, 'r') or 0))
end

-- True when the payment was claimed, or is to be claimed alone after this claim.
local function pass(id)
  local record = read(id)
  if not record then recount() end
  if not record or record.s ~= 'q' then return false end
  if not suspect and queue_of(record) ~= queue then
    redis.call('RPUSH', queue_of(record), id)  -- a version that knows no suspects has queued it
  elseif perhaps_sent(record) then
    screen(id, record)
  else
    send_in_company(id, record)
    return true
  end
  return false
end

local function waiting() return math.max(0, sendable(portal) - suspects(portal)) end

if not drives_still(portal, ARGV[2], ARGV[3]) then return {0} end
guard(ARGV[7], ARGV[8], tonumber(ARGV[9]))
if not taken_here(portal) then return {0} end
if number <= tonumber(redis.call('HGET', lane, 'claim')) then
  for _, id in ipairs(redis.call('ZRANGE', sending, 0, -1)) do
    if redis.call('HGET', P .. 'p:' .. id, 'c') == claim then answer[#answer + 1] = row(id) end
  end
elseif redis.call('HEXISTS', lane, 'held') == 0 then
  redis.call('HSET', lane, 'claim', number)
  local skips = SKIPS
  while #answer < limit + 4 and skips > 0 and not full do
    local id = redis.call('LPOP', queue)
    if not id then
      if waiting() > 0 then recount() end
      break
    end
    if not pass(id) then skips = skips - 1 end
  end
end
answer[2], answer[3], answer[4] = backlog(portal)
return answer
