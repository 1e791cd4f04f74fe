#!lua flags=allow-oom
--[[
  The portal refused a request for its rate: count the bucket as full, pause the portal, longer each time in a row, and
  believe in less: in the rate that was let through since the last refusal, and in a burst without what was refused.
  Refusals during a pause belong to the step before it, so many requests refused together lower the rate once; a replay
  costs a request of the believed burst.

  KEYS[1]  portal     hash
  ARGV[1]  rate       requests per second
  ARGV[2]  burst      requests
  ARGV[3]  reserve    requests
  ARGV[4]  reserve_s  seconds in which the reserve grows
  ARGV[5]  first_s    seconds of the first pause
  ARGV[6]  most_s     seconds of the longest pause
  ARGV[7]  doublings  how often a pause may double
  ARGV[8]  spread     factor in (0, 1]
  ARGV[9]  keep_ms    expiry of an unused portal
  Returns  seconds of the pause, as a string
]]
local limits = {
  rate = tonumber(ARGV[1]), burst = tonumber(ARGV[2]), reserve = tonumber(ARGV[3]), reserve_s = tonumber(ARGV[4]),
}
local bucket = read_bucket(KEYS[1])

local function measured()
  local rate = believed_rate(bucket, limits)
  if not bucket.cut_at or now - bucket.cut_at > NUMBERS.memory * rise_s(bucket) then
    return rate * NUMBERS.guess
  end
  -- The one that was refused did not pass.
  local passed = math.max(0, bucket.granted - 1)
  local seen = (passed + NUMBERS.prior) / (math.max(0, now - bucket.cut_at) + NUMBERS.prior / bucket.bound)
  return math.max(rate * NUMBERS.guess, NUMBERS.steady * bucket.bound, math.min(rate, seen))
end

local level = drained(bucket, limits)
local burst = believed_burst(bucket, limits) - 1
local pause_ends_at = bucket.pause_ends_at
if pause_ends_at <= now then
  burst = burst - math.max(0, limits.burst - 1 - limits.reserve - level)
  local step_s = math.min(tonumber(ARGV[6]), tonumber(ARGV[5]) * 2 ^ math.min(bucket.refusals, tonumber(ARGV[7])))
  pause_ends_at = now + step_s * tonumber(ARGV[8])
  local bound = measured()
  bucket.cut_at = now
  bucket.refusals = bucket.refusals + 1
  redis.call('HSET', KEYS[1],
    'pause_ends_at', micros(pause_ends_at),
    'refusals', string.format('%.0f', bucket.refusals),
    'cut_at', micros(now),
    'bound', exact(bound),
    'granted', 0)
end
if bucket.cut_at then
  -- What it has risen since the cut rises again.
  burst = math.max(math.min(limits.burst, 1 + limits.reserve), burst - risen_burst(bucket, limits))
  redis.call('HSET', KEYS[1], 'cut_burst', exact(burst))
end
local behind = NUMBERS.behind * 2 ^ math.min(NUMBERS.doublings, math.max(0, bucket.refusals - 1))
redis.call('HSET', KEYS[1],
  'level', exact(limits.burst + math.min(behind, NUMBERS.behind_share * limits.burst)),
  'level_at', micros(now),
  'busy_at', micros(math.min(bucket.busy_at, now - limits.reserve_s)))
keep(KEYS[1], ARGV[9])
return string.format('%.6f', pause_ends_at - now)
