-- Purpose: stores a rebuild's ticket in the slot; it dies with the node's data.
-- Keys:    t
-- Args:    ticket (1 to 64 bytes)
-- Returns: {0}
-- Writes:  t
-- Idempotence: the same ticket again changes nothing; another one voids loads of the first.
-- Cost:    O(1), 1 call.
if #KEYS ~= 1 or #ARGV ~= 1 then
  return redis.error_reply('ERR ticket: arity')
end
redis.call('SET', KEYS[1], ARGV[1])
return { 0 }
