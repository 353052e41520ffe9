// Package attribution owns what landing latency does to conversion and revenue (DOMAIN 5), in two stages, and the
// latency sketches of every POP.
//
// # First stage: Rule
//
// A viewer is a player with a landing view of a drop before its end who had not completed a checkout of it
// before. The exposure is the latency of the first landing request within JoinMS of the first landing view: later
// requests come after the decision has begun, and a request long before belongs to a view that never arrived. A viewer without one is
// counted as unmeasured, in no bucket. The outcome is the first completed checkout at or after that view and before the
// drop's end. Money is every completed checkout before the end, less the refunds and chargebacks of such up to RefundMS after it.
//
// A viewer counts in one stratum: POP, device and language of the first landing view (ties go to the first in the
// alphabet) and the bin of the drop's age at it. All of it is a function of the set of the player's events, so the
// order of arrival cannot matter: an event that changes something takes the viewer's old counts back
// and sets the new ones, in their strata, with new revisions. Only the earliest maxSamples landing requests of a player
// are kept, which is a function of the set, too.
//
// A stratum is closed when the watermark passes the drop's end and the allowed lateness: viewers and conversions
// stand. It is final, published once more and forgotten RefundMS later.
//
// Sketches count every edge request of a drop before its end, players known or not, weighted by 1/sample_rate; they are DDSketches by POP,
// request kind and pane, final and forgotten like velocity's panes.
//
// # Second stage: Totals
//
// Totals keeps the newest partial of every stratum and partition, adds them up and publishes, per drop and per POP:
//
//	latency_loss_conversions  conversions that a cap of latency at the budget would have kept (models/latencyloss.Fit)
//	latency_loss_revenue      the same in money, by currency
//	landing_latency           quantiles of landing latency, from the merged sketches
//
// A viewer who did not convert has no currency and no order value. So a lost conversion is worth the POP's net revenue in each
// currency per conversion: what converters at that POP paid on average, the mix of currencies included, second orders and
// refunds too. It counts as known, as in DOMAIN 5: the interval is of the number of conversions.
//
// The label is always observational: nobody randomised the delay.
package attribution
