--[[
  Replace a door's record, unless somebody else has replaced it meanwhile.

  A repeated call (its reply was lost) finds its own record and says the same as the first.

  KEYS[1]  door    string, JSON
  ARGV[1]  before  the record as it was read
  ARGV[2]  after   the record that takes its place; no two callers write the same
  ARGV[3]  until   epoch milliseconds when it is forgotten, "0" for never
  Returns  1       replaced
           0       another record stands there, or none
]]
local now = redis.call('GET', KEYS[1])
if now ~= ARGV[1] and now ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
if ARGV[3] ~= '0' then
  redis.call('PEXPIREAT', KEYS[1], ARGV[3])
end
return 1
