# Makes the report of scripts/quickstart: what the runtime says (weft run --json) beside what the ranks say of themselves.

def round1: . * 10 | round / 10;
def mean_step($bins): # milliseconds per step over 100 ms bins [wall_ms, steps, max_us]
  ($bins | map(.[1]) | add // 0) as $n | if $n == 0 then null else (($bins | length) * 100 / $n * 1000 | round / 1000) end;
def worst_step($bins): if ($bins | length) == 0 then null else ($bins | map(.[2]) | max / 1000) end;
def pad($n): tostring | . + (" " * ([$n - length, 1] | max));

$moved[0] as $run | $run.started_wall_ms as $t0
| ($run.moves | map(select(.outcome == "moved"))) as $done
| ($done | map(.detected_ms) | min) as $from | ($done | map(.done_ms) | max) as $to
| ($done | map(.rank)) as $movers
| ($ranks | sort_by(.rank) | map(
    . as $r
    | ($begun[] | select(.rank == $r.rank)) as $s
    | ($run.ranks[] | select(.rank == $r.rank)) as $known
    | (.bins[:-1] | map([(.[0] - $t0), .[1], .[2]])) as $bins
    | {rank, before: {host: $s.host, pid: $known.first_pid}, after: {host, pid: $known.pid}, steps, nonce_before: $s.nonce, nonce_after: .nonce_end,
       moves: ($r.rank as $me | $movers | map(select(. == $me)) | length)}
      + (if ($movers | index($r.rank)) == null and $from != null then
          {step_ms: {
             before: mean_step($bins | map(select(.[0] + 100 <= $from))),
             during: mean_step($bins | map(select(.[0] + 100 > $from and .[0] < $to))),
             after: mean_step($bins | map(select(.[0] >= $to))),
             worst_before: worst_step($bins | map(select(.[0] + 100 <= $from))),
             worst_during: worst_step($bins | map(select(.[0] + 100 > $from and .[0] < $to))),
             worst_after: worst_step($bins | map(select(.[0] >= $to)))}}
         else {} end))) as $list
| {
    moved: ($done | length),
    checksum: $heat[0].checksum,
    checksum_unmoved: $heat_still[0].checksum,
    ranks: $list,
    moves: $run.moves,
    hosts: ($run.hosts | map({name, address, pid, slots})),
    seconds: $heat[0].seconds,
    seconds_unmoved: $heat_still[0].seconds
  }
| .verdict = (
    if .checksum == null or .checksum_unmoved == null then "no checksum was printed"
    elif .checksum != .checksum_unmoved then "the results differ: \(.checksum) with moves, \(.checksum_unmoved) without"
    elif (.ranks | length) != 4 then "only \(.ranks | length) of 4 ranks reported"
    elif (.ranks | map(select(.nonce_before != .nonce_after)) | length) > 0 then "a rank lost its state: its nonce has changed"
    elif (.ranks | map(select(.steps != $steps)) | length) > 0 then "a rank did not make exactly \($steps) steps"
    elif ($run.moves | map(select(.outcome != "moved")) | length) > 0 then
      "a move was given up: \($run.moves | map(select(.outcome != "moved")) | .[0].reason)"
    elif (.moves | map(select(.bytes < .touched_bytes or .bytes == 0)) | length) > 0 then "a move transferred fewer bytes than the rank has"
    elif $migrate == 0 and .moved > 0 then "a rank moved although moves were off"
    elif $migrate != 0 and .moved == 0 then
      "no rank moved: the run lasted \(.seconds) s, too short for a check every \($migrate) s to find the better placement; use more --steps"
      + (if $run.plan then " (the last look was \($run.plan.age_ms | round) ms before: \($run.plan.verdict), \($run.plan.moves) moves, gain \($run.plan.gain_ms | round) ms, cost \($run.plan.cost_ms | round) ms)" else " (nobody has looked)" end)
    else "ok: \(.moved) rank\(if .moved == 1 then "" else "s" end) moved, result identical" end)
| .table = (
    [ "rank  before              after               steps    step ms before/during/after (worst)" ]
    + (.ranks | map("\(.rank | pad(6))\("\(.before.host) (\(.before.pid))" | pad(20))\("\(.after.host) (\(.after.pid))" | pad(20))\(.steps | pad(9))"
        + (if .step_ms then "\(.step_ms.before) / \(.step_ms.during) / \(.step_ms.after)  (\(.step_ms.worst_before) / \(.step_ms.worst_during) / \(.step_ms.worst_after))"
           else (if .moves > 0 then "moved" else "" end) end)))
    + (.moves | map("rank \(.rank): \(.from) -> \(.to), \(.cause): possible at \(.opportunity_ms | round) ms, found at \(.detected_ms | round) ms, committed at \(.committed_ms | round) ms, "
        + "\(.bytes) bytes by \(.transport), pause \(.pause_ms | round1) ms, \(.forwarded) packets forwarded"))
    + ["checksum \(.checksum) with moves, \(.checksum_unmoved) without; \(.seconds) s and \(.seconds_unmoved) s"]
    | join("\n"))
