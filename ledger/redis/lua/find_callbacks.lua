#!lua flags=no-writes
--[[
  Read callbacks by their names.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     events
  Returns  {event, fields, due in ms or ''} each, or {} when unknown
]]
local answers = {}
for n, event in ipairs(ARGV) do
  local host = redis.call('HGET', P .. 'cb:' .. event, 'o')
  local due = host and redis.call('ZSCORE', P .. 'cb-due:' .. host, event)
  answers[n] = host and {event, redis.call('HGETALL', P .. 'cb:' .. event), due or ''} or {}
end
return answers
