#!lua flags=no-writes
--[[
  Read what is kept beside a payment's record: its other names, who is to be told of its end, and how far that has come.

  KEYS[1]  prefix of all the ledger's keys
  ARGV[1]  payment id or handle
  ARGV[2]  how many names and wishes at most
  Returns  {} when unknown, else {{names, h before a handle and k before a key, ...}, how many names there are,
           {handle, host, its callback: hash without address, {} as long as there is none}, ...}
]]
local id, record = resolve(ARGV[1])
if not id then return {} end
local most = tonumber(ARGV[2])

-- As `tell` of the prelude names it.
local function callback_of(handle)
  local moment = record.s == 'f' and record.f or record.e
  local event = 'evt_' .. string.sub(redis.sha1hex(handle .. ' ' .. record.s .. ' ' .. moment), 1, 32)
  local fields = {'s', 'n', 'c', 'x', 'l', 'e'}
  local known, flat = redis.call('HMGET', P .. 'cb:' .. event, unpack(fields)), {}
  if not known[1] then return {} end
  for n, field in ipairs(fields) do
    if known[n] then
      flat[#flat + 1] = field
      flat[#flat + 1] = known[n]
    end
  end
  flat[#flat + 1] = 'event'
  flat[#flat + 1] = event
  return flat
end

local names, shown = redis.call('SMEMBERS', P .. 'j:' .. id), {}
table.sort(names)
for n = 1, math.min(#names, most) do shown[n] = names[n] end
local answer = {shown, #names}
local wishes = redis.call('HGETALL', P .. 'w:' .. id)
for n = 1, math.min(#wishes, 2 * most), 2 do
  local host = string.match(wishes[n + 1], '^(%S+)')
  answer[#answer + 1] = {wishes[n], host, callback_of(wishes[n])}
end
return answer
