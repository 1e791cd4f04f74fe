--[[
  What every step shares: the portal's hash as a table, instants in seconds. The same rules as limiter/bucket.py,
  limiter/account.py and limiter/speed.py; the numbers stand there, with their reasons, and come in as NUMBERS.

  Instants are stored as microseconds of unix time in fields that end in _at; `parts` holds the spent execution time as
  "micros:spent:reserved" for each part of the window, oldest first. Absent fields have defaults, so rows of older
  releases can be read.
]]
local ROUNDING = 0.000001
local NOTHING = 0.000000001
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000

local function micros(at)
  return string.format('%.0f', at * 1000000)
end

local function instant(field, default)
  return field and tonumber(field) / 1000000 or default
end

local function exact(number)
  return string.format('%.17g', number)
end

-- Keep a row for so long at least; a row that knows nothing is not there.
local function keep(key, keep_ms)
  if redis.call('PTTL', key) < tonumber(keep_ms) then
    redis.call('PEXPIRE', key, keep_ms)
  end
end

-- The request bucket. limits: {rate, burst, reserve, reserve_s}.

local function read_bucket(key)
  local known = redis.call('HMGET', key, 'level', 'level_at', 'busy_at', 'pause_ends_at', 'refusals', 'cut_at', 'bound',
    'cut_burst', 'granted', 'outages')
  return {
    level = tonumber(known[1] or 0),
    level_at = instant(known[2], 0),
    busy_at = math.min(instant(known[3], 0), now),
    pause_ends_at = instant(known[4], 0),
    refusals = tonumber(known[5] or 0),
    cut_at = instant(known[6], nil),
    bound = tonumber(known[7] or 0),
    cut_burst = tonumber(known[8] or 0),
    granted = tonumber(known[9] or 0),
    outages = tonumber(known[10] or 0),
  }
end

local function rise_s(bucket)
  return math.min(NUMBERS.calm_most_s, NUMBERS.calm / bucket.bound)
end

local function believed_rate(bucket, limits)
  if not bucket.cut_at then
    return limits.rate
  end
  local parts = (now - bucket.cut_at) / rise_s(bucket)
  if parts <= 1 then
    return math.min(limits.rate, bucket.bound * (1 - NUMBERS.swing + 2 * NUMBERS.swing * math.max(0, parts)))
  end
  return math.min(limits.rate, bucket.bound * (1 + NUMBERS.swing) * 2 ^ math.min(NUMBERS.doublings, 2 * (parts - 1)))
end

local function risen_burst(bucket, limits)
  return limits.burst * math.max(0, now - bucket.cut_at) / NUMBERS.burst_rise_s
end

local function believed_burst(bucket, limits)
  if not bucket.cut_at then
    return limits.burst
  end
  return math.min(limits.burst, bucket.cut_burst + risen_burst(bucket, limits))
end

-- The level now, and since when the bucket has been busy.
local function drained(bucket, limits)
  -- A clock that was set back must not stop the draining until it has caught up.
  bucket.level_at = math.min(bucket.level_at, now)
  local rate = believed_rate(bucket, limits)
  local empty = limits.burst - believed_burst(bucket, limits)
  local passed = now - bucket.level_at
  local busy_at = bucket.busy_at
  if passed - (bucket.level - empty) / rate >= limits.reserve_s then
    busy_at = now
  end
  return math.max(empty, bucket.level - rate * passed), busy_at
end

-- The execution-time account. limits: {execution_s, window_s}.

