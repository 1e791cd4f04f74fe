--[[
  Give a sign of life, and put back what dead consumers had fetched.

  Every consumer does this every few seconds; no lock, because it is one step: the second of two finds nothing left.
  A consumer that was only asleep finds its messages gone, and what it does with them is done twice at most. Messages
  that a living consumer holds for long (an ETA) stay its own.

  KEYS[1]  unacked       hash   tag -> queue, newline, message
  KEYS[2]  index         zset   tag -> when it was fetched, or last seen here (ms)
  KEYS[3]  consumers     zset   consumer -> until when it is believed to live (ms)
  ARGV[1]  consumer      its name
  ARGV[2]  life_ms       how long it is believed to live without a sign; 0: it leaves, and its own go back at once
  ARGV[3]  visibility_ms after which a message of no known consumer goes back as well
  ARGV[4]  most          messages put back in one step
  Returns  how many went back; `most` of them may mean that there are more
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[4])
local function owner_of(tag) return string.match(tag, '^(.*):%d+:%d+$') or '' end

-- The first write needs memory, so a full server refuses the whole step here.
local leaves = ARGV[2] == '0'
redis.call('ZADD', KEYS[3], leaves and 0 or now + ARGV[2], ARGV[1])

local dead, are_dead = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', leaves and 0 or now), {}
for _, consumer in ipairs(dead) do are_dead[consumer] = true end

local back, scanned_all = {}, true
if #dead > 0 then
  for _, tag in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if are_dead[owner_of(tag)] then
      if #back == most then scanned_all = false; break end
      back[#back + 1] = tag
    end
  end
  -- Only now, when nothing of theirs is left, are they forgotten.
  if scanned_all then redis.call('ZREM', KEYS[3], unpack(dead)) end
end

for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3], 'LIMIT', 0, most)) do
  local owner = owner_of(tag)
  if redis.call('ZSCORE', KEYS[3], owner) then
    redis.call('ZADD', KEYS[2], now, tag)
  elseif not are_dead[owner] and #back < most then
    back[#back + 1] = tag
  end
end

-- With a blank in front, as in put_back.lua. The newest first, so that the oldest stands at the right and is the next one.
for at = #back, 1, -1 do
  local entry = redis.call('HGET', KEYS[1], back[at])
  local ends = entry and string.find(entry, '\n', 1, true)
  if ends then
    redis.call('RPUSH', string.sub(entry, 1, ends - 1), ' ' .. string.sub(entry, ends + 1))
    redis.call('HDEL', KEYS[1], back[at])
  end
  redis.call('ZREM', KEYS[2], back[at])
end
return #back
