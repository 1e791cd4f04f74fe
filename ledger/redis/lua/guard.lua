--[[
  Notice that the server is not the one that wrote the ledger last, or that the ledger was emptied under its workers.

  Shared by the steps that begin something or put an end to it without a proof (take, claim, doubts, renew, cancel,
  decide): any of them may be the first after a restart. The loader puts it behind the prelude of those that name it.
  A server that was restarted, a replica that was promoted, an older append-only file that was put back: each may have
  forgotten steps that it had confirmed, and each has another run id or replication id. Then a new epoch begins.
]]
local function identity()
  local told = redis.call('INFO', 'server', 'replication')
  return string.match(told, 'run_id:(%w+)') .. '-' .. string.match(told, 'master_replid:(%w+)')
end

-- `remembered`: the ledger's id as the caller knows it, '' when it knows none. `name`: for a ledger that has no id.
local function guard(remembered, name, quiet_ms)
  local server = identity()
  local known = redis.call('HMGET', EPOCH, 'id', 'server', 'number', 'prev')
  local id = known[1] or name
  local lost = remembered ~= '' and remembered ~= id and remembered ~= known[4]
  if not known[1] and not lost then
    redis.call('HSET', EPOCH, 'id', id, 'server', server, 'number', 1, 'since', NOW, 'until', 0, 'quiet', 0)
  elseif lost or known[2] ~= server then
    redis.call('HSET', EPOCH, 'id', id, 'server', server, 'number', tonumber(known[3] or 0) + 1, 'since', NOW,
      'until', NOW + GUARD_MS, 'quiet', NOW + quiet_ms)
    if lost then redis.call('HSET', EPOCH, 'prev', remembered) end
    -- Fences of the lost history are not given again: its drivers may still be alive.
    local fence = tonumber(redis.call('GET', P .. 'fence') or 0)
    redis.call('SET', P .. 'fence', string.format('%.0f', math.max(fence, NOW)))
  end
  ERA = nil
  return epoch()
end

-- Whether the lane was taken from this server. A lease that outlived another one's history goes on no more: what that
-- history has forgotten its driver does not know either, and only a new driver's `recover` looks for it.
local function taken_here(portal)
  return redis.call('HGET', P .. 'l:' .. portal, 'epoch') == epoch().number
end

-- Into doubt, because a lost history may have sent it. One read answers, when whatever that sent has ended. Nothing was
-- attempted, so `a` stays (but is there).
local function screen(id, record)
  local read_at = math.max(epoch().quiet, NOW)
  if record.s == 'q' and record.r then count(record.l, 'r', -1) end
  move(id, record, 'd')
  note(id, record, entry(record, 'd', NOW, 'G'))
  redis.call('HSET', P .. 'p:' .. id, 'u', read_at, 'o', epoch().number, 'a', record.a or 0)
  redis.call('ZADD', P .. 'd:' .. record.l, read_at, id)
end
