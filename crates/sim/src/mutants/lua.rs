//! Mutants of the scripts: a text that must stand there once, and what the mutant has instead.

use super::case::Case;
use crate::plant::{Edit, Spot};

const fn lua(
    (name, meaning): (&'static str, &'static str),
    script: &'static str,
    from: &'static str,
    to: &'static str,
) -> Case {
    let spot = Spot::Lua(Edit { script, from, to });
    Case { name, meaning, spot }
}

/// Mutants of the scripts.
pub(super) const ALL: [Case; 23] = [
    lua(
        ("apply_no_watermark", "apply folds in what it has already"),
        "apply",
        "if W >= prev + count then return { 0, W, 0 } end",
        "W = prev",
    ),
    lua(
        ("gap_ignored", "apply accepts a gap"),
        "apply",
        "if prev > W then return { 2, W, 0 } end",
        "if prev > W then W, c[7] = prev, ARGV[2] end",
    ),
    lua(
        ("claim_skips_buyer", "a claim without a hold forgets b[buyer]"),
        "apply",
        "give(ARGV[a + 3], q, ARGV[a + 4])\n  elseif kind == 'R' or kind == 'B' then",
        "if covered then give(ARGV[a + 3], q, ARGV[a + 4]) end\n  \
         elseif kind == 'R' or kind == 'B' then",
    ),
    lua(
        ("release_keeps_units", "apply of a release leaves net as it is"),
        "apply",
        "net = net - q",
        "net = net",
    ),
    lua(
        ("reject_keeps_hold", "apply of a reject leaves the hold"),
        "apply",
        "(kind == 'C' or kind == 'X' or kind == 'T') and drop(key, id)",
        "(kind == 'C' or kind == 'T') and drop(key, id)",
    ),
    lua(
        ("resolve_no_w", "resolve without s <= W"),
        "resolve",
        "if tonumber(ARGV[a + 2]) <= W then",
        "if W then",
    ),
    lua(
        ("resolve_keeps_held", "resolve drops a hold and leaves held"),
        "resolve",
        "call('HINCRBY', KEYS[1], 'held', string.format('%.0f', -q))",
        "q = q",
    ),
    lua(
        ("no_conflict", "reserve takes other content under a key for the same request"),
        "reserve",
        "if sub(v, 2, 5) ~= sub(id, 13) or sub(v, 49,",
        "if sub(v, 49,",
    ),
    lua(
        ("no_touch", "a repeat of a reserve writes nothing"),
        "reserve",
        "    put(key, v)\n    if mine",
        "    if mine",
    ),
    lua(
        ("b_dropped", "a buyer's field in b goes when nothing is left in it"),
        "apply",
        "if #bw > 0 then call('HSET', KEYS[3], unpack(bw)) end",
        "if #bw > 0 then call('HSET', KEYS[3], unpack(bw)) end\n\
         for i = 1, #dirty do if B[dirty[i]] == 0 then call('HDEL', KEYS[3], dirty[i]) end end",
    ),
    lua(
        ("d_one_generation", "each apply starts a new generation of d"),
        "apply",
        "if now - c[9] >= 600000 then",
        "if now - c[9] >= 0 then",
    ),
    lua(
        ("sells_what_is_held", "reserve looks at supply - net only"),
        "reserve",
        "local left = c[1] - c[2] - held",
        "local left = c[1] - c[2]",
    ),
    lua(
        ("no_limit", "reserve without the buyer's limit"),
        "reserve",
        "(has or 0) + qty > limit then",
        "(has or 0) + qty > limit + 9 then",
    ),
    lua(
        ("batch_no_overlay", "two reserves of a call do not see each other's units"),
        "reserve",
        "held, left = held + qty, left - qty",
        "held = held + qty",
    ),
    lua(
        ("load_no_ticket", "load without its ticket"),
        "load",
        "if stored ~= ticket then return { 1 } end",
        "",
    ),
    lua(
        ("ticket_any_primary", "a ticket outlives the primary that stored it"),
        "load",
        "if stored ~= ticket then return { 1 } end",
        "if (string.match(stored, '^[^:]*') or '') ~= ARGV[9] then return { 1 } end",
    ),
    lua(
        ("ticket_over", "a rebuild puts its ticket over the fresh one of another"),
        "ticket",
        "if other and math.abs(now - at) < respect then return { 1 } end",
        "",
    ),
    lua(
        ("ticket_renewed", "a renewal brings a ticket back that died with its primary"),
        "ticket",
        "if renew and not mine then return { 1 } end",
        "",
    ),
    lua(
        ("load_over", "load overwrites a living cell"),
        "load",
        "if call('EXISTS', KEYS[1]) == 1 then return { 2 } end",
        "",
    ),
    lua(("mend_held_0", "mend sets held to 0"), "mend", "held = held + q", "held = 0"),
    lua(
        ("mend_uncond", "mend without comparing inc, W and tok"),
        "mend",
        "if c[1] ~= ARGV[1] or c[2] ~= ARGV[2] or c[3] ~= ARGV[3] then return { 1 } end",
        "",
    ),
    lua(
        ("drop_uncond", "drop of a cell that has holds"),
        "drop",
        "if ARGV[4] ~= '1' and call('HLEN', KEYS[2]) > 0 then return { 1 } end",
        "",
    ),
    lua(
        ("apply_no_token", "apply does not look whose ledger the entries are of"),
        "apply",
        "if known and known ~= c[7] then return { 3, W, 0 } end",
        "",
    ),
];
