#!lua flags=allow-oom
--[[
  List callbacks in one state, newest first.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  'pending', 'failed' or 'delivered'
  ARGV[2]  host, or ''
  ARGV[3]  since, ms
  ARGV[4]  offset
  ARGV[5]  limit
  Returns  {offset of the next page or -1, then {event, fields, due in ms or ''} each}; a page may be short, because one
           step looks at so many only
]]
local MOST_LOOKS = 5000
local list, host, at, limit = P .. 'cb-' .. ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local found = redis.call('ZREVRANGEBYSCORE', list, '+inf', ARGV[3], 'LIMIT', at, MOST_LOOKS)
local answer, looked = {-1}, 0
for _, event in ipairs(found) do
  if #answer > limit then break end
  looked = looked + 1
  local known = redis.call('HGET', P .. 'cb:' .. event, 'o')
  if known and (host == '' or known == host) then
    local due = redis.call('ZSCORE', P .. 'cb-due:' .. known, event)
    answer[#answer + 1] = {event, redis.call('HGETALL', P .. 'cb:' .. event), due or ''}
  end
end
if looked < #found or looked == MOST_LOOKS then answer[1] = at + looked end
return answer
