#!lua flags=allow-oom
--[[
  Append a row to the audit and let go of what is older than the retention.

  The clock is the server's: a machine whose clock is wrong cannot push recent rows out. `~` keeps up to a node's worth
  of older rows longer and never drops a younger one.

  KEYS[1]  audit  stream
  ARGV[1]  row (JSON)
  ARGV[2]  retention, ms
  Returns  the row's id, whose first part is the server's time in ms
]]
local time = redis.call('TIME')
local horizon = math.max(0, time[1] * 1000 - ARGV[2])
return redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', horizon), '*', 'row', ARGV[1])