local function read_account(key)
  local known = redis.call('HMGET', key, 'used_s', 'reset_at', 'spent_ends_at', 'paced_ends_at', 'evenly', 'limit_s',
    'limit_at', 'parts', 'paced')
  local account = {
    told_s = known[1] and tonumber(known[1]) or nil,
    reset_at = instant(known[2], 0),
    spent_ends_at = instant(known[3], 0),
    paced_ends_at = instant(known[4], 0),
    evenly = known[5] == '1',
    limit_s = tonumber(known[6] or 0),
    limit_at = instant(known[7], nil),
    legacy = not known[8],
    paced = tonumber(known[9] or 0),
    parts = {},
  }
  for at, spent, reserved in string.gmatch(known[8] or '', '(%d+):([^:]+):(%S+)') do
    account.parts[#account.parts + 1] = {at = instant(at), spent = tonumber(spent), reserved = tonumber(reserved)}
  end
  return account
end

local function write_account(key, account)
  local parts = {}
  for number, part in ipairs(account.parts) do
    parts[number] = string.format('%.0f:%.6g:%.6g', part.at * 1000000, part.spent, part.reserved)
  end
  redis.call('HSET', key, 'parts', table.concat(parts, ' '), 'paced_ends_at', micros(account.paced_ends_at), 'evenly',
    account.evenly and '1' or '0', 'paced', exact(account.paced))
end

local function forget(account, limits)
  local parts = {}
  for _, part in ipairs(account.parts) do
    -- After a clock was set back nothing may stay for longer than a window.
    part.at = math.min(part.at, now)
    if part.at + limits.window_s > now + ROUNDING then
      parts[#parts + 1] = part
    end
  end
  account.parts = parts
end

-- What was spent before anything was written down: evenly from the oldest moment on.
local function spread_before(account, seconds, limits)
  local oldest_at = math.min(now, account.reset_at - limits.window_s)
  local count = math.floor((now - oldest_at) * NUMBERS.parts / limits.window_s) + 1
  local step = (now - oldest_at) / count
  local parts = {}
  for number = 1, count do
    parts[number] = {at = oldest_at + step * number, spent = seconds / count, reserved = 0}
  end
  for _, part in ipairs(account.parts) do
    parts[#parts + 1] = part
  end
  account.parts = parts
  forget(account, limits)
end

local function current_account(key, limits)
  local account = read_account(key)
  forget(account, limits)
  -- An older release wrote down the sum alone.
  if account.legacy and account.told_s and account.reset_at > now then
    spread_before(account, account.told_s, limits)
  end
  return account
end

local function spent_of(account)
  local sum = 0
  for _, part in ipairs(account.parts) do
    sum = sum + part.spent + part.reserved
  end
  return sum
end

local function limit_of(account, limits)
  if account.limit_at and now - account.limit_at < NUMBERS.limit_keep_s then
    return math.min(limits.execution_s, account.limit_s)
  end
  return limits.execution_s
end

-- The part of this moment.
local function part_now(account, limits)
  local size = limits.window_s / NUMBERS.parts
  local last = account.parts[#account.parts]
  if last and math.floor(last.at / size) == math.floor(now / size) then
    last.at = now
    return last
  end
  account.parts[#account.parts + 1] = {at = now, spent = 0, reserved = 0}
  return account.parts[#account.parts]
end

local function take_back(account, reserved, since)
  for _, part in ipairs(account.parts) do
    if part.at >= since then
      local taken = math.min(part.reserved, reserved)
      part.reserved = part.reserved - taken
      reserved = reserved - taken
    end
  end
end

-- Let the next request be sooner by what the last ones had reserved and did not use.
local function hasten(account, unused)
  if account.evenly and unused > 0 then
    account.paced_ends_at = math.max(0, account.paced_ends_at - unused / math.max(account.paced, NOTHING))
  end
end

-- The time of a request and of a command: `fit` holds "weight x y xx xy least_s most".

local function read_speed(key)
  local known = redis.call('HMGET', key, 'command_s', 'base_s', 'fit')
  local fit = {}
  for number in string.gmatch(known[3] or '', '%S+') do
    fit[#fit + 1] = tonumber(number)
  end
  return {
    command_s = known[1] and tonumber(known[1]) or nil,
    base_s = known[2] and tonumber(known[2]) or nil,
    weight = fit[1] or 0, x = fit[2] or 0, y = fit[3] or 0, xx = fit[4] or 0, xy = fit[5] or 0,
    least_s = fit[6] or 0, most = fit[7] or 0,
  }
end

local function write_speed(key, speed)
  redis.call('HSET', key, 'command_s', exact(speed.command_s), 'fit', string.format('%.9g %.9g %.9g %.9g %.9g %.9g %.0f',
    speed.weight, speed.x, speed.y, speed.xx, speed.xy, speed.least_s, speed.most))
  if speed.base_s then
    redis.call('HSET', key, 'base_s', exact(speed.base_s))
  end
end
