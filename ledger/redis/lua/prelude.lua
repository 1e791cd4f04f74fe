--[[
  What every ledger step starts with: the clock, and the few moves that several steps share.

  The loader puts this text in front of each step. The clock is the server's, so machines with skewed clocks share one
  truth. KEYS[1] is the prefix of all the ledger's keys; its hash tag routes the call, the rest of each name is built
  here (the key map stands in ledger/redis/scripts.py).

  A payment's record is a hash with one-letter fields, so that it stays a listpack; an absent field means none:
    l portal   i invoice   y pay system   b handler code   k idempotency key   s state   a attempts   x deaths
    e enqueued   t sent   f finished   p paid   u quiet until (all ms)   v evidence   c claim   d duplicate
    g m  code and text of the refusal   w z  code and text of the latest read error
    j  other handles or keys are listed in its `j:` set
    r  must be read before anything is sent; the id of the paid payment it came after, '' where there is none (a retry,
       or a request after an end that does not prove the invoice unpaid)
    o  number of the epoch in which it was certain that no lost history had sent it   n  why a person decided on it
    h  somebody wants to be told of its end (its `w:` hash); the `f` of the end that was told of last, '' before the first
    q  trace context of the request it was written for, while it is open
    H  what happened to it that the fields above would forget (see `note`); absent where it went straight to its end
  States: q queued, s sending, d in doubt, p paid, f failed, c cancelled.
]]
local P = KEYS[1]
local clock = redis.call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)
local DUE = P .. 'due'
local OUTBOX = P .. 'out'
local PROBES = P .. 'probes'
-- An "unpaid" does not count yet while the quiet time lasts, but a "paid" does: so a doubt is read once soon.
local FIRST_READ_MS = 2000
-- A lane's pause may be about what sending costs, which reading does not: reads ask for themselves this soon.
local READS_WAIT_MS = 5000
-- A payment whose driver died so often is claimed alone: the next death is its own doing and nobody else's.
local SUSPECT_DEATHS = 2
-- After a rollback, who else may ask for something that was rolled back: a producer whose accepted request is gone
-- asks again within its own retries or in its next run, and after a crash on Friday night that may be on Monday.
local GUARD_MS = 96 * 3600 * 1000
local EPOCH = P .. 'epoch'
local WANTED = P .. 'cb-wanted'
local CALLBACK_HOSTS = P .. 'cb-hosts'
local UNCOUNTED = P .. 'uncounted'
-- How long a payment with a callback is not looked at by a sweep: half of its age, within these bounds.
local FIRST_LOOK_MS, LONGEST_LOOK_MS = 15 * 1000, 10 * 60 * 1000

local function read(id)
  local flat = redis.call('HGETALL', P .. 'p:' .. id)
  if #flat == 0 then return nil end
  local record = {}
  for n = 1, #flat, 2 do record[flat[n]] = flat[n + 1] end
  return record
end

local function row(id, duplicate)
  return {id, duplicate and 1 or 0, redis.call('HGETALL', P .. 'p:' .. id)}
end

-- The payment behind an id or a joined handle: its id, its record, and whether this handle came after it was paid.
local function resolve(handle)
  local record = read(handle)
  if record then return handle, record, false end
  local alias = redis.call('GET', P .. 'h:' .. handle)
  if not alias then return nil end
  local id = string.sub(alias, 2)
  record = read(id)
  if not record then return nil end
  return id, record, string.sub(alias, 1, 1) == 'd'
end

-- Where the index keeps the latest payment of an invoice: 64 neighbours share one small hash.
local function slot(portal, invoice)
  local n = tonumber(invoice)
  return P .. 'i:' .. portal .. ':' .. string.format('%.0f', math.floor(n / 64)), string.format('%.0f', n % 64)
end

-- The latest payment of an invoice. Its neighbours keep an entry alive whose record is gone, and the name of that record
-- may stand for another payment since.
local function latest(portal, invoice)
  local id = redis.call('HGET', slot(portal, invoice))
  local record = id and read(id)
  if record and record.l == portal and record.i == invoice then return id, record end
end

local function count(portal, field, by)
  redis.call('HINCRBY', P .. 'l:' .. portal, field, by)
end

-- Here the loader puts marks.lua: what is remembered of moves besides the state.
local function move(id, record, to)
  count(record.l, record.s, -1)
  count(record.l, to, 1)
  if to == 'p' or to == 'f' or to == 'd' then tick(to, 1) end
  redis.call('HSET', P .. 'p:' .. id, 's', to)
  record.s = to
end

local function is_lane(portal)
  return redis.call('SISMEMBER', P .. 'lanes', portal) == 1
end

-- How many payments want to be sent: the queued ones without those that must be read first.
local function sendable(portal)
  local counts = redis.call('HMGET', P .. 'l:' .. portal, 'q', 'r')
  return tonumber(counts[1] or 0) - tonumber(counts[2] or 0)
end

local function suspects(portal)
  return redis.call('LLEN', P .. 'x:' .. portal)
end

