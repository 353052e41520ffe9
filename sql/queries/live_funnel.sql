-- purpose: Funnel of a drop so far, from the processors' partials.
-- grain: One row per s.
-- units: players in ordered steps, and events.
-- maturity: Provisional while the drop runs.
-- param drop String: drop id.
SELECT
    s.1 AS step_number,
    s.2 AS step,
    s.3 AS players,
    s.4 AS events
FROM
(
    SELECT arrayJoin([
        (1, 'landing', sum(landing_players), sum(landing_events)),
        (2, 'impression', sum(impression_players), sum(impression_events)),
        (3, 'click', sum(click_players), sum(click_events)),
        (4, 'started', sum(started_players), sum(started_events)),
        (5, 'completed', sum(completed_players), sum(completed_events))]) AS s
    FROM velocity_latest
    WHERE drop_id = {drop:String}
)
ORDER BY step_number
