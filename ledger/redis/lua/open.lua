#!lua
--[[
  Write requests to pay down, in order, and make their lanes due. Each request sees those before it.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  JSON, six texts per request: handle, portal, invoice, pay system or '', handler code or '', idempotency key
           or ''; and a seventh where its end is to be told: host and address, with a blank between. One argument,
           because a client packs a thousand of them more slowly than the server reads one.
  ARGV[2]  where requests are traced: JSON, the trace context of each of them by its handle
  Returns  one answer per request:
           {'A', ms, after}    accepted at this moment: a payment of its own, queued as it was asked for; `after` is
                               missing, or the record's `r`
           {'J', row}          joined: the same request is known
           {'D', row}          duplicate: the invoice is known as paid
           {'C', id, reason}   conflict with that payment: 'handle', 'key' or 'invoice'; nothing was written
           {'U'}               no such lane; nothing was written
]]
local ACCEPTED_AT = string.format('%.0f', NOW)
local TRACES = ARGV[2] and cjson.decode(ARGV[2]) or {}
local lanes = {}  -- portal -> whether there is such a lane
local queued = {}  -- portal -> new payments to send, in order
local added = {}  -- portal -> how many new payments

local function is_known_lane(portal)
  if lanes[portal] == nil then
    lanes[portal] = is_lane(portal)
    queued[portal], added[portal] = {}, 0
  end
  return lanes[portal]
end

local function same_content(record, ask)
  return record.l == ask.portal and record.i == ask.invoice
    and (record.y or '') == ask.system and (record.b or '') == ask.handler
end

-- Another name of a known payment; it lives as long as the record, and its result is owed if there is one already.
local function register(id, record, kind, name, value)
  local set, key = P .. 'j:' .. id, P .. kind .. ':' .. name
  redis.call('SET', key, value)
  redis.call('SADD', set, kind .. name)
  redis.call('HSET', P .. 'p:' .. id, 'j', 1)
  local left = redis.call('PTTL', P .. 'p:' .. id)
  if left >= 0 then
    redis.call('PEXPIRE', key, math.max(left, 1))
    redis.call('PEXPIRE', set, math.max(left, 1))
    if kind == 'h' then redis.call('ZADD', OUTBOX, NOW, name) end
  end
end

-- Its end is to be told under this handle; at once where it has ended. A repeated request changes nothing.
local function want(id, ask, late)
  if not ask.callback or redis.call('HSETNX', P .. 'w:' .. id, ask.handle, ask.callback) == 0 then return end
  local record = read(id)
  if not record.h then redis.call('HSET', P .. 'p:' .. id, 'h', record.f or '') end
  if record.f then
    tell(id, record, ask.handle, ask.callback, late)
    redis.call('PEXPIRE', P .. 'w:' .. id, math.max(redis.call('PTTL', P .. 'p:' .. id), 1))
  end
  if not record.f or record.s == 'f' then redis.call('ZADD', WANTED, 'NX', NOW + FIRST_LOOK_MS, id) end
end

local function is_wanted_there(id, callback)
  for _, wish in ipairs(redis.call('HVALS', P .. 'w:' .. id)) do
    if wish == callback then return true end
  end
  return false
end

local function join(id, record, ask)
  register(id, record, 'h', ask.handle, 'j' .. id)
  if not record.f then note(id, record, entry(record, 'j', NOW, 'H')) end
  want(id, ask, false)
  return {'J', row(id)}
end

-- Whether an earlier payment of the invoice that has ended unpaid may have paid it all the same: its end came out of a
-- doubt (`u`), from a person (`n`), without the read that had to come first (`r`), or after it was perhaps sent.
-- What the portal itself refused, in the answer to the latest call, it has not paid.
local function may_have_paid(record)
  local doubted = record.u or record.n or record.r
  return doubted or perhaps_sent(record) or record.s == 'c' and (record.t or record.o)
end

