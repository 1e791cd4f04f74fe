--[[
  Store a portal's record, unless its address belongs to another key or the key to another address.

  One key per address: two keys would be two lanes that can pay the same invoice. A key keeps its address, because its
  lane may hold payments of that portal; `moved` says that it is the same portal under a new address.

  KEYS[1]  portals    hash key -> record (JSON; the first field is the version)
  KEYS[2]  addresses  hash "host:..." or "member:..." -> key
  KEYS[3]  versions   hash key -> the number of times it was stored; outlives the record, so versions never repeat
  ARGV[1]  key
  ARGV[2]  record     JSON object without a version, beginning with "{"
  ARGV[3]  moved      "1" when the key may change its address
  ARGV[4+] addresses  of this portal
  Returns  {version, ""}      stored
           {0, other key}     refused: an address belongs to that key
           {-1, ""}           refused: the key has another address
]]
local key = ARGV[1]
local mine = {}
for i = 4, #ARGV do
  local owner = redis.call('HGET', KEYS[2], ARGV[i])
  if owner and owner ~= key then
    return {0, owner}
  end
  mine[ARGV[i]] = true
end
local old = redis.call('HGET', KEYS[1], key)
if old then
  local before = cjson.decode(old).addresses
  if before[1] ~= ARGV[4] and ARGV[3] ~= '1' then
    return {-1, ''}
  end
  for _, address in ipairs(before) do
    if not mine[address] then
      redis.call('HDEL', KEYS[2], address)
    end
  end
end
for address in pairs(mine) do
  redis.call('HSET', KEYS[2], address, key)
end
local version = redis.call('HINCRBY', KEYS[3], key, 1)
redis.call('HSET', KEYS[1], key, '{"version":' .. version .. ',' .. string.sub(ARGV[2], 2))
return {version, ''}