-- What there is to do: payments to send, suspects to send alone, doubts whose read-back is due. A held lane has nothing.
local function backlog(portal)
  if redis.call('HEXISTS', P .. 'l:' .. portal, 'held') == 1 then return 0, 0, 0 end
  local alone = suspects(portal)
  return math.max(0, sendable(portal) - alone), alone, redis.call('ZCOUNT', P .. 'd:' .. portal, '-inf', NOW)
end

-- Which list a payment that may be sent waits in.
local function queue_of(record)
  return P .. (tonumber(record.x or 0) >= SUSPECT_DEATHS and 'x:' or 'q:') .. record.l
end

local function hint(portal)
  redis.call('PUBLISH', P .. 'wake', portal)
end

-- New work: the lane is due now, or when its pause ends. A held lane waits for a person; a leased one is looked at
-- again when it is handed back, and stands in the due-set with the end of its lease.
local function wake(portal)
  local lane = redis.call('HMGET', P .. 'l:' .. portal, 'owner', 'held', 'pause')
  if lane[1] or lane[2] then return end
  local at = math.max(NOW, tonumber(lane[3] or 0))
  if redis.call('ZADD', DUE, 'LT', 'CH', at, portal) == 1 then hint(portal) end
end

-- Nobody drives the lane (any more): when does it want to be driven next?
local function schedule(portal, wait_ms)
  local lane = P .. 'l:' .. portal
  if redis.call('HEXISTS', lane, 'held') == 1 then
    redis.call('ZREM', DUE, portal)
    return
  end
  local at = nil
  if sendable(portal) > 0 or redis.call('ZCARD', P .. 's:' .. portal) > 0 then at = NOW + wait_ms end
  local doubt = redis.call('ZRANGE', P .. 'd:' .. portal, 0, 0, 'WITHSCORES')
  if doubt[2] then
    local read_at = tonumber(doubt[2])
    if wait_ms > 0 then read_at = math.max(read_at, NOW + math.min(wait_ms, READS_WAIT_MS)) end
    if not at or read_at < at then at = read_at end
  end
  if not at then
    redis.call('ZREM', DUE, portal)
    return
  end
  redis.call('ZADD', DUE, at, portal)
  if at <= NOW then hint(portal) end
end

-- Nobody looks at the lane any more. An older version resumes and holds without this, so a probe counts only for the
-- hold whose moment `probe_of` names.
local function end_probes(portal)
  redis.call('HDEL', P .. 'l:' .. portal, 'probe_of')
  redis.call('ZREM', PROBES, portal)
end

local function drives(portal, owner, fence)
  local lane = redis.call('HMGET', P .. 'l:' .. portal, 'owner', 'fence')
  return lane[1] == owner and lane[2] == fence
end

-- As `drives`, and the lease has not run out: nothing new may be begun under a lease that anybody can take.
local function drives_still(portal, owner, fence)
  return drives(portal, owner, fence) and tonumber(redis.call('HGET', P .. 'l:' .. portal, 'until')) > NOW
end

-- The epoch as it is known: its number, when its guard ends, and its quiet time.
local ERA = nil
local function epoch()
  if not ERA then
    local known = redis.call('HMGET', EPOCH, 'id', 'number', 'until', 'quiet')
    ERA = {id = known[1], number = known[2] or '', ends = tonumber(known[3] or 0), quiet = tonumber(known[4] or 0)}
  end
  return ERA
end

-- Whether a history that this server does not know may have sent the payment, and nobody has asked the portal since.
-- What was accepted in the future is older than the epoch: this server's clock is behind that of the one before it.
local function perhaps_sent(record)
  local era, accepted_at = epoch(), tonumber(record.e)
  local before = accepted_at < era.ends or era.ends > 0 and accepted_at > NOW
  return before and record.o ~= era.number
end

-- Until when an "unpaid" does not count: its own quiet time, and that of what the lost history may have sent last.
local function quiet_end(record, own)
  return perhaps_sent(record) and math.max(own, epoch().quiet) or own
end

