#!lua flags=allow-oom
--[[
  Say which version of the key map this ledger has; a new ledger gets ours.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  the version we write
  Returns  the ledger's version
]]
redis.call('SET', P .. 'schema', ARGV[1], 'NX')
return tonumber(redis.call('GET', P .. 'schema')) or -1
