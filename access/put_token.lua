--[[
  Store a new token under its id, and its name with it; a name belongs to one token until that is revoked.

  A repeated call (its reply was lost) finds its own token and says the same as the first.

  KEYS[1]  tokens  hash    id -> row (JSON)
  KEYS[2]  names   hash    name -> id
  KEYS[3]  made    string  how many tokens were ever made
  ARGV[1]  id
  ARGV[2]  name
  ARGV[3]  row
  Returns  ""      stored
           id      the token that has the name; nothing was written
]]
local holder = redis.call('HGET', KEYS[2], ARGV[2])
if holder == ARGV[1] then return '' end
if holder then return holder end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
redis.call('INCR', KEYS[3])
return ''
