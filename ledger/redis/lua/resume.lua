#!lua flags=allow-oom
--[[
  Let a held lane go on at once, on trial. A person's word forgets how long probes have waited; a probe does not, because
  the lane may be held again for the same reason.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  portal
  ARGV[2]  since when the lane is held that a probe found mended, ms; '' for a person
  Returns  1, or 0 when it was not held, or not as the probe says
]]
local lane, by_probe = P .. 'l:' .. ARGV[1], ARGV[2] ~= ''
local held = redis.call('HMGET', lane, 'held', 'held_at', 'probe_of')
if not held[1] then return 0 end
if by_probe and (held[2] ~= ARGV[2] or held[3] ~= ARGV[2]) then return 0 end
redis.call('HDEL', lane, 'held', 'held_text', 'held_remedy', 'held_at', 'pause')
end_probes(ARGV[1])
if by_probe then redis.call('HSET', lane, 'eased', NOW) else redis.call('HDEL', lane, 'eased', 'probe_wait') end
redis.call('HSET', lane, 'trial', 1)
if redis.call('HEXISTS', lane, 'owner') == 0 then schedule(ARGV[1], 0) end
return 1
