-- Purpose: finds some holds, the fields of some buyers, or what lies under some keys.
-- Keys:    c h b0 b1 d0 d1 (one hash tag)
-- Args:    'h', then key (12 B), id (16 B) per order; or 'b', then buyers; or 'k', then keys (12 B)
-- Returns: per order the value of its hold or ''; per buyer its units in b or ''; per key the
--          content (4 B) of the order that is held or decided under it or ''
-- Writes:  nothing
-- Idempotence: a read.
-- Cost:    O(args), at most 3 calls.
if #KEYS ~= 6 or #ARGV < 2 or (ARGV[1] == 'h' and #ARGV % 2 ~= 1) then
  return redis.error_reply('ERR lookup: arity')
end
local call, out = redis.call, {}
local function of_orders()
  local v = call('HMGET', KEYS[2], unpack(ARGV, 2))
  for i = 1, #ARGV - 1, 2 do
    local same = v[i] and string.sub(v[i], 2, 5) == string.sub(ARGV[i + 2], 13)
    out[#out + 1] = (same and v[i]) or v[i + 1] or ''
  end
end
local function of_buyers()
  local limited = call('HGET', KEYS[1], 'lim') ~= '0'
  local new = call('HMGET', KEYS[3], unpack(ARGV, 2))
  local old = limited and {} or call('HMGET', KEYS[4], unpack(ARGV, 2))
  for i = 1, #ARGV - 1 do
    local known = new[i] or old[i]
    out[i] = known and (limited and known or '0') or ''
  end
end
local function of_keys()
  local v = call('HMGET', KEYS[2], unpack(ARGV, 2))
  local d0, d1 = call('HMGET', KEYS[5], unpack(ARGV, 2)), call('HMGET', KEYS[6], unpack(ARGV, 2))
  for i = 1, #ARGV - 1 do
    local d = d0[i] or d1[i]
    out[i] = (v[i] and string.sub(v[i], 2, 5)) or (d and string.sub(d, 1, 4)) or ''
  end
end
if ARGV[1] == 'h' then of_orders() elseif ARGV[1] == 'b' then of_buyers() else of_keys() end
return out
