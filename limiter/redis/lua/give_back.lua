#!lua flags=allow-oom
--[[
  Return a permit whose request was not made, with the execution time it had reserved. The replay of a lost reply
  returns one too many, which the reserve of `acquire` absorbs.

  KEYS[1]  portal      hash
  KEYS[2]  account     hash
  ARGV[1]  reserved_s  seconds
  ARGV[2]  window_s    seconds
  ARGV[3]  requests    1, or 0 for a request that was made and cost no execution time
  Returns  0
]]
local level = redis.call('HGET', KEYS[1], 'level')
-- Without a level the hash has expired, and with it everything there was to give back.
if level then
  redis.call('HSET', KEYS[1], 'level', exact(math.max(0, tonumber(level) - tonumber(ARGV[3]))))
end
if tonumber(ARGV[1]) > 0 then
  local account = current_account(KEYS[2], {window_s = tonumber(ARGV[2])})
  if account.told_s then
    take_back(account, tonumber(ARGV[1]), 0)
    write_account(KEYS[2], account)
  end
end
return 0
