-- Purpose: fences an anchor that is not held, so that its reserve can only answer FENCED.
-- Keys:    c h d0 d1 (one hash tag)
-- Args:    key (12 B), id (16 B), payload
-- Returns: {id, code, kind}: 0 FENCED | 1 SEALED | 2 VERDICT kind | 4 MISSING
-- Writes:  h: an entry F of quantity 0 under the whole id; other content of the key is ignored;
--          c.F: from now on reserve looks for such entries
-- Idempotence: on state F the same value is written again.
-- Cost:    O(1), at most 7 calls.
if #KEYS ~= 4 or #ARGV ~= 3 then
  return redis.error_reply('ERR fence: arity')
end
local call, sub = redis.call, string.sub
local key, id, content = ARGV[1], ARGV[2], sub(ARGV[2], 13)
if not call('HGET', KEYS[1], 'W') then return { id, 4, 0 } end
local v = call('HMGET', KEYS[2], key, id)
if v[2] then
  call('HSET', KEYS[2], id, v[2])
  return { id, 0, 0 }
end
if v[1] and sub(v[1], 2, 5) == content then return { id, 1, 0 } end
local d = call('HGET', KEYS[3], key) or call('HGET', KEYS[4], key)
if d and sub(d, 1, 4) == content then return { id, 2, sub(d, 5, 5) } end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = 'F' .. content .. string.format('%013.0f', now)
call('HSET', KEYS[2], id, head .. '0000000000-0000000000000000000' .. ARGV[3])
call('HSET', KEYS[1], 'F', '1')
return { id, 0, 0 }
