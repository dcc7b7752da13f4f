-- Purpose: the counters of a cell in one read.
-- Keys:    c h (one hash tag)
-- Args:    none
-- Returns: {now ms, -1} when the cell is missing, else {now, supply, net, held, W, open, tok,
--          adds, inc, number of holds}; the values of c as they are stored (text)
-- Writes:  nothing
-- Idempotence: a read.
-- Cost:    O(1), 3 calls.
if #KEYS ~= 2 or #ARGV ~= 0 then
  return redis.error_reply('ERR snapshot: arity')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local c = redis.call('HMGET', KEYS[1], 'supply', 'net', 'held', 'W', 'open', 'tok', 'adds', 'inc')
if not c[4] then return { now, -1 } end
local out = { now }
for i = 1, 8 do out[i + 1] = c[i] or '' end
out[10] = redis.call('HLEN', KEYS[2])
return out
