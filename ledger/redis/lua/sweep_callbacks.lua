#!lua flags=allow-oom
--[[
  Find payments that have ended while nobody was told of it, because a version that knows no callbacks ended them.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  how many to look at
  Returns  {how many were looked at, how many were found}
]]
local function look_again(id, record)
  redis.call('PERSIST', P .. 'w:' .. id)  -- that version may have queued it again, too
  local wait = math.floor((NOW - tonumber(record.e)) / 2)
  redis.call('ZADD', WANTED, NOW + math.max(FIRST_LOOK_MS, math.min(wait, LONGEST_LOOK_MS)), id)
end

local due = redis.call('ZRANGEBYSCORE', WANTED, '-inf', NOW, 'LIMIT', 0, ARGV[1])
local found = 0
for _, id in ipairs(due) do
  local record = read(id)
  if not record or not record.h then
    redis.call('ZREM', WANTED, id)
    redis.call('DEL', P .. 'w:' .. id)
  elseif not record.f then
    look_again(id, record)
  elseif record.h ~= record.f then
    announce(id, math.max(redis.call('PTTL', P .. 'p:' .. id), 1))
    found = found + 1
  elseif record.s == 'f' then
    redis.call('ZADD', WANTED, NOW + LONGEST_LOOK_MS, id)
  else
    redis.call('ZREM', WANTED, id)
  end
end
return {#due, found}
