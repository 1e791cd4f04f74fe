--[[
  Put a record that was sealed anew in the place of the one that was read, unless somebody has stored another meanwhile.

  KEYS[1]  portals  hash key -> record (JSON)
  ARGV[1]  key
  ARGV[2]  the record as it was read, to the byte
  ARGV[3]  the same record, sealed anew
  Returns  1  done
           0  another record is there by now, or none
]]
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
