-- purpose: Currencies of a drop's money, for a choice.
-- grain: One row per currency.
-- units: None.
-- maturity: As of now.
-- param drop String: drop id.
SELECT DISTINCT arrayJoin(money_currency) AS currency FROM velocity WHERE drop_id = {drop:String} ORDER BY currency
