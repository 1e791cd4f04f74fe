#!lua flags=no-writes
--[[
  Read payments by id or by any handle that joined them.

  KEYS[1]  prefix of all the ledger's keys
  ARGV     handles
  Returns  a row per handle: {id, 1 if this handle came after the payment was paid, fields}, or {} when unknown
]]
local answers = {}
for n, handle in ipairs(ARGV) do
  local id, _, late = resolve(handle)
  answers[n] = id and row(id, late) or {}
end
return answers
