--[[
  Replace a door's record or forget it, unless somebody else has replaced it meanwhile.

  A repeated call (its reply was lost) finds its own record and says the same as the first.

  KEYS[1]  doors   hash key -> record (JSON)
  ARGV[1]  key
  ARGV[2]  before  the record as it was read
  ARGV[3]  after   the record that takes its place, no two callers write the same; "" to forget it
  Returns  1       replaced
           0       another record stands there, or none
]]
local now = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if now ~= ARGV[2] and now ~= ARGV[3] then
  return 0
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
