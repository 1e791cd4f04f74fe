--[[
  Forget a portal. Its version is kept, so a later record of the same key is newer; and whose address it was, as long as
  its payments are remembered.

  KEYS[1]  portals    hash key -> record (JSON)
  KEYS[2]  addresses  hash "host:..." or "member:..." -> key
  KEYS[3]  removed    see put_portal.lua
  ARGV[1]  key
  ARGV[2]  how long its payments are remembered, ms; 0 when there are none
  Returns  1  removed
           0  there was no such portal
]]
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old then
  return 0
end
local clock = redis.call('TIME')
local ends = clock[1] * 1000 + ARGV[2]
local addresses = cjson.decode(old).addresses
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[3], 'key:' .. ARGV[1], addresses[1] .. ' ' .. string.format('%.0f', ends))
end
for _, address in ipairs(addresses) do
  if tonumber(ARGV[2]) > 0 then
    redis.call('HSET', KEYS[3], address, ARGV[1] .. ' ' .. string.format('%.0f', ends))
  end
  if redis.call('HGET', KEYS[2], address) == ARGV[1] then
    redis.call('HDEL', KEYS[2], address)
  end
end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
