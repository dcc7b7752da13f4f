-- Purpose: turns a sealed anchor that nobody touched since `att` was read into a fence.
-- Keys:    c h b0 (one hash tag)
-- Args:    key (12 B), id (16 B), att ('-' creator or '+' shared, nonce 16 hex)
-- Returns: {id, code, 0}: 0 FENCED | 3 CHANGED | 4 MISSING
-- Writes:  h (drops S, creates F under the whole id), b0, c.held, c.F (as fence does)
-- Idempotence: on state F the same value is written again.
-- Cost:    O(1), at most 8 calls.
if #KEYS ~= 3 or #ARGV ~= 3 then
  return redis.error_reply('ERR unseal: arity')
end
local call, sub = redis.call, string.sub
local key, id = ARGV[1], ARGV[2]
local c = call('HMGET', KEYS[1], 'W', 'lim')
if not c[1] then return { id, 4, 0 } end
local v = call('HMGET', KEYS[2], key, id)
if v[2] then
  call('HSET', KEYS[2], id, v[2])
  return { id, 0, 0 }
end
local s = v[1]
local same = s and sub(s, 1, 1) == 'S' and sub(s, 2, 5) == sub(id, 13)
if not same or sub(s, 29, 45) ~= ARGV[3] then return { id, 3, 0 } end
local minus = string.format('%.0f', -tonumber(sub(s, 19, 28)))
local buyer = sub(s, 49, 48 + sub(s, 46, 48))
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = 'F' .. sub(id, 13) .. string.format('%013.0f', now)
call('HDEL', KEYS[2], key)
call('HINCRBY', KEYS[1], 'held', minus)
if buyer ~= '' and c[2] == '1' then
  call('HINCRBY', KEYS[3], buyer, minus)
end
call('HSET', KEYS[2], id, head .. '0000000000-0000000000000000' .. sub(s, 46))
call('HSET', KEYS[1], 'F', '1')
return { id, 0, 0 }
