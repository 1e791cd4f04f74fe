#!lua flags=allow-oom
--[[
  Put a revoked row in the place of the one that was read, and free its name.

  KEYS[1]  tokens  hash id -> row (JSON)
  KEYS[2]  names   hash name -> id
  ARGV[1]  id
  ARGV[2]  name
  ARGV[3]  before  the row as it was read
  ARGV[4]  after   the row that takes its place
  Returns  1       revoked
           0       another row stands there by now, or none
]]
local now = redis.call('HGET', KEYS[1], ARGV[1])
if now ~= ARGV[3] and now ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[1] then
  redis.call('HDEL', KEYS[2], ARGV[2])
end
return 1
