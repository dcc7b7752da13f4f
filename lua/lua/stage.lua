-- Purpose: collects buyers for a coming load, chunk by chunk, beside the cell.
-- Keys:    s (the staging key, same hash tag as the cell)
-- Args:    per buyer: buyer, units (at most 1,000 buyers)
-- Returns: {0}
-- Writes:  s; it lives 10 min after the last chunk
-- Idempotence: the same pairs again write the same fields.
-- Cost:    O(buyers), 2 calls.
if #KEYS ~= 1 or #ARGV < 2 or #ARGV % 2 ~= 0 or #ARGV > 2000 then
  return redis.error_reply('ERR stage: arity')
end
redis.call('HSET', KEYS[1], unpack(ARGV))
redis.call('EXPIRE', KEYS[1], '600')
return { 0 }
