#!lua flags=no-writes
--[[
  How much happened in each minute since a moment, of those that are kept.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  since when, ms
  Returns  {minute in ms, accepted, paid, failed, put in doubt} per minute in which anything happened, oldest first
]]
local KINDS = {a = 2, p = 3, f = 4, d = 5}
local MINUTE_MS = 60 * 1000
local since = math.floor(math.max(tonumber(ARGV[1]), NOW - MINUTES_KEPT_MS) / MINUTE_MS) * MINUTE_MS

local function add(answer, half_hour)
  local flat, minutes = redis.call('HGETALL', minutes_of(half_hour)), {}
  for n = 1, #flat, 2 do
    local kind, minute = string.match(flat[n], '^(%l)(%d+)$')
    local at = half_hour * HALF_HOUR_MS + minute * MINUTE_MS
    if not minutes[at] and at >= since then
      minutes[at] = {at, 0, 0, 0, 0}
      answer[#answer + 1] = minutes[at]
    end
    if minutes[at] then minutes[at][KINDS[kind]] = tonumber(flat[n + 1]) end
  end
end

local answer = {}
for half_hour = math.floor(since / HALF_HOUR_MS), math.floor(NOW / HALF_HOUR_MS) do add(answer, half_hour) end
table.sort(answer, function(one, other) return one[1] < other[1] end)
return answer
