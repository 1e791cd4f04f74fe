#!lua flags=allow-oom
--[[
  Take permits for up to so many requests of a portal, or say how long to wait for one; in the same step, how many pay
  commands each may carry. Their believed cost counts as spent from here on.

  A leaky bucket: `level` drains at the believed rate and holds at most `burst`. While the bucket has been busy, what
  drained within the last moments (`reserve`) is not counted on; an idle bucket may be filled to the brim at once.
  The clock is the server's. Not idempotent: the replay of a lost reply costs permits, never one too many sent.

  KEYS[1]  portal       hash: bucket and pauses
  KEYS[2]  account      hash: execution time and speed; the portal's own for its pay method
  ARGV[1]  rate         requests per second
  ARGV[2]  burst        requests
  ARGV[3]  reserve      requests
  ARGV[4]  reserve_s    seconds in which the reserve grows, and of idleness that end it
  ARGV[5]  execution_s  seconds of execution per window
  ARGV[6]  window_s     seconds
  ARGV[7]  commands     that each request could carry
  ARGV[8]  keep_ms      expiry of an unused portal
  ARGV[9]  requests     to grant at most
  Returns  {granted 1|0, wait_s, command_s or '', execution_left_s or '', commands, reserved_s, requests, free, alone 1|0};
           seconds as strings
]]
local limits = {
  rate = tonumber(ARGV[1]), burst = tonumber(ARGV[2]), reserve = tonumber(ARGV[3]), reserve_s = tonumber(ARGV[4]),
  execution_s = tonumber(ARGV[5]), window_s = tonumber(ARGV[6]),
}
local commands = tonumber(ARGV[7])
local bucket = read_bucket(KEYS[1])
local account = current_account(KEYS[2], limits)
local speed = read_speed(KEYS[2])
local command_s = speed.command_s or 0

local function fitting()
  if commands <= 0 then
    return 0
  elseif not speed.command_s then
    return math.min(commands, NUMBERS.first_commands)
  end
  -- What an older release has learnt is believed without the ramp.
  local least = math.max(command_s, NUMBERS.least_command_s)
  local ramp = commands
  if speed.most > 0 then
    ramp = math.max(NUMBERS.ramp * speed.most, math.floor(NUMBERS.sure_s / least))
  end
  local by_time = math.floor((NUMBERS.target_s - (speed.base_s or 0)) / least)
  return math.max(1, math.min(commands, ramp, by_time))
end

local function account_wait(count)
  local wait = account.spent_ends_at - now
  if not account.told_s then
    return wait
  end
  local need = math.max(command_s, NUMBERS.worth_share * command_s * count, NOTHING)
  local left = limit_of(account, limits) - spent_of(account)
  for _, part in ipairs(account.parts) do
    if left >= need then
      break
    end
    left = left + part.spent + part.reserved
    wait = math.max(wait, part.at + limits.window_s - now)
  end
  return math.max(wait, account.evenly and account.paced_ends_at - now or 0)
end

-- How many requests of such a cost may be made at once, when one may: up to the one that ends the free part.
local function affordable(most, cost)
  if not account.told_s or cost <= NOTHING then
    return most
  elseif account.evenly then
    return 1
  end
  -- A sum that meets a limit exactly must not pass it by its rounding.
  local limit, spent = limit_of(account, limits), spent_of(account) - ROUNDING
  local free = math.floor(math.max(0, NUMBERS.free_share * limit - spent) / cost) + 1
  return math.max(1, math.min(most, free, math.floor(math.max(0, limit - spent) / cost)))
end

local function reserve(requests, cost)
  local limit = limit_of(account, limits)
  local before = spent_of(account) + (requests - 1) * cost -- all but the last are free
  local leaves_at = (account.parts[1] and account.parts[1].at or now) + limits.window_s
  account.paced = math.min((limit - before) / math.max(leaves_at - now, NOTHING),
    NUMBERS.catch_up * limit / limits.window_s)
  if before < NUMBERS.recovered_share * limit then
    account.evenly = false
  end
  if before + cost > NUMBERS.free_share * limit + ROUNDING then
    account.evenly = true
  end
  account.paced_ends_at = account.evenly and math.min(leaves_at, now + cost / math.max(account.paced, NOTHING)) or 0
  local part = part_now(account, limits)
  part.reserved = part.reserved + requests * cost
  write_account(KEYS[2], account)
  keep(KEYS[2], ARGV[8])
end

if bucket.level_at > now then
  redis.call('HSET', KEYS[1], 'level_at', micros(now))
end
local level, busy_at = drained(bucket, limits)
local rate = believed_rate(bucket, limits)
local held = math.min(limits.reserve, rate * (now - busy_at))
local room = math.max(0, math.floor(limits.burst + ROUNDING - level - held))
local bucket_wait = 0
if room == 0 then
  -- The reserve will have grown to its whole by then.
  bucket_wait = math.max(ROUNDING, (level + limits.reserve + 1 - limits.burst) / rate)
end
local count = fitting()
local wait = math.max(0, bucket_wait, bucket.pause_ends_at - now, commands > 0 and account_wait(count) or 0)

local left = nil
if account.spent_ends_at - now > ROUNDING then
  left = 0
elseif account.told_s then
  left = math.max(0, limit_of(account, limits) - spent_of(account))
end

local alone = bucket.outages > 0 or not speed.command_s
local granted, requests, reserved = wait <= ROUNDING / 2, 0, 0
if granted then
  wait = 0
  requests = alone and 1 or math.max(1, math.min(tonumber(ARGV[9]), room))
  if commands > 0 then
    requests = affordable(requests, count * command_s)
  end
  redis.call('HSET', KEYS[1], 'level', exact(level + requests), 'level_at', micros(now), 'busy_at', micros(busy_at))
  if bucket.cut_at then
    redis.call('HINCRBY', KEYS[1], 'granted', requests)
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
  if commands > 0 and left then
    if command_s > 0 then
      count = math.max(1, math.min(count, math.floor(left / command_s)))
    end
    reserved = requests * count * command_s
    reserve(requests, count * command_s)
  end
end
return {
  granted and 1 or 0,
  string.format('%.6f', math.ceil(wait * 1000000) / 1000000),
  speed.command_s and exact(speed.command_s) or '',
  left and string.format('%.6f', left) or '',
  count,
  string.format('%.6f', reserved),
  requests,
  bucket.pause_ends_at > now and 0 or room - requests,
  granted and alone and 1 or 0,
}
