-- purpose: What a drop's experiments say: each variant's effect against the control, with words that the evidence allows. Effects are NULL while an alarm hides them or the data are too few.
-- grain: One row per experiment, language and variant; language * is all languages of an experiment together.
-- units: Percentage points of conversion and of refunds per exposed player; p-values hold under continuous watching, but p_one_look; better is P(variant > control), loss_pp what choosing the variant is expected to cost if it is worse.
-- maturity: Column maturity; decision follows p_holm, never p_one_look or better, which do not control errors while one watches.
-- param drop String: drop id.
-- param alpha Float64 = 0.05: probability of any false rejection within the drop.
SELECT
    x.dimensions['experiment'] AS experiment, x.dimensions['language'] AS language, x.dimensions['variant'] AS variant,
    multiIf(NOT x.enough, concat('no statement: ', x.why),
            x.details['p_holm'] <= {alpha:Float64}, concat(if(x.value > 0, 'more', 'fewer'), ' conversions, ', x.label),
            'no difference shown yet') AS decision,
    x.value AS effect_pp, x.low AS low_pp, x.high AS high_pp, x.p AS p,
    if(x.enough, x.details['p_holm'], NULL) AS p_holm, if(x.enough, x.details['p_one_look'], NULL) AS p_one_look,
    if(x.enough, x.details['better'], NULL) AS better, if(x.enough, x.details['loss_variant_pp'], NULL) AS loss_pp,
    x.details['control_n'] AS control_n, x.details['variant_n'] AS variant_n,
    x.numerator AS conversions, x.confidence AS confidence, x.grade AS grade,
    s.p AS srm_p, s.details['chi2_p'] AS chi2_p, s.details['alarm'] = 1 AS alarm,
    s.details['crossed'] AS crossed, s.details['misassigned'] AS misassigned,
    g.value AS refund_pp, g.low AS refund_low_pp, g.high AS refund_high_pp, g.p AS refund_p,
    'consenting players by their first exposure' AS population, x.sample_rate AS sample_rate,
    x.as_of AS as_of, x.maturity AS maturity
FROM (SELECT * FROM estimates_latest WHERE drop_id = {drop:String} AND metric = 'experiment_effect') AS x
LEFT JOIN (SELECT * FROM estimates_latest WHERE drop_id = {drop:String} AND metric = 'experiment_srm') AS s
    ON s.dimensions['experiment'] = x.dimensions['experiment'] AND s.dimensions['language'] = x.dimensions['language']
LEFT JOIN (SELECT * FROM estimates_latest WHERE drop_id = {drop:String} AND metric = 'experiment_refund') AS g
    ON g.dimensions['experiment'] = x.dimensions['experiment'] AND g.dimensions['language'] = x.dimensions['language'] AND g.dimensions['variant'] = x.dimensions['variant']
ORDER BY experiment, language, variant
