--[[
  Write down a message that nobody can read, and forget the oldest one when there are too many.

  The same message again, right after itself, changes nothing: a call whose reply was lost is repeated, and a worker
  that died before it acknowledged gets the message once more.

  KEYS[1]  parked    list    newest first: number, instant (ms), entry, separated by blanks
  KEYS[2]  numbers   string  the latest number
  ARGV[1]  entry     what is written down, one line of JSON
  ARGV[2]  most      entries
  Returns  the message's number
]]
local newest = redis.call('LINDEX', KEYS[1], 0)
if newest then
  local number, entry = string.match(newest, '^(%d+) %d+ (.*)$')
  if entry == ARGV[1] then return tonumber(number) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local number = redis.call('INCR', KEYS[2])
redis.call('LPUSH', KEYS[1], string.format('%d %d %s', number, now, ARGV[1]))
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
return number
