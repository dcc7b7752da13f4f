-- Purpose: folds ledger entries into a cell; the only way its counters follow the ledger.
-- Keys:    c h b0 b1 d0 d1 (one hash tag)
-- Args:    prev_seq, prev_tok, then per entry (seq = prev_seq + 1, ...): kind (1 letter),
--          key (12 B), id (16 B), buyer ('' = none), hash (< 2^46), qty (units or flag), tok
-- Returns: {code, W, claims without a hold}: 0 OK | 1 MISSING | 2 GAP | 3 FORK
-- Writes:  c, b0, d0; drops holds; swaps d0/d1 every 10 min, b0/b1 every day without a limit (fg
--          tells that buyers were forgotten)
-- Idempotence: entries up to W are skipped; their token is compared when the call has it.
-- Cost:    O(entries), at most 16 calls.
if #KEYS ~= 6 or #ARGV < 9 or (#ARGV - 2) % 7 ~= 0 then
  return redis.error_reply('ERR apply: arity')
end
local call, sub, fmt = redis.call, string.sub, string.format
local prev, count = tonumber(ARGV[1]), (#ARGV - 2) / 7
local c = call('HMGET', KEYS[1], 'supply', 'net', 'held', 'W', 'adds', 'open', 'tok', 'lim',
  'dt', 'bt')
if not c[4] then return { 1, 0, 0 } end
local W, limited = tonumber(c[4]), c[8] == '1'
if prev > W then return { 2, W, 0 } end
local known = prev == W and ARGV[2] or ARGV[2 + 7 * (W - prev)]
if known and known ~= c[7] then return { 3, W, 0 } end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function rotate(new, old, field)
  call('UNLINK', old)
  if call('EXISTS', new) == 1 then call('RENAME', new, old) end
  call('HSET', KEYS[1], field, fmt('%.0f', now))
end
if now - c[9] >= 600000 then rotate(KEYS[5], KEYS[6], 'dt') end
if not limited and now - c[10] >= 86400000 then
  if call('EXISTS', KEYS[4]) == 1 then call('HSET', KEYS[1], 'fg', '1') end
  rotate(KEYS[3], KEYS[4], 'bt')
end
if W >= prev + count then return { 0, W, 0 } end

local supply, net, held = tonumber(c[1]), tonumber(c[2]), tonumber(c[3])
local adds, open, tok, bare = tonumber(c[5]), c[6], c[7], 0
local hf, bf, n = {}, {}, 0
for a = 3 + 7 * (W - prev), #ARGV, 7 do
  n = n + 1
  hf[2 * n - 1], hf[2 * n] = ARGV[a + 1], ARGV[a + 2]
  bf[n] = ARGV[a + 3]
end
local hv = call('HMGET', KEYS[2], unpack(hf))
local b0 = call('HMGET', KEYS[3], unpack(bf))
local b1 = limited and {} or call('HMGET', KEYS[4], unpack(bf))
local H, B, gone, dirty, dw = {}, {}, {}, {}, {}
for i = 1, n do
  H[hf[2 * i - 1]], H[hf[2 * i]] = hv[2 * i - 1], hv[2 * i]
  B[bf[i]] = b0[i] and tonumber(b0[i]) or (b1[i] and 0) or nil
end

-- Adds units to a buyer's field; a field that is new because of `hash` counts in adds.
local function give(buyer, q, hash)
  if buyer == '' then return end
  if not B[buyer] and not hash then B[buyer] = tonumber(call('HGET', KEYS[3], buyer) or 0) end
  if not B[buyer] then adds = (adds + hash) % 70368744177664 end
  B[buyer] = limited and (B[buyer] or 0) + q or 0
  dirty[#dirty + 1] = buyer
end

-- Removes what h has of this whole id; true when units were held.
local function drop(key, id)
  if H[id] then
    H[id], gone[#gone + 1] = false, id
  end
  local v = H[key]
  if not v or sub(v, 2, 5) ~= sub(id, 13) then return false end
  H[key], gone[#gone + 1] = false, key
  local q = tonumber(sub(v, 19, 28))
  held = held - q
  if limited then give(sub(v, 49, 48 + sub(v, 46, 48)), -q) end
  return true
end

local function fold(a)
  local kind, key, id, q = ARGV[a], ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 5])
  local covered = (kind == 'C' or kind == 'X' or kind == 'T') and drop(key, id)
  if kind == 'C' then
    net = net + q
    bare = bare + (covered and 0 or 1)
    give(ARGV[a + 3], q, ARGV[a + 4])
  elseif kind == 'R' or kind == 'B' then
    net = net - q
    give(ARGV[a + 3], -q, ARGV[a + 4])
  elseif kind == 'S' then
    supply = supply + q
  elseif kind == 'T' then
    supply = supply - q
  elseif kind == 'G' then
    open = ARGV[a + 5]
  end
  if kind ~= 'S' and kind ~= 'G' and kind ~= 'B' then
    dw[#dw + 1], dw[#dw + 2] = key, sub(id, 13) .. kind
  end
  W, tok = W + 1, ARGV[a + 6]
end

for a = 3 + 7 * (W - prev), #ARGV, 7 do fold(a) end
if #gone > 0 then call('HDEL', KEYS[2], unpack(gone)) end
if #dw > 0 then call('HSET', KEYS[5], unpack(dw)) end
local bw, text = {}, {}
for i = 1, #dirty do
  local q = B[dirty[i]]
  text[q] = text[q] or fmt('%.0f', q)
  bw[2 * i - 1], bw[2 * i] = dirty[i], text[q]
end
if #bw > 0 then call('HSET', KEYS[3], unpack(bw)) end
call('HSET', KEYS[1], 'supply', fmt('%.0f', supply), 'net', fmt('%.0f', net),
  'held', fmt('%.0f', held), 'adds', fmt('%.0f', adds), 'open', open,
  'W', fmt('%.0f', W), 'tok', tok)
return { 0, W, bare }
