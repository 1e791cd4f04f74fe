#!lua flags=allow-oom
--[[
  Return permits whose requests were not made, with the execution time they had reserved. The replay of a lost reply
  returns them twice; of one permit, the reserve of `acquire` absorbs that.

  KEYS[1]  portal      hash
  KEYS[2]  account     hash
  ARGV[1]  reserved_s  seconds
  ARGV[2]  window_s    seconds
  ARGV[3]  requests    0 for requests that were made and cost no execution time
  Returns  0
]]
local level, granted = unpack(redis.call('HMGET', KEYS[1], 'level', 'granted'))
local requests = tonumber(ARGV[3])
-- Without a level the hash has expired, and with it everything there was to give back.
if level then
  redis.call('HSET', KEYS[1], 'level', exact(math.max(0, tonumber(level) - requests)))
end
if granted then
  redis.call('HSET', KEYS[1], 'granted', string.format('%.0f', math.max(0, tonumber(granted) - requests)))
end
if tonumber(ARGV[1]) > 0 then
  local account = current_account(KEYS[2], {window_s = tonumber(ARGV[2])})
  if account.told_s then
    take_back(account, tonumber(ARGV[1]), 0)
    hasten(account, tonumber(ARGV[1]))
    write_account(KEYS[2], account)
  end
end
return 0
