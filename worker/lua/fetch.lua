--[[
  Hand the next messages to a consumer: in one step they leave their queues and are written down as its own. What the
  consumer has acknowledged meanwhile is forgotten in the same step.

  There is no moment at which a message is in neither place. The consumer is known before its first message, because
  both are written here. A bounded step: it ends after `most` messages or `bytes` bytes, whatever comes first.

  KEYS[1]  unacked    hash   tag -> queue, newline, message
  KEYS[2]  index      zset   tag -> when it was fetched (ms)
  KEYS[3]  consumers  zset   consumer -> until when it is believed to live (ms)
  KEYS[4+] queues     lists; the next message stands at the right; earlier queues first
  ARGV[1]  consumer   its name
  ARGV[2]  life_ms    how long it is believed to live without a sign
  ARGV[3]  number     of this step, unique for the consumer; the tags are consumer:number:1, consumer:number:2, ...
  ARGV[4]  most       messages
  ARGV[5]  bytes      after which no further message is fetched
  ARGV[6+] tags       acknowledged; at most a thousand
  Returns  {how many messages all consumers together have fetched so far, 0 if this step found none;
            which queue (1 is KEYS[4]), message, which queue, message, ...}
]]
local most, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local TOTAL = KEYS[3] .. '.fetched'
local fetched, count, size = {0}, 0, 0
local function tag() return ARGV[1] .. ':' .. ARGV[3] .. ':' .. count + 1 end
local function add(at, message)
  count, size = count + 1, size + #message
  fetched[#fetched + 1] = at - 3
  fetched[#fetched + 1] = message
end

-- Comes last, because it needs no memory: a full server refuses a script at its first write, and never after it.
local function forget()
  if #ARGV < 6 then return end
  local tags = {unpack(ARGV, 6)}
  redis.call('ZREM', KEYS[2], unpack(tags))
  redis.call('HDEL', KEYS[1], unpack(tags))
end

-- The same step again, because its reply was lost: the same answer.
local entry = redis.call('HGET', KEYS[1], tag())
while entry do
  local ends = string.find(entry, '\n', 1, true)
  local at = 4
  while KEYS[at] ~= string.sub(entry, 1, ends - 1) do at = at + 1 end
  add(at, string.sub(entry, ends + 1))
  entry = redis.call('HGET', KEYS[1], tag())
end
if count > 0 then
  fetched[1] = tonumber(redis.call('GET', TOTAL) or 0)
  forget()
  return fetched
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for at = 4, #KEYS do
  while count < most and size < bytes do
    local message = redis.call('LINDEX', KEYS[at], -1)
    if not message then break end
    -- What needs memory comes first.
    redis.call('HSET', KEYS[1], tag(), KEYS[at] .. '\n' .. message)
    redis.call('ZADD', KEYS[2], now, tag())
    redis.call('RPOP', KEYS[at])
    add(at, message)
  end
end
if count > 0 then
  redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
  fetched[1] = redis.call('INCRBY', TOTAL, count)
end
forget()
return fetched
