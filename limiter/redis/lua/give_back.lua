#!lua flags=allow-oom
--[[
  Return a permit whose request was not made. The replay of a lost reply returns one too many, which the reserve of
  `acquire` absorbs.

  KEYS[1]  portal   hash, see acquire.lua
  Returns  0
]]
local level = redis.call('HGET', KEYS[1], 'level')
-- Without a level the hash has expired, and with it everything there was to give back.
if level then
  redis.call('HSET', KEYS[1], 'level', string.format('%.17g', math.max(0, tonumber(level) - 1)))
end
return 0
