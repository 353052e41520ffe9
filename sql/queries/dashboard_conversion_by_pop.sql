-- purpose: Share of the players who landed in a step, by their landing's POP, that has converted by the end of the range.
-- grain: One row per POP and step of the landing; steps in which fewer than min_n players landed are joined with those after them and share one value; a rest of fewer says nothing.
-- units: Share in [0, 1] of landed players.
-- maturity: Recent landings have had less time to convert; the share of a step only grows.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
-- param min_n UInt64 = 30: players below which a share is chance.
SELECT arrayJoin(groupArray(step.1)) AS time, pop, sum(step.3) / sum(step.2) AS converted
FROM
(
    SELECT pop, arraySort(groupArray((time, landed, converted))) AS steps,
        -- Of each step, the bucket that it falls in and how many have landed in it by then.
        arrayFold((made, s) -> arrayPushBack(made, if(notEmpty(made) AND made[-1].2 < {min_n:UInt64}, (made[-1].1, made[-1].2 + s.2), (s.1, s.2))),
            steps, arraySlice(arrayMap(s -> (s.1, s.2), steps), 1, 0)) AS buckets
    FROM
    (
        SELECT
            toStartOfInterval(fromUnixTimestamp64Milli(toUnixTimestamp64Milli(v.pane_start) - s.1 * v.pane_ms, 'UTC'),
                toIntervalSecond({step_s:Int64})) AS time,
            v.pop AS pop,
            toUInt64(sum(s.2)) AS landed,
            sum(s.3) AS converted
        FROM
        (
            -- Panes back to the landing, landed, converted: a convert counts in its landing's pane.
            SELECT pane_start, pane_ms, pop, arrayJoin(arrayConcat(
                [(toInt64(0), toInt64(landed), toInt64(0))],
                arrayMap((panes, n) -> (toInt64(panes), toInt64(0), toInt64(n)), back, counts))) AS s
            FROM
            (
                -- Of a pane's partitions only their sum matters.
                SELECT pane_start, pane_ms, pop, sum(landing_players) AS landed, groupArrayArray(ttc_panes) AS back, groupArrayArray(ttc_count) AS counts
                FROM velocity_latest
                WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
                  AND pane_start < {to:DateTime64(3,'UTC')}
                GROUP BY pane_start, pane_ms, pop
            )
        ) AS v
        GROUP BY time, pop
        HAVING sum(s.2) > 0 AND time >= {from:DateTime64(3,'UTC')}
    )
    GROUP BY pop
) AS b
ARRAY JOIN steps AS step, buckets AS bucket
GROUP BY bucket.1, pop
HAVING sum(step.2) >= {min_n:UInt64}
ORDER BY time, pop
