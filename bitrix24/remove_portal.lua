--[[
  Forget a portal and free its addresses. Its version is kept, so a later record of the same key is newer.

  KEYS[1]  portals    hash key -> record (JSON)
  KEYS[2]  addresses  hash "host:..." or "member:..." -> key
  ARGV[1]  key
  Returns  1  removed
           0  there was no such portal
]]
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old then
  return 0
end
for _, address in ipairs(cjson.decode(old).addresses) do
  if redis.call('HGET', KEYS[2], address) == ARGV[1] then
    redis.call('HDEL', KEYS[2], address)
  end
end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
