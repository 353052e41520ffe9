-- purpose: Who came to a creator's earlier drops, by POP and by language, for a pre-warm plan.
-- grain: One row per part of the audience: part is pop or language, name its value.
-- units: Distinct players with a landing view, over the newest drops that began before.
-- maturity: As of now.
-- param creator String: creator id.
-- param before DateTime64(3,'UTC'): start of the drop to plan for.
-- param drops UInt32 = 3: how many of the creator's earlier drops to look at.
SELECT part, name, uniqExact(player_id) AS players
FROM
(
    SELECT player_id, parts.1 AS part, parts.2 AS name
    FROM player_events
    ARRAY JOIN [('pop', toString(pop)), ('language', toString(language))] AS parts
    WHERE type = 'landing_view' AND NOT synthetic AND player_id != '' AND NOT quarantined
      AND drop_id IN
      (
          SELECT drop_id FROM drops FINAL
          WHERE creator_id = {creator:String} AND starts < {before:DateTime64(3,'UTC')}
          ORDER BY starts DESC LIMIT {drops:UInt32}
      )
)
WHERE name != ''
GROUP BY part, name
ORDER BY part, players DESC, name
