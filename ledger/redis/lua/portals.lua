#!lua flags=no-writes
--[[
  Name the next lanes in the order of their keys, of those that have a payment in one of some states.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal to go on behind, '' for the first
  ARGV[2]  how many at most
  ARGV[3]  states, as their letters; '' for all lanes, empty ones too
  ARGV[4]  how many lanes to look at
  Returns  {portal to go on behind, or '' at the end, portal, ...}
]]
local after, limit, looks = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local states = {}
for letter in string.gmatch(ARGV[3], '%a') do states[#states + 1] = letter end

local function has_any(portal)
  if #states == 0 then return true end
  for _, number in ipairs(redis.call('HMGET', P .. 'l:' .. portal, unpack(states))) do
    if tonumber(number or 0) > 0 then return true end
  end
  return false
end

local behind = {}
for _, portal in ipairs(redis.call('SMEMBERS', P .. 'lanes')) do
  if portal > after then behind[#behind + 1] = portal end
end
table.sort(behind)
local answer = {''}
for n, portal in ipairs(behind) do
  if #answer > limit or n > looks then
    answer[1] = behind[n - 1]
    break
  end
  if has_any(portal) then answer[#answer + 1] = portal end
end
return answer