-- Its invoice's place in the index, the latest payment of it, and how many payments of the bucket are open.
local function look_up(ask)
  local bucket, field = slot(ask.portal, ask.invoice)
  local found = redis.call('HMGET', bucket, field, 'o')
  ask.bucket, ask.field, ask.open = bucket, field, tonumber(found[2] or 0)
  local record = found[1] and read(found[1])
  if record and record.l == ask.portal and record.i == ask.invoice then return found[1], record end
end

-- `paid_before`: to be read first, because of that paid payment, or because of none ('').
local function write(ask, paid_before)
  local record = {'l', ask.portal, 'i', ask.invoice, 's', 'q', 'e', ACCEPTED_AT}
  local function add(field, value)
    record[#record + 1] = field
    record[#record + 1] = value
  end
  if ask.system ~= '' then add('y', ask.system) end
  if ask.handler ~= '' then add('b', ask.handler) end
  if ask.key ~= '' then
    add('k', ask.key)
    redis.call('SET', P .. 'k:' .. ask.key, ask.handle)
  end
  if TRACES[ask.handle] then add('q', TRACES[ask.handle]) end
  if paid_before then add('r', paid_before) end
  redis.call('HSET', P .. 'p:' .. ask.handle, unpack(record))
  want(ask.handle, ask, false)
  redis.call('HSET', ask.bucket, ask.field, ask.handle, 'o', ask.open + 1)
  if ask.open == 0 then redis.call('PERSIST', ask.bucket) end
  added[ask.portal] = added[ask.portal] + 1
  if paid_before then
    count(ask.portal, 'r', 1)
    redis.call('ZADD', P .. 'd:' .. ask.portal, NOW, ask.handle)
  else
    table.insert(queued[ask.portal], ask.handle)
  end
  return {'A', ACCEPTED_AT, paid_before}
end

-- A handle or key that is known already decides alone; nil when neither is.
local function known(ask)
  local id, record, late = nil, nil, false
  if redis.call('EXISTS', P .. 'p:' .. ask.handle, P .. 'h:' .. ask.handle) > 0 then
    id, record, late = resolve(ask.handle)
  end
  if id and late and record.l == ask.portal and record.i == ask.invoice then
    want(id, ask, true)
    return {'D', row(id, true)}
  end
  if id and same_content(record, ask) then
    want(id, ask, false)
    return {'J', row(id)}
  end
  if id then return {'C', id, 'handle'} end
  if ask.key == '' then return nil end
  id = redis.call('GET', P .. 'k:' .. ask.key)
  record = id and read(id)
  if not record then return nil end
  if not same_content(record, ask) then return {'C', id, 'key'} end
  -- The same request once more, under another handle: whoever sent it waits for one callback.
  if ask.callback and is_wanted_there(id, ask.callback) then ask.callback = nil end
  return join(id, record, ask)
end

local function decide(ask)
  local answer = known(ask)
  if answer then return answer end
  if not is_known_lane(ask.portal) then return {'U'} end
  local id, record = look_up(ask)
  if not record then return write(ask, nil) end
  if record.s == 'f' or record.s == 'c' then return write(ask, may_have_paid(record) and '' or nil) end
  if record.s == 'p' then
    if ask.key ~= '' then return write(ask, id) end
    register(id, record, 'h', ask.handle, 'd' .. id)
    want(id, ask, true)
    return {'D', row(id, true)}
  end
  if not same_content(record, ask) then return {'C', id, 'invoice'} end
  if ask.key ~= '' then register(id, record, 'k', ask.key, id) end
  return join(id, record, ask)
end

-- What a lane has more of, written once for all requests.
local function enrol(portal)
  if added[portal] == 0 then return end
  count(portal, 'q', added[portal])
  tick('a', added[portal])
  if #queued[portal] > 0 then redis.call('RPUSH', P .. 'q:' .. portal, unpack(queued[portal])) end
  wake(portal)
end

local answers = {}
for n, ask in ipairs(cjson.decode(ARGV[1])) do
  answers[n] = decide({
    handle = ask[1], portal = ask[2], invoice = ask[3], system = ask[4], handler = ask[5], key = ask[6],
    callback = ask[7],
  })
end
for portal in pairs(added) do enrol(portal) end
return answers
