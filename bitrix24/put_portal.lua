--[[
  Store a portal's record, unless its address belongs to another key or the key to another address.

  One key per address: two keys would be two lanes that can pay the same invoice. A key keeps its address, because its
  lane may hold payments of that portal; `moved` says that it is the same portal under a new address.

  A portal that was removed is remembered as long as its payments are: under another key its paid invoices would be
  unknown and could be paid again, and another portal under its key would have invoices that it never paid.

  KEYS[1]  portals    hash key -> record (JSON; the first field is the version)
  KEYS[2]  addresses  hash "host:..." or "member:..." -> key
  KEYS[3]  versions   hash key -> the number of times it was stored; outlives the record, so versions never repeat
  KEYS[4]  removed    hash "key:<key>" -> its first address, "<address>" -> its key, each with " <ms until>" behind
  ARGV[1]  key
  ARGV[2]  record     JSON object without a version, beginning with "{"
  ARGV[3]  moved      "1" when the key may change its address
  ARGV[4]  over       the version that is replaced, "" for whatever there is
  ARGV[5+] addresses  of this portal
  Returns  {version, ""}      stored
           {0, other key}     refused: an address belongs to that key
           {-1, ""}           refused: the key has another address
           {-2, other key}    refused: the payments of this address are remembered under that key
           {-3, ""}           refused: the key remembers the payments of another address
           {-4, ""}           refused: another version is stored by now
]]
local key = ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000

-- What is remembered under a name, or nil when its time is over.
local function remembered(name)
  local value, ends = string.match(redis.call('HGET', KEYS[4], name) or '', '^(.*) (%d+)$')
  return value and tonumber(ends) > now and value or nil
end

local old = redis.call('HGET', KEYS[1], key)
if ARGV[4] ~= '' and (not old or string.format('%d', cjson.decode(old).version) ~= ARGV[4]) then
  return {-4, ''}
end
local mine = {}
for i = 5, #ARGV do
  local owner = redis.call('HGET', KEYS[2], ARGV[i])
  if owner and owner ~= key then
    return {0, owner}
  end
  local former = remembered(ARGV[i])
  if former and former ~= key then
    return {-2, former}
  end
  mine[ARGV[i]] = true
end
local former = remembered('key:' .. key)
if former and former ~= ARGV[5] and ARGV[3] ~= '1' then
  return {-3, ''}
end
if old then
  local before = cjson.decode(old).addresses
  if before[1] ~= ARGV[5] and ARGV[3] ~= '1' then
    return {-1, ''}
  end
  for _, address in ipairs(before) do
    if not mine[address] then
      redis.call('HDEL', KEYS[2], address)
    end
  end
end
redis.call('HDEL', KEYS[4], 'key:' .. key)
for address in pairs(mine) do
  redis.call('HDEL', KEYS[4], address)
  redis.call('HSET', KEYS[2], address, key)
end
local version = redis.call('HINCRBY', KEYS[3], key, 1)
redis.call('HSET', KEYS[1], key, '{"version":' .. version .. ',' .. string.sub(ARGV[2], 2))
return {version, ''}
