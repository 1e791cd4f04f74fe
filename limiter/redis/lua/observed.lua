#!lua flags=allow-oom
--[[
  Learn from an answered request: the time of a request and of one command, what was spent; and end the rows of
  refusals and outages that make pauses grow. A replay counts the request twice until its execution time has left.

  KEYS[1]  portal       hash
  KEYS[2]  account      hash
  ARGV[1]  commands     pay commands that ran
  ARGV[2]  took_s       seconds
  ARGV[3]  used_s       the portal's figure of execution time used, '' where it did not say
  ARGV[4]  reset_at     unix seconds, '' where the portal did not say
  ARGV[5]  reserved_s   seconds that the permit had reserved
  ARGV[6]  window_s     seconds
  ARGV[7]  keep_ms      expiry of an unused portal
  ARGV[8]  commands_s   what the commands took by the portal's account, '' where it did not say
  Returns  0
]]
local commands, took = tonumber(ARGV[1]), tonumber(ARGV[2])
local told = tonumber(ARGV[8])
if told and (told <= 0 or told > took) then
  told = nil
end
local limits = {window_s = tonumber(ARGV[6])}
local sent_at = now - took
local speed = read_speed(KEYS[2])

local function base_of_sizes()
  local mean_x, mean_y = speed.x / speed.weight, speed.y / speed.weight
  local variance = speed.xx / speed.weight - mean_x * mean_x
  if variance <= (NUMBERS.same_size * mean_x) ^ 2 then
    return nil
  end
  local slope = (speed.xy / speed.weight - mean_x * mean_y) / variance
  return math.max(0, math.min(mean_y - slope * mean_x, NUMBERS.base_share * speed.least_s))
end

local function base()
  if not told then
    return base_of_sizes() or speed.base_s
  end
  local seen = took - told
  if not speed.base_s or seen > speed.base_s then
    return seen
  end
  return speed.base_s + NUMBERS.falling_share * (seen - speed.base_s)
end

local function cost_of_commands()
  return told or math.max(0, took - math.min(speed.base_s or 0, NUMBERS.base_share * took))
end

local function learn()
  speed.weight = NUMBERS.fading * speed.weight + 1
  speed.x = NUMBERS.fading * speed.x + commands
  speed.y = NUMBERS.fading * speed.y + took
  speed.xx = NUMBERS.fading * speed.xx + commands * commands
  speed.xy = NUMBERS.fading * speed.xy + commands * took
  speed.least_s = speed.least_s > 0 and math.min(NUMBERS.least_rises * speed.least_s, took) or took
  speed.most = math.max(speed.most, commands)
  local base_s = base()
  local told_apart = base_s and not speed.base_s
  speed.base_s = base_s
  local seen = cost_of_commands() / commands
  if not speed.command_s or told_apart then
    speed.command_s = seen
  elseif seen < speed.command_s then
    speed.command_s = speed.command_s + NUMBERS.falling_share * (seen - speed.command_s)
  else
    local certainty = told and 1 or math.min(1, commands / NUMBERS.few_commands)
    speed.command_s = speed.command_s + certainty * (seen - speed.command_s)
  end
  write_speed(KEYS[2], speed)
end

local function drop(account, seconds)
  local parts = {}
  for _, part in ipairs(account.parts) do
    local spent = math.min(part.spent, seconds)
    local reserved = math.min(part.reserved, seconds - spent)
    part.spent = part.spent - spent
    part.reserved = part.reserved - reserved
    seconds = seconds - spent - reserved
    if part.spent + part.reserved > NOTHING then
      parts[#parts + 1] = part
    end
  end
  account.parts = parts
end

-- What this answer may not know of: what is in flight, or was answered since its request was sent.
local function unheard_by_now(account)
  local sum = 0
  for _, part in ipairs(account.parts) do
    sum = sum + (part.at > now - NUMBERS.flight_s and part.reserved or 0) + (part.at >= sent_at and part.spent or 0)
  end
  return sum
end

local function hear(account, used, unheard, first)
  local total = spent_of(account)
  if used > total and first then
    spread_before(account, used - total, limits)
  elseif used > total then
    local part = part_now(account, limits)
    part.spent = part.spent + used - total
  elseif used + unheard < total then
    -- What the portal has forgotten already is the oldest.
    drop(account, total - used - unheard)
  end
end

local function settle()
  local account = current_account(KEYS[2], limits)
  local first = #account.parts == 0
  take_back(account, tonumber(ARGV[5]), sent_at - NUMBERS.permit_to_send_s)
  local unheard = unheard_by_now(account)
  -- A portal that charges nothing reads 0 for ever: that is no account.
  local used = ARGV[3] ~= '' and tonumber(ARGV[3]) or nil
  local counts = used and (used > 0 or account.told_s)
  if not counts and not account.told_s then
    return
  end
  local cost = commands > 0 and cost_of_commands() or 0
  hasten(account, tonumber(ARGV[5]) - cost)
  if cost > 0 then
    local part = part_now(account, limits)
    part.spent = part.spent + cost
  end
  if counts then
    -- What resets later than a whole window from now is nonsense.
    local reset_at = ARGV[4] ~= '' and tonumber(ARGV[4]) or now + limits.window_s
    account.reset_at = math.min(reset_at, now + limits.window_s)
    hear(account, used, unheard, first)
    -- Of `settled_at` the release before this one makes use.
    redis.call('HSET', KEYS[2], 'used_s', exact(used), 'reset_at', micros(account.reset_at), 'settled_at', micros(now))
  end
  write_account(KEYS[2], account)
end

local cut_at = instant(redis.call('HGET', KEYS[1], 'cut_at'), 0)
redis.call('HDEL', KEYS[1], 'outages')
-- An answer to what was sent before the refusal says nothing about it.
if sent_at >= cut_at then
  redis.call('HDEL', KEYS[1], 'refusals')
end
if commands > 0 then
  learn()
end
settle()
keep(KEYS[1], ARGV[7])
keep(KEYS[2], ARGV[7])
return 0
