-- Purpose: creates a missing cell at one position of the ledger, without holds.
-- Keys:    c h b0 b1 d0 d1 t s (one hash tag)
-- Args:    supply, net, W, open, tok, adds, inc, lim (1 = offer has a limit),
--          ticket ('' = the cell never existed), buyers staged in s (0 = none)
-- Returns: {0} OK | {1} CHANGED (another ticket, another primary since it was stored, or s is
--          not complete) | {2} EXISTS
-- Writes:  all keys of the cell; removes t and s
-- Idempotence: a repeat answers EXISTS.
-- Cost:    O(1) in this thread (keys are unlinked or renamed), at most 10 calls.
if #KEYS ~= 8 or #ARGV ~= 10 then
  return redis.error_reply('ERR load: arity')
end
local call, staged = redis.call, tonumber(ARGV[10])
if call('EXISTS', KEYS[1]) == 1 then return { 2 } end
local primary = string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
local ticket = ARGV[9] ~= '' and ARGV[9] .. ':' .. primary or ''
local stored = string.match(call('GET', KEYS[7]) or '', '^%d+:(.*)$') or ''
if stored ~= ticket then return { 1 } end
if staged > 0 and call('HLEN', KEYS[8]) ~= staged then return { 1 } end
local time = call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7])
if staged > 0 then
  call('RENAME', KEYS[8], KEYS[3])
  call('PERSIST', KEYS[3])
end
call('HSET', KEYS[1], 'supply', ARGV[1], 'net', ARGV[2], 'held', '0', 'W', ARGV[3],
  'open', ARGV[4], 'tok', ARGV[5], 'adds', ARGV[6], 'inc', ARGV[7], 'lim', ARGV[8],
  'dt', now, 'bt', now)
return { 0 }
