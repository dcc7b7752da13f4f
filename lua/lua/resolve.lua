-- Purpose: drops phantom holds: their verdict (at seq s) is folded in already.
-- Keys:    c h b0 (one hash tag)
-- Args:    per order: key (12 B), id (16 B), s (seq of its verdict)
-- Returns: {holds dropped, W}, or {-1, 0} when the cell is missing
-- Writes:  h, b0, c.held; never when s > W (the units would be on sale until apply)
-- Idempotence: a hold that is gone is not dropped again.
-- Cost:    O(orders), at most 2 + 4 calls per dropped hold.
if #KEYS ~= 3 or #ARGV < 3 or #ARGV % 3 ~= 0 then
  return redis.error_reply('ERR resolve: arity')
end
local call, sub = redis.call, string.sub
local c = call('HMGET', KEYS[1], 'W', 'lim')
if not c[1] then return { -1, 0 } end
local W, limited, dropped = tonumber(c[1]), c[2] == '1', 0

local function drop(field, v)
  local q, buyer = tonumber(sub(v, 19, 28)), sub(v, 49, 48 + sub(v, 46, 48))
  call('HDEL', KEYS[2], field)
  if q > 0 then
    call('HINCRBY', KEYS[1], 'held', string.format('%.0f', -q))
  end
  if q > 0 and buyer ~= '' and limited then
    call('HINCRBY', KEYS[3], buyer, string.format('%.0f', -q))
  end
  dropped = dropped + 1
end

for a = 1, #ARGV, 3 do
  if tonumber(ARGV[a + 2]) <= W then
    local v = call('HMGET', KEYS[2], ARGV[a], ARGV[a + 1])
    if v[1] and sub(v[1], 2, 5) == sub(ARGV[a + 1], 13) then drop(ARGV[a], v[1]) end
    if v[2] then drop(ARGV[a + 1], v[2]) end
  end
end
return { dropped, W }
