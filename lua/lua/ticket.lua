-- Purpose: stores a rebuild's ticket in the slot; it dies with the node's data, and with the
--          primary: after a failover this slot may be what it was before a load that is lost.
-- Keys:    t
-- Args:    ticket (1 to 64 bytes), ms that another ticket of this primary is respected (0: not),
--          or 'renew': only where it is stored already
-- Returns: {0} | {1} CHANGED (another one is so fresh: somebody is building; nothing to renew)
-- Writes:  t
-- Idempotence: the same ticket again makes it fresh; another one voids loads of the first. A
--          renewal never brings back a ticket that died: its barrier no longer covers the cell.
-- Cost:    O(1), 4 calls.
if #KEYS ~= 1 or #ARGV ~= 2 then
  return redis.error_reply('ERR ticket: arity')
end
local call, renew, respect = redis.call, ARGV[2] == 'renew', tonumber(ARGV[2])
local primary = string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at, id, of = string.match(call('GET', KEYS[1]) or '', '^(%d+):(.*):(%x+)$')
-- A time in the future is of a clock that was set back: such a ticket is not fresh for ever.
local mine = at and of == primary and id == ARGV[1]
if renew and not mine then return { 1 } end
local other = at and of == primary and not mine and not renew
if other and math.abs(now - at) < respect then return { 1 } end
call('SET', KEYS[1], string.format('%.0f:%s:%s', now, ARGV[1], primary))
return { 0 }
