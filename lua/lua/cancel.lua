-- Purpose: drops a line hold that exactly this attempt created and nobody touched since.
-- Keys:    c h b0 (one hash tag)
-- Args:    key (12 B), id (16 B), nonce (16 hex)
-- Returns: {id, code}: 0 OK (dropped) | 1 KEPT | 3 MISSING
-- Writes:  h, b0, c.held
-- Idempotence: a repeat finds nothing and answers KEPT.
-- Cost:    O(1), at most 5 calls.
if #KEYS ~= 3 or #ARGV ~= 3 then
  return redis.error_reply('ERR cancel: arity')
end
local call, sub = redis.call, string.sub
local c = call('HMGET', KEYS[1], 'W', 'lim')
if not c[1] then return { ARGV[2], 3 } end
local v = call('HGET', KEYS[2], ARGV[1])
local mine = v and sub(v, 1, 1) == 'L' and sub(v, 2, 5) == sub(ARGV[2], 13)
if not mine or sub(v, 29, 45) ~= '-' .. ARGV[3] then return { ARGV[2], 1 } end
local minus = string.format('%.0f', -tonumber(sub(v, 19, 28)))
local buyer = sub(v, 49, 48 + sub(v, 46, 48))
call('HDEL', KEYS[2], ARGV[1])
call('HINCRBY', KEYS[1], 'held', minus)
if buyer ~= '' and c[2] == '1' then
  call('HINCRBY', KEYS[3], buyer, minus)
end
return { ARGV[2], 0 }
