#!lua flags=allow-oom
--[[
  Look at lanes as an operator does; finished payments that have expired leave the counts.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     portals; none means all
  Returns  {portal, due at in ms or '', fields of its hash, next probe in ms or ''} per known lane, and first the server's clock in ms
]]
local portals = ARGV
if #portals == 0 then portals = redis.call('SMEMBERS', P .. 'lanes') end
local answer = {NOW}
for _, portal in ipairs(portals) do
  if is_lane(portal) then
    trim(portal)
    local due = redis.call('ZSCORE', DUE, portal)
    local probe = redis.call('ZSCORE', PROBES, portal)
    answer[#answer + 1] = {portal, due or '', redis.call('HGETALL', P .. 'l:' .. portal), probe or ''}
  end
end
return answer
