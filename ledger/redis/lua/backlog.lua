#!lua flags=allow-oom
--[[
  What a lane has to do now; changes nothing.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  owner
  ARGV[3]  fence
  Returns  {0} when the lease is lost, else {1, waiting, suspects, doubts that are due}
]]
if not drives(ARGV[1], ARGV[2], ARGV[3]) then return {0} end
return {1, backlog(ARGV[1])}
