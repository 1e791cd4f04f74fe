--[[
  What is remembered of a payment's moves besides its state: its history, its place among the failed ones of its code,
  and how much happened in each minute. The loader puts it into the prelude.

  All of it is written by the step that moves the payment, in the branch that moves it, so a step that is repeated
  changes nothing (docs/decisions/0087-what-people-can-see.md).
]]
-- What happened in this step, for the charts: written at its end, once per kind and not per payment.
local ticks = {}
local HALF_HOUR_MS, MINUTES_KEPT_MS = 30 * 60 * 1000, 48 * 3600 * 1000

local function minutes_of(half_hour) return P .. 'minutes:' .. string.format('%.0f', half_hour) end

local function tick(kind, by) ticks[kind] = (ticks[kind] or 0) + by end

local function write_minutes()
  for kind, by in pairs(ticks) do
    local key, minute = minutes_of(math.floor(NOW / HALF_HOUR_MS)), math.floor(NOW / 60000) % 30
    local total = redis.call('HINCRBY', key, kind .. minute, by)
    if total == by then redis.call('PEXPIRE', key, MINUTES_KEPT_MS + HALF_HOUR_MS) end
  end
end

-- A record keeps the latest of each: when it was sent last, how it ended. What would be overwritten, and what has no
-- field, is noted in `H` (ledger/history.py reads it): entries with blanks between, each the letter of the state that
-- was entered (r: a read that decided nothing, j: another request joined), the ms since acceptance in base 36, and why.
-- Reads and joins of one kind in a row are one entry, `*n` times. The first and the newest are kept, `+n` between.
local FIRST_KEPT, MOST_KEPT = 8, 24

local function base36(number)
  local digits, left = '', math.abs(number)
  repeat
    local digit = left % 36
    digits = string.char(digit < 10 and 48 + digit or 87 + digit) .. digits
    left = math.floor(left / 36)
  until left == 0
  return number < 0 and '-' .. digits or digits
end

local function entry(record, letter, at, why) return letter .. base36(at - record.e) .. ':' .. why end

local function code_in(why, code)
  return why .. '.' .. string.sub(string.gsub(code or '', '[^%w_.-]', '_'), 1, 32)
end

-- Its latest sending.
local function sending(record) return entry(record, 's', record.t, record.c .. '.' .. (record.a or 0)) end

local function put(kept, new)
  local letter, why = string.match(new, '^([rj])[^:]*:(.*)$')
  local last, times = string.match(kept[#kept] or '', '^(' .. (letter or '-') .. '[^:]*:[^*]*)%*?(%d*)$')
  if last and string.match(last, ':(.*)$') == why then
    kept[#kept] = new .. '*' .. string.format('%.0f', (tonumber(times) or 1) + 1)
  else
    kept[#kept + 1] = new
  end
  local left_out = string.match(kept[FIRST_KEPT + 1] or '', '^%+(%d+)$')
  if left_out and #kept > MOST_KEPT + 1 then
    table.remove(kept, FIRST_KEPT + 2)
    kept[FIRST_KEPT + 1] = '+' .. string.format('%.0f', left_out + 1)
  elseif not left_out and #kept > MOST_KEPT then
    kept[FIRST_KEPT + 1] = '+1'
  end
end

local function note(id, record, ...)
  local kept = {}
  for each in string.gmatch(record.H or '', '%S+') do kept[#kept + 1] = each end
  for _, new in ipairs({...}) do put(kept, new) end
  record.H = table.concat(kept, ' ')
  redis.call('HSET', P .. 'p:' .. id, 'H', record.H)
end

-- Failed payments by their code. So many codes of a lane have a list of their own, as they come; what others fail with
-- (a portal invents its texts) stands in the list without a name, until that is empty.
local MOST_CODES = 50

local function codes_of(portal) return P .. 'codes:' .. portal end

local function coded(portal, code) return P .. 'coded:' .. portal .. ':' .. code end

local function is_named(portal, code)
  return code ~= '' and redis.call('SISMEMBER', codes_of(portal), code) == 1
end

local function add_failure(portal, id, code, order)
  if not is_named(portal, code) then
    local full = redis.call('SCARD', codes_of(portal)) >= MOST_CODES or redis.call('EXISTS', coded(portal, '')) == 1
    if code == '' or full then code = '' else redis.call('SADD', codes_of(portal), code) end
  end
  redis.call('ZADD', coded(portal, code), order, id)
end

-- Out of the list of its code; of any list, where its record is gone and nobody knows the code.
local function drop_failure(portal, id, code)
  local names = code and {code, ''} or redis.call('SMEMBERS', codes_of(portal))
  if not code then names[#names + 1] = '' end
  for _, name in ipairs(names) do
    if redis.call('ZREM', coded(portal, name), id) == 1 then
      if redis.call('EXISTS', coded(portal, name)) == 0 then redis.call('SREM', codes_of(portal), name) end
      return
    end
  end
end

-- All keys of them.
local function failure_keys(portal)
  local keys = {codes_of(portal), coded(portal, '')}
  for _, code in ipairs(redis.call('SMEMBERS', codes_of(portal))) do keys[#keys + 1] = coded(portal, code) end
  return keys
end

-- Whether the lists by code have what the list of failed ones has, and how many each: {key, payments, ...}. Versions
-- that do not know them leave them as they are; `tally` puts that right.
local function is_counted(portal)
  local failed, keys, listed, counts = P .. 'failed:' .. portal, failure_keys(portal), 0, {}
  for n = 2, #keys do
    local number = redis.call('ZCARD', keys[n])
    listed = listed + number
    counts[#counts + 1] = keys[n]
    counts[#counts + 1] = number
  end
  if listed ~= redis.call('ZCARD', failed) then return false, counts end
  local newest = redis.call('ZRANGE', failed, -1, -1)[1]
  local code = newest and redis.call('HGET', P .. 'p:' .. newest, 'g')
  if not code or redis.call('ZSCORE', coded(portal, code), newest) then return true, counts end
  return redis.call('ZSCORE', keys[2], newest) ~= false, counts
end
