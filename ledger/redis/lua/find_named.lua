#!lua flags=no-writes
--[[
  Read payments by whatever somebody has of them: an id, a handle that joined one, or an idempotency key.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     texts
  Returns  two rows per text, by its name and by its key: as `find` has them, {} when unknown
]]
local answers = {}
for n, text in ipairs(ARGV) do
  local id, _, late = resolve(text)
  answers[2 * n - 1] = id and row(id, late) or {}
  local keyed = redis.call('GET', P .. 'k:' .. text)
  answers[2 * n] = keyed and read(keyed) and row(keyed) or {}
end
return answers
