-- Purpose: stores a rebuild's ticket in the slot; it dies with the node's data, and with the
--          primary: after a failover this slot may be what it was before a load that is lost.
-- Keys:    t
-- Args:    ticket (1 to 64 bytes)
-- Returns: {0}
-- Writes:  t
-- Idempotence: the same ticket again changes nothing; another one voids loads of the first.
-- Cost:    O(1), 2 calls.
if #KEYS ~= 1 or #ARGV ~= 1 then
  return redis.error_reply('ERR ticket: arity')
end
local primary = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. primary)
return { 0 }
