// Package experiments owns what a drop's randomised experiments did (DOMAIN 6): who was shown which
// variant first, whether they then bought, and, over all partitions, whether that is an effect.
//
// # Population
//
// The players of an experiment are those who consented to analytics (consent bit 1) at an exposure, in the
// experiment's language where it has one. A player is analysed by the variant and language of their first exposure in event time,
// in whatever order exposures arrive. They convert with a completed checkout in the drop at or after that exposure
// and before the drop's end, and are refunded when they return one of those purchases, by refund or chargeback. Probes never count.
//
// Experiments that name a holdout are left out: their outcome is retention, not the purchase that they withhold.
//
// # What an exposure may be instead
//
//	no_consent          not counted: the player did not consent
//	unknown_experiment  not counted: the catalogue's drop has no such experiment
//	unknown_variant     not counted: the experiment has no such variant
//	bad_design          not counted: fewer than two variants, or shares that are none or more than everything
//	wrong_language      not counted: the experiment is for another language
//	not_enrolled        not counted: assignment leaves the player out
//	after_end           not counted: the drop is over
//	misassigned         counted where it was shown, although assignment gives another variant: a cache serves one to all, say
//	crossed             counted by the first one: the player was shown another variant too
//	changed             counted, but salt, variants, traffic or another part of the design changed after the first
//	                    exposure: the rollup hides the effect and decides so
//
// # Two stages
//
// Rule runs per partition and publishes event.ExperimentArm for each drop, experiment, language and variant. All that
// concerns a player meets in one partition, so the counts add up. Rollup adds them up and, at each look, publishes estimates: the
// sample ratio check, the effect against the first variant, and refunds as a guardrail; see there.
package experiments
