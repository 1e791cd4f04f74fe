#!lua
--[[
  Queue a failed payment again, with all its attempts, unless another payment of the invoice is open or paid. One that
  was ever (perhaps) sent is read first: its last call may have paid after all, and a person may have paid it by hand.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  payment id or handle
  Returns  the row afterwards, {} when unknown
]]
local id, record, late = resolve(ARGV[1])
if not id then return {} end

local function in_the_way()
  local other, known = latest(record.l, record.i)
  return other and other ~= id and known.s ~= 'f' and known.s ~= 'c'
end

-- How it was sent and failed is what the next sending and end will overwrite.
local function note_failure()
  local sent = record.t and record.c and entry(record, 's', record.t, record.c .. '.')
  if sent and not string.find(record.H or '', sent, 1, true) then note(id, record, sending(record)) end
  note(id, record, entry(record, 'f', record.f, code_in(record.n and 'O' or 'P', record.g)), entry(record, 'q', NOW, 'O'))
end

local function queue_again()
  note_failure()
  local bucket, field = slot(record.l, record.i)
  redis.call('ZREM', P .. 'failed:' .. record.l, id)
  drop_failure(record.l, id, record.g or '')
  redis.call('PERSIST', P .. 'p:' .. id)
  local keys, handles = names(id, record)
  for _, key in ipairs(keys) do redis.call('PERSIST', key) end
  if record.h then
    redis.call('PERSIST', P .. 'w:' .. id)
    redis.call('ZADD', WANTED, NOW + FIRST_LOOK_MS, id)
  end
  for _, handle in ipairs(handles) do redis.call('ZREM', OUTBOX, handle) end
  redis.call('HDEL', P .. 'p:' .. id, 'f', 'g', 'm', 'u', 'w', 'z', 'a', 'x', 'n')
  redis.call('HSET', bucket, field, id)
  redis.call('HINCRBY', bucket, 'o', 1)
  redis.call('PERSIST', bucket)
  move(id, record, 'q')
  if (record.t or record.o) and not record.r then
    record.r = ''
    redis.call('HSET', P .. 'p:' .. id, 'r', '')
  end
  if record.r then
    count(record.l, 'r', 1)
    redis.call('ZADD', P .. 'd:' .. record.l, NOW, id)
  else
    redis.call('RPUSH', P .. 'q:' .. record.l, id)
  end
  wake(record.l)
end

if record.s == 'f' and is_lane(record.l) and not in_the_way() then queue_again() end
return row(id, late)
