--[[
  Put messages back into their queues: what a consumer rejected.

  A message that was handed out before begins with a blank: the same JSON to every reader, and a mark to ours.

  A tag that is not there any more (acknowledged, or put back for it by somebody else) counts for nothing.

  KEYS[1]  unacked    hash   tag -> queue, newline, message
  KEYS[2]  index      zset   tag -> when it was fetched (ms)
  ARGV[1]  side       RPUSH: they are the next ones again; LPUSH: they go behind all others
  ARGV[2+] tags
  Returns  how many went back
]]
local back = 0
for at = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[1], ARGV[at])
  local ends = entry and string.find(entry, '\n', 1, true)
  if ends then
    redis.call(ARGV[1], string.sub(entry, 1, ends - 1), ' ' .. string.sub(entry, ends + 1))
    redis.call('HDEL', KEYS[1], ARGV[at])
    back = back + 1
  end
  redis.call('ZREM', KEYS[2], ARGV[at])
end
return back
