#!lua flags=allow-oom
--[[
  End a payment in doubt by the word of a person who looked at the portal.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  payment id or handle
  ARGV[2]  '1' when it is paid, '0' when it is not
  ARGV[3]  why
  ARGV[4]  retention of finished payments, ms
  ARGV[5]  id of the ledger as the caller remembers it, or ''
  ARGV[6]  a fresh random name, for a ledger that has none
  ARGV[7]  quiet time, ms
  Returns  {} when unknown, {ms} when "unpaid" does not count before that moment, else {the row afterwards, 1}
]]
local id, record, late = resolve(ARGV[1])
if not id then return {} end
guard(ARGV[5], ARGV[6], tonumber(ARGV[7]))
if record.s == 'd' then
  local key, quiet_until = P .. 'p:' .. id, quiet_end(record, tonumber(record.u))
  if ARGV[2] == '0' and NOW < quiet_until then return {quiet_until} end
  redis.call('HDEL', key, 'u', 'g', 'm', 'w', 'z')
  redis.call('HSET', key, 'n', ARGV[3])
  if ARGV[2] == '1' then
    -- Written as what a version without this step can read; with `n` it is a person's word.
    redis.call('HSET', key, 'v', 'r', 'p', NOW)
    finish(id, record, 'p', tonumber(ARGV[4]))
  else
    redis.call('HSET', key, 'g', 'RESOLVED_UNPAID', 'm', ARGV[3])
    record.g = 'RESOLVED_UNPAID'
    finish(id, record, 'f', tonumber(ARGV[4]))
  end
  trim(record.l)
end
return {row(id, late), 1}