-- All names of a payment besides its id, as full keys, and all handles whose result must be delivered.
local function names(id, record)
  local keys, handles = {}, {id}
  if record.k then keys[1] = P .. 'k:' .. record.k end
  if record.j then
    keys[#keys + 1] = P .. 'j:' .. id
    local members = redis.call('SMEMBERS', P .. 'j:' .. id)
    table.sort(members)
    for _, member in ipairs(members) do
      local kind, name = string.sub(member, 1, 1), string.sub(member, 2)
      keys[#keys + 1] = P .. kind .. ':' .. name
      if kind == 'h' then handles[#handles + 1] = name end
    end
  end
  return keys, handles
end

-- Forget the oldest finished payments of a lane whose records have expired.
local function trim(portal)
  for field, list in pairs({p = P .. 'paid:' .. portal, c = P .. 'cancelled:' .. portal}) do
    for _ = 1, 100 do
      local oldest = redis.call('LINDEX', list, -1)
      if not oldest or redis.call('EXISTS', P .. 'p:' .. oldest) == 1 then break end
      redis.call('RPOP', list)
      count(portal, field, -1)
    end
  end
  local failed = P .. 'failed:' .. portal
  for _ = 1, 100 do
    local oldest = redis.call('ZRANGE', failed, 0, 0)[1]
    if not oldest or redis.call('EXISTS', P .. 'p:' .. oldest) == 1 then break end
    redis.call('ZREM', failed, oldest)
    drop_failure(portal, oldest)
    count(portal, 'f', -1)
  end
end

-- One open payment less in the index. The bucket lives as long as any payment in it is open.
local function close_slot(record, retention_ms)
  local bucket, field = slot(record.l, record.i)
  local before = (record.r or '') ~= '' and record.s ~= 'p' and read(record.r)
  if before and before.l == record.l and before.i == record.i then
    -- It ended without having been read as unpaid: what is known is still that the invoice was paid before.
    redis.call('HSET', bucket, field, record.r)
  end
  if redis.call('HINCRBY', bucket, 'o', -1) <= 0 then redis.call('PEXPIRE', bucket, retention_ms) end
end

-- A callback wants to be tried at this moment.
local function make_due(host, event, at)
  redis.call('ZADD', P .. 'cb-due:' .. host, at, event)
  redis.call('ZADD', CALLBACK_HOSTS, 'LT', at, host)
end

-- When a host's first callback is due, after something has changed about it.
local function follow_host(host)
  local first = redis.call('ZRANGE', P .. 'cb-due:' .. host, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', CALLBACK_HOSTS, first[2], host)
  else
    redis.call('ZREM', CALLBACK_HOSTS, host)
  end
end

-- Tell one who wished for it of a payment's end. The name is made of what it tells, so that it is told once: "paid" and
-- "cancelled" happen once in a payment's life, failures may be several.
local function tell(id, record, handle, wish, late)
  local moment = record.s == 'f' and record.f or record.e
  local event = 'evt_' .. string.sub(redis.sha1hex(handle .. ' ' .. record.s .. ' ' .. moment), 1, 32)
  local key = P .. 'cb:' .. event
  if redis.call('EXISTS', key) == 1 then return end
  local host, url = string.match(wish, '^(%S+) (%S+)$')
  redis.call('HSET', key, 'h', handle, 'o', host, 'u', url, 'e', NOW, 's', 'q', 'r', cjson.encode(row(id, late)))
  redis.call('ZADD', P .. 'cb-pending', NOW, event)
  make_due(host, event, NOW)
end

-- Tell everybody who wished for it of a payment's end. A failed one stays in the index, for it may be queued again by a
-- version that knows no callbacks.
local function announce(id, retention_ms)
  local record, wishes = read(id), redis.call('HGETALL', P .. 'w:' .. id)
  for n = 1, #wishes, 2 do tell(id, record, wishes[n], wishes[n + 1]) end
  redis.call('HSET', P .. 'p:' .. id, 'h', record.f)
  redis.call('PEXPIRE', P .. 'w:' .. id, retention_ms)
  if record.s == 'f' then
    redis.call('ZADD', WANTED, NOW + LONGEST_LOOK_MS, id)
  else
    redis.call('ZREM', WANTED, id)
  end
end

-- Into a final state: expiry of everything that belongs to the payment, and its results into the outbox.
local function finish(id, record, to, retention_ms)
  local portal = record.l
  if record.s == 'q' and record.r then count(portal, 'r', -1) end
  redis.call('ZREM', P .. 's:' .. portal, id)
  redis.call('ZREM', P .. 'd:' .. portal, id)
  move(id, record, to)
  redis.call('HSET', P .. 'p:' .. id, 'f', NOW)
  if record.q then redis.call('HDEL', P .. 'p:' .. id, 'q') end
  redis.call('PEXPIRE', P .. 'p:' .. id, retention_ms)
  close_slot(record, retention_ms)
  local keys, handles = names(id, record)
  for _, key in ipairs(keys) do redis.call('PEXPIRE', key, retention_ms) end
  for _, handle in ipairs(handles) do redis.call('ZADD', OUTBOX, NOW, handle) end
  if to == 'p' then
    redis.call('LPUSH', P .. 'paid:' .. portal, id)
  elseif to == 'c' then
    redis.call('LPUSH', P .. 'cancelled:' .. portal, id)
  else
    local order = redis.call('HINCRBY', P .. 'l:' .. portal, 'seq', 1)
    redis.call('ZADD', P .. 'failed:' .. portal, order, id)
    add_failure(portal, id, record.g or '', order)
  end
  if record.h then announce(id, retention_ms) end
end

-- Sent without a trustworthy answer. The quiet time counts from the claim.
local function doubt(id, record, quiet_ms, why)
  local quiet_until = quiet_end(record, tonumber(record.t) + quiet_ms)
  local read_at = math.min(NOW + FIRST_READ_MS, math.max(quiet_until, NOW))
  redis.call('ZREM', P .. 's:' .. record.l, id)
  redis.call('ZADD', P .. 'd:' .. record.l, read_at, id)
  move(id, record, 'd')
  note(id, record, sending(record), entry(record, 'd', NOW, why))
  redis.call('HSET', P .. 'p:' .. id, 'u', quiet_until)
end
