#!lua flags=allow-oom
--[[
  Write verdicts down. A decision on a payment that has moved on since is left out; a repeated one changes nothing and
  is answered with the row as it stands.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  owner
  ARGV[3]  fence
  ARGV[4]  retention of finished payments, ms
  ARGV[5]  attempts after which an unpaid doubt is not sent again
  ARGV     then seven per decision: payment id, its claim, its state when it was decided on, verdict, and of it a, b, c:
           P paid        evidence, paid at in ms or ''
           F failed      code, text
           R requeue     '1' when the attempt is spent
           D in doubt    quiet time in ms, code and text of the end that an "unpaid" leads to, or '' and ''
           U unpaid      when the portal was asked in ms, or '' for now
           N unreadable  code, text, ms until the next read
  Returns  {0} when the lease is lost, else {1, waiting, suspects, doubts that are due, {row, handles}, ...}; handles are
           empty while the payment is open
]]
local portal, retention_ms, max_attempts = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local again = {}
local answered = false  -- a payment has ended by the answer to its call: the portal works
-- After so many deaths of its drivers a payment is not sent again.
local MOST_DEATHS = 3

-- Which verdicts may be written on which state, and where each may have led when it is repeated.
local ON = {s = 'PFRD', d = 'PFUN', q = 'PFUN'}
local LEADS_TO = {P = 'p', F = 'f', R = 'q', D = 'd', U = 'qfd', N = 'dq'}

local function fail(id, record, code, text)
  redis.call('HSET', P .. 'p:' .. id, 'g', code, 'm', text)
  record.g = code
  finish(id, record, 'f', retention_ms)
end

local function requeue(id, record)
  redis.call('ZREM', P .. 's:' .. portal, id)
  redis.call('ZREM', P .. 'd:' .. portal, id)
  redis.call('HDEL', P .. 'p:' .. id, 'u', 'g', 'm', 'w', 'z', 'r')
  move(id, record, 'q')
  again[#again + 1] = record
  record.id = id
end

-- A read that left the payment in doubt; one that was written down already says so no second time.
local function note_read(id, record, why)
  if tonumber(redis.call('ZSCORE', P .. 'd:' .. portal, id) or 0) > NOW then return end
  note(id, record, entry(record, 'r', NOW, why))
end

-- The read that had to come first said unpaid: now it is a payment like any other.
local function admit(id, record)
  note(id, record, entry(record, 'r', NOW, 'F'))
  redis.call('ZREM', P .. 'd:' .. portal, id)
  redis.call('HDEL', P .. 'p:' .. id, 'r', 'w', 'z')
  count(portal, 'r', -1)
  redis.call('RPUSH', P .. 'q:' .. portal, id)
end

local write = {}

function write.P(id, record, evidence, paid_at)
  redis.call('HDEL', P .. 'p:' .. id, 'u', 'g', 'm', 'w', 'z', 'n')
  redis.call('HSET', P .. 'p:' .. id, 'v', evidence, 'p', paid_at == '' and NOW or paid_at)
  -- Found paid before anything was sent; a retried one was sent before, and it was that call that paid.
  if record.s == 'q' and record.r ~= '' then redis.call('HSET', P .. 'p:' .. id, 'd', 1) end
  finish(id, record, 'p', retention_ms)
end

write.F = fail

function write.R(id, record, spent)
  if spent ~= '1' then redis.call('HINCRBY', P .. 'p:' .. id, 'a', -1) end
  note(id, record, sending(record), entry(record, 'q', NOW, spent == '1' and 'S' or 'N'))
  requeue(id, record)
end

function write.D(id, record, quiet_ms, code, text)
  doubt(id, record, tonumber(quiet_ms), code ~= '' and code_in('C', code) or 'L')
  if code ~= '' then redis.call('HSET', P .. 'p:' .. id, 'g', code, 'm', text) end
end

function write.U(id, record, asked_at)
  redis.call('HDEL', P .. 'p:' .. id, 'w', 'z')
  if record.s == 'q' then return admit(id, record) end
  local quiet_until = quiet_end(record, tonumber(record.u))
  if (tonumber(asked_at) or NOW) < quiet_until then
    note_read(id, record, 'U')
    redis.call('HSET', P .. 'p:' .. id, 'u', quiet_until)
    redis.call('ZADD', P .. 'd:' .. portal, quiet_until, id)
  elseif record.g then
    fail(id, record, record.g, record.m)
  elseif tonumber(record.x or 0) >= MOST_DEATHS then
    fail(id, record, 'WORKER_DIED', 'Its worker died ' .. record.x .. ' times while paying it; the invoice is unpaid. '
      .. 'Next step: look into the logs of the workers for the reason, then retry the payment.')
  elseif tonumber(record.a or 0) < max_attempts then
    if perhaps_sent(record) then redis.call('HSET', P .. 'p:' .. id, 'o', epoch().number) end
    note(id, record, entry(record, 'q', NOW, 'U'))
    requeue(id, record)
  else
    fail(id, record, 'NO_ANSWER', 'The portal gave no answer to ' .. record.a .. ' attempts; the invoice is unpaid.')
  end
end

function write.N(id, record, code, text, retry_ms)
  note_read(id, record, code_in('N', code))
  redis.call('HSET', P .. 'p:' .. id, 'w', code, 'z', text)
  redis.call('ZADD', P .. 'd:' .. portal, NOW + tonumber(retry_ms), id)
end

-- False when the payment has moved on since it was decided on.
local function settle(id, claim, state, verdict, a, b, c)
  local record = read(id)
  if not record or (record.c or '') ~= claim then return false end
  if record.s ~= state then return string.find(LEADS_TO[verdict], record.s, 1, true) ~= nil end
  if not string.find(ON[state] or '', verdict, 1, true) then return false end
  -- A queued payment is decided on by a read only as long as it must be read first.
  if state == 'q' and not record.r then return verdict == 'U' end
  if state == 's' and (verdict == 'P' or verdict == 'F') then answered = true end
  write[verdict](id, record, a, b, c)
  return true
end

if not drives(portal, ARGV[2], ARGV[3]) then return {0} end
local answer = {1, 0, 0, 0}
local settled = {}
for n = 6, #ARGV, 7 do
  if settle(unpack(ARGV, n, n + 6)) then settled[#settled + 1] = ARGV[n] end
end
trim(portal)
if answered then redis.call('HDEL', P .. 'l:' .. portal, 'trial') end
-- To the front in their old order.
for n = #again, 1, -1 do redis.call('LPUSH', queue_of(again[n]), again[n].id) end
for _, id in ipairs(settled) do
  local record, handles = read(id), {}
  if record.f then _, handles = names(id, record) end
  answer[#answer + 1] = {row(id), handles}
end
answer[2], answer[3], answer[4] = backlog(portal)
return answer
