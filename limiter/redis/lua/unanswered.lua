#!lua flags=allow-oom
--[[
  A request was given up: its commands take so long at least, and the next request is smaller.

  KEYS[1]  account   hash
  ARGV[1]  commands  pay commands it carried
  ARGV[2]  took_s    seconds
  ARGV[3]  keep_ms   expiry of an unused portal
  Returns  0
]]
local commands = tonumber(ARGV[1])
local speed = read_speed(KEYS[1])
local least_s = math.max(0, tonumber(ARGV[2]) - (speed.base_s or 0)) / commands
speed.command_s = math.max(speed.command_s or 0, least_s)
-- Its size is not tried again soon.
speed.most = math.max(1, math.floor(commands / (2 * NUMBERS.ramp)))
write_speed(KEYS[1], speed)
keep(KEYS[1], ARGV[3])
return 0
