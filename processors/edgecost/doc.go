// Package edgecost owns what a drop costs at the edge, and what is done about it while it runs (DOMAIN 9).
//
// # First stage: Rule
//
// Per partition it counts requests, compute and egress of latency events by drop, POP, creator and pane of event time, weighted by
// 1/sample_rate, and prices them. Synthetic requests are billed too, so they count, in partials of their own.
// Traffic outside drops counts under the empty drop_id. Conversions are players' first completed checkout of the drop before its
// end, whatever the order of arrival, at the checkout's own POP and creator; synthetic ones never.
//
// A partial belongs to one price list, which its key names: a new list opens new partials, so history keeps the price it was made
// at. A drop whose budget is in a currency without a price list is counted without a cost (outcome no_price_list); nothing is guessed.
//
// Partials are published under drop_id|pop|creator_id|pane_start|synthetic|prices|partition with a growing revision: provisional on
// every change, final when the watermark has passed the pane's end and the allowed lateness; then the state is deleted.
//
// # Second stage: Rollup
//
// It keeps the newest revision of every open partial and adds them up per drop. A drop's event time is the lowest
// newest watermark of the partitions that have open partials of it, or the highest where none has: a partition whose partials
// are all final owes nothing, and what it sends next comes with a newer watermark. At every minute boundary m that this time
// passes, in order, from the drop's start to its end:
//
//	S(m)      cost of all panes that end at or before m
//	rate      cost of the last 15 min, or since the start, by their length
//	reserved  what is in flight: the larger of what is counted beyond m and rate · (newest event − m)
//	Ŝ         S + rate · (end − m)
//	plan      a(m) = B·F(m)/F(T) by the catalogue's forecast
//
// From these come the pace p, the budget's level, the replicas and what to shed, each a Decision when it changes, with its inputs.
// The catalogue's newest entry is used: a raised budget unlatches CAP at the next minute.
package edgecost
