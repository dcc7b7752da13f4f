-- Purpose: a page of the holds or of the buyers of a cell.
-- Keys:    c, then h or b0 or b1 (one hash tag)
-- Args:    cursor, count (a hint)
-- Returns: {next cursor (text), lim, field, value, ...}; empty when the key is missing
-- Writes:  nothing
-- Idempotence: a read; an element may come twice, one that stays all the time is never missed.
-- Cost:    O(count), 2 calls; a small hash comes in one page.
if #KEYS ~= 2 or #ARGV ~= 2 then
  return redis.error_reply('ERR scan: arity')
end
local page = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local out = { page[1], redis.call('HGET', KEYS[1], 'lim') or '1' }
for i = 1, #page[2] do out[i + 2] = page[2][i] end
return out
