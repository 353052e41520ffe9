// Package velocity owns the conversion velocity of a drop: per partition, POP and
// pane of event time it counts events, the ordered funnel, conversions, time to
// convert and money, as partials that add up exactly over partitions, POPs and panes.
//
// # What is counted where
//
// A pane is [n·PaneMS, (n+1)·PaneMS) of effective event time. Only events with a
// drop_id count, synthetic ones never.
//
//   - Events, Failed, Refunded, Chargeback and Money count events, in the pane of
//     the event and at the event's own POP, whatever the drop's start and end: a
//     refund three weeks later opens a pane three weeks later.
//   - Players, FunnelGap, Conversions and TimeToConvert count players, at most once
//     per drop each, from the first time t_k of every step k in event time. They
//     count at the POP of the player's first landing when that is not after the
//     counted step, else at the step's own POP: the exposure is what a POP's
//     conversion rate is about, and this keeps the rates at or below 1 POP by POP.
//     Of first events in one millisecond, the alphabetically first POP is taken.
//     Events without a player_id count as events only.
//
// With conv = t_completed, or never:
//
//	Players[landing]   t_landing is known and not after conv: a player
//	                   who has bought already has no way left to go
//	Players[k]         Players[0] holds and t_0 ≤ t_1 ≤ … ≤ t_k are all known
//	FunnelGap          some t_k, k ≥ 1, is known without Players[k]; counted
//	                   once, at the earliest such t_k
//	Conversions        at conv, landing seen or not
//	TimeToConvert      at conv, when t_landing ≤ conv
//
// A gap is known the moment it happens: no later event can put a step before
// t_k. What can is an earlier event that arrives later; the gap is then withdrawn.
//
// Steps at or after the drop's end are outside the attribution window and move no
// player; they stay visible in Events and Money. Steps before its start do count, in
// their own panes: landings and clicks then are the waiting page, and purchases then
// mean that the catalogue's start or a clock is wrong, which hiding would not mend.
// A query begins rates at the start and lets waiting players enter there (below).
//
// # Any order of arrival
//
// The player counts are a function of the t_k alone, so the order of arrival cannot
// matter. An event that lowers some t_k takes the player's old marks back and sets
// the new ones, each in its own pane with a new revision.
//
// No final pane is ever touched by this. Every mark at time u is decided by the t_k
// at or before u: Players[k] at t_k compares only times up to t_k, the gap at t_k
// asks what was there by t_k, TimeToConvert and the POP ask for a landing at or
// before u. Hence an event at time t leaves the marks before t as they were, and all
// panes touched are at or after the pane of t. That pane is not final, since the
// runtime accepts no event of a final pane. Should it happen nevertheless, the
// contribution is refused, logged and counted in [Stats], because the pane's counts
// are gone and a new revision would publish nonsense.
//
// The same property makes cuts exact: leaving out all panes from a pane boundary on
// gives what a run over only the earlier events would have published.
//
// # Kaplan–Meier from panes
//
// Let c be the last pane, min(watermark, drop end) − 1 rounded down to a pane, and
// durations be whole panes. From the rows with pane ≤ c, over any set of partitions
// and POPs:
//
//	N(p)    = Σ Players[landing] in pane p: players who enter at p
//	E(p, d) = Σ Count over TimeToConvert{Panes: d} in pane p + d·PaneMS
//	Z(p)    = N(p) − Σ_d E(p, d): censored, all of them after (c − p)/PaneMS panes
//
//	events   D(d) = Σ_p E(p, d)
//	censored C(d) = Z(c − d·PaneMS)
//	at risk  n(d) = Σ_{j ≥ d} D(j) + C(j)
//	S(d)          = Π_{j ≤ d} 1 − D(j)/n(j)
//
// It is exact at pane resolution: each TimeToConvert entry names its landing's pane
// (its own pane − Panes·PaneMS), so every convert is subtracted from the very pane it
// was counted into, and a landing with a purchase before it was never counted. Events
// precede censorings of the same duration, as n(d) holds both. For a clock that starts
// at the drop's start, replace a landing pane p before the start's pane s by s in N and E.
//
// # Publication
//
// Every flush publishes each changed (drop, POP, pane) once, with a growing revision,
// under the key drop_id|pop|pane_start|partition, in which | and \ of an id are
// preceded by \. It is provisional until Watermark ≥ pane end − 1 + AllowedLateness;
// then one final revision follows and the pane's state is deleted. A player's state in
// a drop is deleted when the pane of the drop's last millisecond is final: nothing can
// be accepted inside the window any more.
package velocity
