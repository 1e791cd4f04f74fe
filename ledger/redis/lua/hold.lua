#!lua flags=allow-oom
--[[
  Stop a lane until it is resumed; the first reason is kept, unless a probe could resume the lane and from now on only a
  person may. A driver at work ends its batch and claims no more.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  code
  ARGV[3]  text, with the remedy at its end
  ARGV[4]  remedy, or ''
  ARGV[5]  '1' when a probe may resume it
  Returns  1, or 0 when there is no such lane
]]
local portal, probe = ARGV[1], ARGV[5] == '1'
local lane = P .. 'l:' .. portal
local FIRST_WAIT_MS = 10 * 1000
-- A lane that a probe resumed so short a time ago was not mended: its probes go on waiting longer.
local EASED_MS = 10 * 60 * 1000

local function first_wait()
  local before = redis.call('HMGET', lane, 'eased', 'probe_wait')
  if before[1] and before[2] and tonumber(before[1]) > NOW - EASED_MS then return tonumber(before[2]) end
  return FIRST_WAIT_MS
end

local function give_reason()
  redis.call('HSET', lane, 'held', ARGV[2], 'held_text', ARGV[3], 'held_remedy', ARGV[4])
end

if not is_lane(portal) then return 0 end
local held = redis.call('HMGET', lane, 'held', 'held_at', 'probe_of')
if not held[1] then
  give_reason()
  redis.call('HSET', lane, 'held_at', NOW)
  if probe then
    local wait = first_wait()
    redis.call('HSET', lane, 'probe_of', NOW, 'probe_wait', wait)
    redis.call('ZADD', PROBES, NOW + wait, portal)
  else
    end_probes(portal)
  end
  -- A leased lane stays in the due-set: should its driver die, the next one still recovers what it had sent.
  if redis.call('HEXISTS', lane, 'owner') == 0 then redis.call('ZREM', DUE, portal) end
elseif not probe and held[3] == held[2] then
  give_reason()
  end_probes(portal)
end
return 1
